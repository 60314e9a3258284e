"""Reads all settings of a Harbor: 15 requests, 7 for each project, 1 for each retention policy.

What the login may not read is named, and so is what Harbor fails to answer; the rest is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConfigurationError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborSightError,
    HarborStatusError,
    describe,
    is_passing,
)
from airflow_provider_harbor.core.harbor.check import is_meant, list_seen_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.pages import Counted
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.oci.names import is_project_name
from airflow_provider_harbor.core.settings.assembly import assemble, name_of_quota
from airflow_provider_harbor.core.settings.form import UnknownNameError
from airflow_provider_harbor.core.settings.kinds import (
    PROJECT_KINDS,
    SCHEDULES,
    SYSTEM,
    SYSTEM_KINDS,
    Kind,
    kind_of,
)
from airflow_provider_harbor.core.settings.values import PROJECTS, HarborSettings, Raw, Unread
from airflow_provider_harbor.core.side_by_side import result_of
from airflow_provider_harbor.core.texts import one_line

log = logging.getLogger(__name__)

_WORKERS = 8
_RETENTIONS = "/retentions/"
# So Harbor answers for a policy that is gone, and it will every night.
_GONE = "Harbor fails to show the policy that the project names: it is probably gone. Set one anew"
# What the list of schedules calls it.
_SCAN_ALL = "SCAN_ALL"
_HIDDEN = "Harbor does not show it, since no scanner is the default"
_SCHEDULED = f"there is one, and {_HIDDEN}. Choose one, and export again"
_MAYBE_SCHEDULED = (
    f"{_HIDDEN}, and nobody can tell whether there is one, since the list of schedules cannot be "
    "read. Choose a default scanner; or give the robot jobservice-monitor:list (since Harbor 2.7)"
)
_NO_NUMBER = "the project does not say by a number which one it has"
_ONLY_AN_ADMINISTRATOR = "only an administrator may. Give another connection for the configurations"
# What is done side by side: the name of the kind, and what reads it.
_Task = tuple[str, Callable[[], Any]]


def read_settings(
    client: HarborClient,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    configurations: HarborClient | None = None,
    workers: int = _WORKERS,
    progress: Progress | None = None,
) -> HarborSettings:
    """Read all settings that a login may read.

    Args:
        client: The login.
        include: Names and globs of projects; none for all.
        exclude: Of those that are left out.
        configurations: An administrator's login for the configurations, which no robot may read.
        workers: How many requests at once.
        progress: Called with a line of text now and then.

    Raises:
        HarborAuthError: The login was not accepted.
        HarborConnectionError: Harbor does not answer.
    """
    reader = _Reader(client, configurations or client, progress or (lambda text: None))
    with ThreadPoolExecutor(workers, thread_name_prefix="settings") as pool:
        try:
            return reader.read(pool, include, exclude)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@dataclass(slots=True)
class _Reader:
    client: HarborClient
    administrator: HarborClient
    progress: Progress
    unread: list[Unread] = field(default_factory=list)
    # What was answered, by scope and kind.
    lists: dict[tuple[str, str], Sequence[Raw]] = field(default_factory=dict)
    # Ids of projects.
    numbers: dict[str, int] = field(default_factory=dict)
    # Names of all projects that the login sees.
    seen: set[str] = field(default_factory=set)
    counted_quotas: int = 0

    def read(
        self, pool: ThreadPoolExecutor, include: Sequence[str], exclude: Sequence[str]
    ) -> HarborSettings:
        self.progress("settings of the system")
        projects = self._run(pool, [*self._system_tasks(), ("projects", self._projects)])
        chosen = [p for p in projects if is_meant(str(p["name"]), include, exclude)]
        self.progress(f"settings of {len(chosen):,} projects")
        # Quotas after the projects, so that each of these had its own when they were listed.
        of_projects = [task for project in chosen for task in self._project_tasks(project)]
        self._run(pool, [("quotas", self._quotas), *of_projects])
        self._note_unseen(include, exclude)
        return assemble(self.lists, chosen, self.unread, counted_quotas=self.counted_quotas)

    def _run(self, pool: ThreadPoolExecutor, tasks: Iterable[_Task]) -> list[Raw]:
        """Do all tasks, side by side; returns what that of the projects returned."""
        futures = [(name, pool.submit(task)) for name, task in tasks]
        found: list[Raw] = []
        for name, future in futures:
            result = result_of(future)
            if name == "projects":
                found = result
        return found

    # -- requests

    def _system_tasks(self) -> Iterable[_Task]:
        for kind in SYSTEM_KINDS:
            if kind.name == "configurations":
                yield kind.name, self._configurations
            else:
                yield kind.name, partial(self._keep, SYSTEM, kind, kind.path, kind.params)

    def _project_tasks(self, project: Raw) -> Iterable[_Task]:
        name = str(project["name"])
        metadata = project.get("metadata")
        retention = str(metadata.get("retention_id") or "") if isinstance(metadata, dict) else "?"
        for kind in PROJECT_KINDS:
            if kind.name == "quota":
                continue
            path, params = kind.path_in(name), kind.params
            if kind.name == "retention":
                path, params = f"{path}{retention}", None
                if not retention:
                    self.lists[name, kind.name] = []
                    continue
                if not retention.isdecimal():
                    self.unread.append(
                        Unread(scope=name, kind=kind.name, reason=_NO_NUMBER, failed=True)
                    )
                    continue
            if params is not None:
                number = str(project["project_id"])
                params = {key: value.replace("{id}", number) for key, value in params.items()}
            yield kind.name, partial(self._keep, name, kind, path, params)

    def _keep(self, scope: str, kind: Kind, path: str, params: Mapping[str, str] | None) -> None:
        """Read one kind in one scope: a list, or one object where there are no parameters."""

        def ask() -> None:
            if params is None:
                answer = self._get(kind, path)
                self._require_own(scope, answer)
                self.lists[scope, kind.name] = [answer]
                return
            found = self.client.list_settings(path, params, kind.id_field)
            self.lists[scope, kind.name] = found.items
            if found.total != len(found.items):
                self._note_hidden(scope, kind, found)

        self._attempt(scope, kind.name, kind.permission, ask)

    def _note_hidden(self, scope: str, kind: Kind, found: Counted[Raw]) -> None:
        """Note that some of a kind are not there; those of members are known, and fail nothing."""
        reason = f"Harbor counts {found.total:,}, and lists {len(found.items):,}"
        is_known = kind.name == "members" and found.total > len(found.items) and not found.has_twins
        if is_known:
            reason += ": the others have a role that is none. Remove and add them again"
        else:
            reason += ". Look at them in Harbor, and export again"
        self.unread.append(Unread(scope=scope, kind=kind.name, reason=reason, failed=not is_known))

    def _require_own(self, scope: str, answer: Raw) -> None:
        """Make sure that a policy is of the project that names it.

        Raises:
            HarborProtocolError: It says that it is of another one.
        """
        of = answer.get("scope")
        reference = of.get("ref") if isinstance(of, Mapping) else None
        if reference not in (None, self.numbers.get(scope)):
            raise HarborProtocolError("the answer is of another project")

    def _get(self, kind: Kind, path: str) -> Raw:
        may_be_none = kind.name in SCHEDULES
        try:
            return self.client.get_setting(path, field=kind.field, may_be_none=may_be_none)
        except HarborStatusError as err:
            if err.status == 500 and path.startswith(_RETENTIONS):
                raise UnknownNameError(_GONE) from err
            if err.status == 412 and path == kind_of(SYSTEM, "scan-all").path:
                return self._no_scan_all()
            raise

    def _no_scan_all(self) -> Raw:
        """Return that nothing is scheduled, where the list of all schedules says so.

        Without a default scanner Harbor answers 412 whatever is scheduled, and shows it again when
        there is one.

        Raises:
            UnknownNameError: There is a schedule that it does not show, or the login may not know.
        """
        try:
            schedules = self.client.list_settings("/schedules", {}).items
        except HarborConnectionError:
            raise
        except HarborBackupError as err:
            log.debug("The list of schedules: %s", describe(err))
            raise UnknownNameError(_MAYBE_SCHEDULED) from err
        if any(each.get("vendor_type") == _SCAN_ALL for each in schedules):
            raise UnknownNameError(_SCHEDULED)
        return {}

    def _configurations(self) -> None:
        def ask() -> None:
            try:
                kind = kind_of(SYSTEM, "configurations")
                answer = self.administrator.get_setting(
                    kind.path, field=kind.field, may_be_none=False
                )
            except HarborAuthError as err:
                if self.administrator is self.client or err.status != 401:
                    raise
                who = self.administrator.user
                raise HarborConfigurationError(f"the login {who!r} was not accepted") from err
            self.lists[SYSTEM, "configurations"] = [answer]

        self._attempt(SYSTEM, "configurations", "", ask)

    def _quotas(self) -> None:
        def ask() -> None:
            params = {"reference": "project"}
            found = self.client.list_settings("/quotas", params)
            self.lists[SYSTEM, "quotas"], self.counted_quotas = found.items, found.total

        self._attempt(SYSTEM, "quota", "quota:list", ask)

    def _projects(self) -> list[Raw]:
        found = list(self.client.iter_project_settings())
        for project in found:
            name = str(project["name"])
            self.seen.add(name)
            self.numbers[name] = int(project["project_id"])
        named = [project for project in found if is_project_name(str(project["name"]))]
        return sorted(named, key=lambda project: str(project["name"]))

    def _attempt(self, scope: str, kind: str, permission: str, ask: Callable[[], None]) -> None:
        try:
            ask()
        except HarborConnectionError:
            raise
        except HarborAuthError as err:
            if err.status == 401:
                err.hint = err.hint or (
                    f"the login {self.client.user!r} was not accepted. Check name and password"
                )
                raise
            need = f"it needs {permission}" if permission else _ONLY_AN_ADMINISTRATOR
            reason = f"the login may not read it: {need}"
            self.unread.append(Unread(scope=scope, kind=kind, reason=reason, denied=True))
        except UnknownNameError as err:
            self._note(scope, kind, str(err))
        except HarborBackupError as err:
            is_old = isinstance(err, HarborNotFoundError) and err.is_of_route
            reason = "this Harbor is too old to have it" if is_old else describe(err)
            self.unread.append(
                Unread(
                    scope=scope,
                    kind=kind,
                    reason=reason,
                    denied=is_old,
                    failed=not is_old,
                    passing=is_passing(err),
                )
            )

    def _note(self, scope: str, kind: str, reason: str) -> None:
        self.unread.append(Unread(scope=scope, kind=kind, reason=reason))

    def _note_unseen(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Note projects that are meant, that the list of quotas names, and that are not seen."""
        quotas = self.lists.get((SYSTEM, "quotas"), ())
        named = {name_of_quota(quota) for quota in quotas} - {""}
        if missing := sorted(n for n in named - self.seen if is_meant(n, include, exclude)):
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            self._note(
                SYSTEM,
                PROJECTS,
                f"the login does not see {len(missing):,} of them: {one_line(names)}. Give the "
                "robot its permissions on all projects",
            )


def find_unseen(
    client: HarborClient, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Unread | None:
    """Return that a login does not see all projects that are meant, or cannot prove it.

    Args:
        client: The login.
        include: Names and globs of projects; none for all.
        exclude: Of those that are left out.
    """
    try:
        list_seen_projects(client, include, exclude)
    except HarborSightError as err:
        return unseen_projects(err)
    return None


def unseen_projects(err: HarborSightError) -> Unread:
    """Return what is said of projects that a login may not see."""
    return Unread(scope=SYSTEM, kind=PROJECTS, reason=str(err), failed=True)
