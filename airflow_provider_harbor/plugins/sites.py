"""Which stores the DAGs of this Airflow back up to, and who may see them.

A DAG is found by its tag ``harbor``, and belongs to the stores that tasks of this provider name in
it: in the argument ``store``, in the parameter of the DAG that this refers to, or, where there is
none, in ``[harbor] store``. What somebody types into a form is not looked at: the API server opens
no store that no DAG names.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel, DagTag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk.configuration import conf
from sqlalchemy import select

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store.addresses import (
    shown_address,
    split_address,
    split_connection,
)

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from sqlalchemy.orm import Session

TAG = "harbor"
_PACKAGE = "airflow_provider_harbor."
_BACKS_UP = "HarborSnapshotOperator"
_RESTORES = "HarborRestoreOperator"
_PARAMETER = re.compile(r"\{\{\s*params\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Site:
    """A store, and the DAGs that use it.

    :param address: As the DAGs name it, but one text for all ways to write it. It may have the id
        of a connection; what is no address is as it was, and may have credentials: show `shown`.
    :param backups: Ids of the DAGs that back up to it.
    :param others: Ids of the other DAGs that use it.
    :param restores: Ids of those that restore from it.
    :param namesakes: Ids of the DAGs that back up to a store of the same bucket and prefix with
        other credentials: it may be the same store.
    """

    address: str
    backups: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    restores: set[str] = field(default_factory=set)
    namesakes: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """What the store is called in addresses of pages."""
        return hashlib.sha256(self.address.encode()).hexdigest()[:12]

    @property
    def shown(self) -> str:
        """The address as it may be shown."""
        return shown_address(self.address)

    @property
    def guards(self) -> set[str]:
        """The DAGs of which one may see one to see the store: those that back up to it."""
        return self.backups or self.namesakes or self.others


def find_sites(session: Session) -> list[Site]:
    """Return the stores that the DAGs name, sorted.

    :param session: Of Airflow's database.
    """
    query = select(DagTag.dag_id).join(DagModel, DagModel.dag_id == DagTag.dag_id)
    found = session.scalars(query.where(DagTag.name == TAG, ~DagModel.is_stale))
    rows = ((dag_id, SerializedDagModel.get(dag_id, session=session)) for dag_id in set(found))
    return sites_of({dag_id: row.data["dag"] for dag_id, row in rows if row and row.data})


def sites_of(dags: Mapping[str, Mapping[str, Any]]) -> list[Site]:
    """Return the stores that DAGs name, sorted.

    :param dags: Serialized DAGs by their ids.
    """
    sites: dict[str, Site] = {}
    for dag_id in sorted(dags):
        _add(sites, dag_id, dags[dag_id])
    places: dict[str, set[str]] = {}
    for site in sites.values():
        places.setdefault(_place_of(site.address), set()).update(site.backups)
    for site in sites.values():
        site.namesakes.update(places[_place_of(site.address)] - site.backups)
    return [sites[address] for address in sorted(sites)]


def _normal(text: str) -> str:
    """Return an address as one text for all ways to write it; what is none as it is."""
    try:
        conn_id, address = split_connection(text)
        scheme, path = split_address(address)
    except HarborConfigurationError:
        return text
    if scheme == "file":
        return path
    return f"{scheme}://{conn_id}@{path}" if conn_id else f"{scheme}://{path}"


def _place_of(address: str) -> str:
    """Return where a store is, whoever asks: without a connection, behind symbolic links."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if mark else os.path.realpath(address)


def _add(sites: dict[str, Site], dag_id: str, dag: Mapping[str, Any]) -> None:
    tasks = [task for task in _tasks(dag) if str(task.get("_task_module")).startswith(_PACKAGE)]
    types = {task.get("task_type") for task in tasks}
    for address in {_normal(address) for task in tasks if (address := _store_of(task, dag))}:
        site = sites.setdefault(address, Site(address))
        (site.backups if _BACKS_UP in types else site.others).add(dag_id)
        if _RESTORES in types:
            site.restores.add(dag_id)


def _tasks(dag: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for task in dag["tasks"]:
        inner = task.get("__var")
        if isinstance(inner, dict):
            yield inner


def _store_of(task: Mapping[str, Any], dag: Mapping[str, Any]) -> str:
    """Return the store that a task names; empty where it has none, or it cannot be known."""
    if "store" not in (task.get("template_fields") or ()):
        return ""
    if task.get("_is_mapped"):  # its arguments are with the others, elsewhere
        return ""
    value = task.get("store")
    if value is None:
        return str(conf.get_mandatory_value("harbor", "store"))
    if isinstance(value, dict):
        return _parameter(dag, str(value.get("name", "")))
    if found := _PARAMETER.fullmatch(str(value).strip()):
        return _parameter(dag, found[1])
    return "" if "{{" in str(value) else str(value)


def _parameter(dag: Mapping[str, Any], name: str) -> str:
    for key, param in dag.get("params") or ():
        if key == name:
            default = param.get("default")
            return default if isinstance(default, str) else ""
    return ""


def may_read(user: BaseUser, dag_ids: Iterable[str]) -> set[str]:
    """Return the DAGs of which a user may see the runs.

    :param user: Who is logged in.
    :param dag_ids: Which DAGs it is about.
    """
    manager = get_auth_manager()
    allowed = set()
    for dag_id in dag_ids:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        if all(
            manager.is_authorized_dag(method="GET", access_entity=part, details=details, user=user)
            for part in (None, DagAccessEntity.RUN)
        ):
            allowed.add(dag_id)
    return allowed


def may_read_dags(user: BaseUser) -> bool:
    """Tell whether a user may see DAGs at all.

    :param user: Who is logged in.
    """
    return get_auth_manager().is_authorized_dag(method="GET", user=user)
