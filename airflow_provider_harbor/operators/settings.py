"""Harbor's settings as operators: kept every night, and brought back.

In the DAG ``harbor_backup`` they are kept beside the artifacts::

    check -> settings -> snapshot

In ``harbor_restore`` they are brought back around them, if that is wanted::

    choose -> settings_before -> [ restore ] for each unit -> settings_after
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator, Variable
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException
from airflow.sdk.log import mask_secret

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborConfigurationError,
)
from airflow_provider_harbor.core.jobs.choosing import LATEST
from airflow_provider_harbor.core.jobs.settings.exporting import export_settings, secrets_left_out
from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.made_robots import Told
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets, parse_secrets
from airflow_provider_harbor.core.jobs.settings.steps import stages_of
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.values import Unread
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.telling import error_lines, tells
from airflow_provider_harbor.operators.units import Heartbeat, as_flag, as_patterns, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_harbor.core.harbor.client import HarborClient


def _passphrase(conn_id: str | None) -> str:
    """Return the password of a connection, which no log shows; empty where none is named.

    :param conn_id: Id of the connection.
    """
    if not conn_id:
        return ""
    try:
        text = BaseHook.get_connection(conn_id).password
    except AirflowNotFoundException:
        text = None
    if not text:
        raise HarborConfigurationError(
            f"the connection {conn_id!r}, which should have the passphrase of the secrets as its "
            "password, is not there or has none"
        )
    mask_secret(text)
    return str(text)


def _secrets(name: str | None) -> GivenSecrets:
    """Return the secrets of a Variable, which no log shows; none where none is named.

    :param name: Of the Variable.
    """
    if not name:
        return GivenSecrets()
    text = Variable.get(name, None)
    if text is None:
        raise HarborConfigurationError(f"there is no Variable {name!r} with the secrets")
    mask_secret(text)
    given = parse_secrets(text if isinstance(text, str) else "", f"the Variable {name!r}")
    for each in given.texts:
        mask_secret(each)
    return given


class HarborSettingsExportOperator(BaseOperator):
    """Keep all settings of a Harbor in the store: what its artifacts belong to.

    What the login may not read is named in the log and the report, and fails nothing: no robot may
    read the configurations. Secrets are left out, unless there is a passphrase. Returns counts.

    :param projects: Names or globs; empty for all.
    :param exclude: Of those that are left out.
    :param harbor_conn_id: Connection of the Harbor.
    :param configurations_conn_id: Connection of an administrator there, for the configurations;
        None to read them by the same login, if it may.
    :param passphrase_conn_id: A connection whose password seals those secrets that Harbor shows;
        None to keep only that they are there.
    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param plan_only: Dry run: keep nothing; ends as skipped.
    """

    template_fields: Sequence[str] = (
        "projects",
        "exclude",
        "harbor_conn_id",
        "configurations_conn_id",
        "passphrase_conn_id",
        "store",
        "plan_only",
    )
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        projects: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        harbor_conn_id: str = HarborHook.default_conn_name,
        configurations_conn_id: str | None = None,
        passphrase_conn_id: str | None = None,
        store: str | None = None,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.projects = projects
        self.exclude = exclude
        self.harbor_conn_id = harbor_conn_id
        self.configurations_conn_id = configurations_conn_id
        self.passphrase_conn_id = passphrase_conn_id
        self.store = store
        self.plan_only = plan_only

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Keep the settings, and return counts."""
        if as_flag(self.plan_only):
            raise AirflowSkipException("dry run: settings are not kept")
        problems: list[Unread] = []
        administrator = self._administrator(problems)
        passphrase = self._sealing(problems)
        try:
            with closing(HarborHook(self.harbor_conn_id).get_conn()) as client:
                made = export_settings(
                    client,
                    open_store(self.store),
                    run_name(context),
                    include=as_patterns(self.projects),
                    exclude=as_patterns(self.exclude),
                    configurations=administrator,
                    passphrase=passphrase,
                    problems=problems,
                    progress=Heartbeat(self.log),
                )
        finally:
            if administrator:
                administrator.close()
        if made.failures:
            kind = BackupInterruptedError if made.is_passing else BackupIncompleteError
            raise kind("some settings could not be kept; the others are", made.failures)
        return made.to_json()

    def _administrator(self, problems: list[Unread]) -> HarborClient | None:
        """Return the login for the configurations; without it all the rest is kept.

        :param problems: Where it is noted that there is none.
        """
        if not self.configurations_conn_id:
            return None
        try:
            return HarborHook(self.configurations_conn_id).get_conn()
        except (AirflowNotFoundException, HarborConfigurationError) as err:
            reason = f"the connection {self.configurations_conn_id!r} cannot be used: {err}"
            problems.append(Unread(scope=SYSTEM, kind="configurations", reason=reason, failed=True))
            return None

    def _sealing(self, problems: list[Unread]) -> str:
        """Return the passphrase; without it all but the secrets is kept.

        :param problems: Where it is noted that there is none.
        """
        try:
            return _passphrase(self.passphrase_conn_id)
        except HarborConfigurationError as err:
            problems.append(secrets_left_out(err))
            return ""


class HarborSettingsImportOperator(BaseOperator):
    """Bring back the settings of a night: what is missing or differs, and nothing is deleted.

    All is read back and compared. One setting that cannot be brought back stops no other; then the
    task fails at its end, and its log says which, why, and what to do. The login must be an
    administrator's.

    :param snapshot: ``latest``, a date, or the name of a run.
    :param units: What ``HarborChooseSnapshotOperator`` returned: its snapshot is meant then.
    :param projects: Names or globs, and then nothing of the system; empty for all.
    :param kinds: Names of kinds such as ``members``; empty for all.
    :param renames: New names of projects, as texts ``old=new``.
    :param stage: ``before`` or ``after`` the artifacts; None for both.
    :param fails_later: Whether settings that could not be brought back fail no more than the task
        which gets the result of this one as ``earlier``: a user without a password is no reason
        not to bring back the artifacts.
    :param earlier: What a task with ``fails_later`` returned; this one fails for both.
    :param enabled: Whether it does anything; else it ends as skipped.
    :param harbor_conn_id: Connection of the Harbor that is to have the settings.
    :param passphrase_conn_id: A connection whose password opens sealed secrets; None for none.
    :param secrets_variable: Name of a Variable with secrets that no backup has, as
        ``harbor-backup settings import --secrets`` takes them; None for none.
    :param new_secrets: Called with the key and the text of each new robot's secret; None to hand
        them out to nobody: such robots fail the task, and each later one, until their secrets are
        refreshed in Harbor and given. They are never logged.
    :param delete_surplus: Whether what is there, and not in the export, is deleted.
    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param plan_only: Dry run: log what would be done, and end as skipped.
    """

    template_fields: Sequence[str] = (
        "snapshot",
        "units",
        "projects",
        "kinds",
        "renames",
        "stage",
        "earlier",
        "enabled",
        "harbor_conn_id",
        "passphrase_conn_id",
        "secrets_variable",
        "delete_surplus",
        "store",
        "plan_only",
    )
    ui_color = "#e3dcf5"

    def __init__(
        self,
        *,
        snapshot: str = LATEST,
        units: list[dict[str, Any]] | None = None,
        projects: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        renames: Sequence[str] | None = None,
        stage: str | None = None,
        fails_later: bool = False,
        earlier: Mapping[str, Any] | None = None,
        enabled: bool = True,
        harbor_conn_id: str = HarborHook.default_conn_name,
        passphrase_conn_id: str | None = None,
        secrets_variable: str | None = None,
        new_secrets: Callable[[str, str], object] | None = None,
        delete_surplus: bool = False,
        store: str | None = None,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.units = units
        self.projects = projects
        self.kinds = kinds
        self.renames = renames
        self.stage = stage
        self.fails_later = fails_later
        self.earlier = earlier
        self.enabled = enabled
        self.harbor_conn_id = harbor_conn_id
        self.passphrase_conn_id = passphrase_conn_id
        self.secrets_variable = secrets_variable
        self.new_secrets = new_secrets
        self.delete_surplus = delete_surplus
        self.store = store
        self.plan_only = plan_only

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Bring the settings back, and return counts."""
        if not as_flag(self.enabled):
            raise AirflowSkipException("settings are not to be brought back")
        plan_only = as_flag(self.plan_only)
        wanted = self._wanted()
        with closing(HarborHook(self.harbor_conn_id).get_conn()) as client:
            report = import_settings(
                client,
                wanted,
                dry_run=plan_only,
                on_secret=self._hand_out,
                progress=Heartbeat(self.log),
            )
        self.log.info("%s", "\n".join([report.summary_line(), *report.lines()]))
        if plan_only:
            raise AirflowSkipException(report.summary_line())
        failures = [*(self.earlier or {}).get("failures", ()), *report.failures()]
        if failures and not self.fails_later:
            raise BackupIncompleteError(report.summary_line(), failures)
        if failures:
            incomplete = BackupIncompleteError(report.summary_line(), failures)
            for line in error_lines(incomplete):
                self.log.error("%s", line)
            self.log.error("This fails the run after the artifacts are back.")
        return {
            "summary": report.summary_line(),
            "failures": failures,
            "night": report.night,
            "written": report.writes,
            "needed_secrets": report.needs,
        }

    def _wanted(self) -> SettingsImport:
        store = open_store(self.store)
        _ = store.harbor_url  # that it is a store
        snapshot = self.units[0]["snapshot"] if self.units else self.snapshot or LATEST
        return SettingsImport(
            store=store,
            night=find_night(store, snapshot),
            projects=as_patterns(self.projects),
            kinds=as_patterns(self.kinds),
            renames=as_patterns(self.renames),
            given=_secrets(self.secrets_variable),
            passphrase=_passphrase(self.passphrase_conn_id),
            delete_surplus=as_flag(self.delete_surplus),
            stages=stages_of(self.stage),
        )

    def _hand_out(self, key: str, text: str) -> Told:
        mask_secret(text)
        if self.new_secrets is None:
            return Told.NEVER
        self.new_secrets(key, text)
        return Told.NOW
