"""The steps that look at Harbor before it is backed up: is it well, and what does it have?

They are the first tasks of the DAG ``harbor_backup``, see
:mod:`airflow_provider_harbor.operators.backup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    BaseOperator,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
)
from airflow.sdk.configuration import conf

from airflow_provider_harbor.core.exceptions import (
    PASSING_ERRORS,
    HarborBackupError,
    HarborTlsError,
)
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.telling import tells
from airflow_provider_harbor.operators.units import (
    as_flag,
    as_number,
    as_patterns,
    leaving_the_reason,
    make_units,
    open_place,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

# What trying again can mend is tried again, everything else fails at once. For `default_args`.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(HarborTlsError, RetryAction.FAIL, reason="trying again does not help"),
        RetryRule([*PASSING_ERRORS], RetryAction.RETRY, reason="may pass"),
        RetryRule(HarborBackupError, RetryAction.FAIL, reason="trying again does not help"),
    ]
)


class HarborHealthCheckOperator(BaseOperator):
    """Make sure that Harbor is there, is healthy and accepts the login, and where it is copied to.

    Returns what was found, without credentials: version, state of each component, counts.

    :param harbor_conn_id: Connection of the Harbor to back up.
    :param store: Directory or URL of the store; by default ``[harbor] store``. It has to be this
        Harbor's, and it has to be possible to write there.
    :param destination_conn_id: Connection of a registry that takes the content; None where the
        store does.
    :param require_healthy: Whether an unhealthy component of Harbor is an error.
    """

    template_fields: Sequence[str] = (
        "harbor_conn_id",
        "store",
        "destination_conn_id",
        "require_healthy",
    )
    ui_color = "#d9f0e3"

    def __init__(
        self,
        *,
        harbor_conn_id: str = HarborHook.default_conn_name,
        store: str | None = None,
        destination_conn_id: str | None = None,
        require_healthy: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harbor_conn_id = harbor_conn_id
        self.store = store
        self.destination_conn_id = destination_conn_id
        self.require_healthy = require_healthy

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Check, and return what was found."""
        with leaving_the_reason(context):
            return self._check()

    def _check(self) -> dict[str, Any]:
        hook = HarborHook(self.harbor_conn_id)
        with closing(hook.get_conn()) as client:
            status = hook.check(require_healthy=as_flag(self.require_healthy))
            self.log.info("Harbor %s at %s is there", status.harbor_version, status.url)
            store = open_store(self.store)
            if store.begin_for(client.url):
                self.log.info("A new store begins at %s", store.url)
            store.check()
            self.log.info("The store %s can be written", store.url)
            with open_place(self.destination_conn_id, store) as place:
                place.require_other(client)
                self.log.info("The content goes to the %s %s", place.kind, place.url)
                return {
                    **status.to_json(),
                    "store": store.url,
                    "destination": {"url": place.url, "kind": place.kind},
                }


class HarborListProjectsOperator(BaseOperator):
    """List the projects to back up, as units to map over, and prove that none is overlooked.

    Returns one unit for each project; units of several projects where there are more than
    ``max_units``.

    :param harbor_conn_id: Connection of the Harbor to back up.
    :param projects: Names or globs such as ``team-*``; empty for all projects.
    :param exclude: Names or globs that are left out; they win over ``projects``.
    :param max_units: How many units at most; by default Airflow's ``[core] max_map_length``.
    """

    template_fields: Sequence[str] = ("harbor_conn_id", "projects", "exclude", "max_units")
    ui_color = "#d9f0e3"

    def __init__(
        self,
        *,
        harbor_conn_id: str = HarborHook.default_conn_name,
        projects: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        max_units: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harbor_conn_id = harbor_conn_id
        self.projects = projects
        self.exclude = exclude
        self.max_units = max_units

    @tells
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List the projects, and return them in units."""
        hook = HarborHook(self.harbor_conn_id)
        with leaving_the_reason(context), closing(hook.get_conn()):
            found = hook.list_projects(as_patterns(self.projects), as_patterns(self.exclude))
        max_units = as_number(self.max_units or 0) or conf.getint("core", "max_map_length")
        units = make_units([project.name for project in found], max_units)
        self.log.info("%s to back up:", human_count(len(found), "project"))
        for unit in units:
            self.log.info("  %s", unit["name"])
        return units
