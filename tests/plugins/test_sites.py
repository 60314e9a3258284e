"""Which stores DAGs name, and who may see them: however an address is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def serialized(dag_id: str, store: str, *, backs_up: bool = True) -> tuple[str, dict[str, Any]]:
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    from airflow_provider_harbor.operators.backup import HarborSnapshotOperator
    from airflow_provider_harbor.operators.restore import HarborChooseSnapshotOperator

    with DAG(dag_id, schedule=None, tags=["harbor"]) as dag:
        if backs_up:
            HarborSnapshotOperator(task_id="snapshot", units=[], store=store)
        else:
            HarborChooseSnapshotOperator(task_id="choose", store=store)
    return dag_id, DagSerialization.to_dict(dag)["dag"]


def guards(backup: str, other: str) -> dict[str, set[str]]:
    """Return the DAGs that guard the stores of two DAGs, by the stores' addresses."""
    from airflow_provider_harbor.plugins.sites import sites_of

    dags = dict([serialized("backup", backup), serialized("other", other, backs_up=False)])
    return {site.address: site.guards for site in sites_of(dags)}


@pytest.mark.parametrize(
    ("backup", "other", "address"),
    [
        ("/backup/harbor", "/backup/harbor/", "/backup/harbor"),
        ("/backup/./x/../harbor//", "file:///backup/harbor", "/backup/harbor"),
        ("s3://bucket/a", "s3://bucket//a/", "s3://bucket/a"),
        ("s3://conn@bucket/a", "s3://conn@bucket/a/", "s3://conn@bucket/a"),
    ],
)
def test_a_store_is_one_however_its_address_is_written(
    backup: str, other: str, address: str
) -> None:
    assert guards(backup, other) == {address: {"backup"}}


def test_the_same_bucket_by_another_connection_opens_it_to_nobody_else() -> None:
    assert guards("s3://conn@bucket/a", "s3://bucket/a/") == {
        "s3://conn@bucket/a": {"backup"},
        "s3://bucket/a": {"backup"},
    }


def test_a_symbolic_link_to_a_store_opens_it_to_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    found = guards(str(tmp_path / "store"), str(tmp_path / "link"))
    assert list(found.values()) == [{"backup"}, {"backup"}]


def test_another_store_is_guarded_by_its_own_dags() -> None:
    assert guards("/backup/harbor", "/backup/harbor2")["/backup/harbor2"] == {"other"}


@pytest.mark.parametrize(
    "address",
    [
        f"s3://AKIAEXAMPLE:{SECRET}@bucket/a",
        f"S3://AKIAEXAMPLE:{SECRET}@bucket/a",
        f"gs://user:{SECRET}@bucket/a",
        f"https://user:{SECRET}@host/a",
        f"az://container/a?sig={SECRET}",
        f"s3:user:{SECRET}@bucket",
    ],
)
def test_credentials_in_an_address_are_not_shown(address: str) -> None:
    from airflow_provider_harbor.core.exceptions import HarborBackupError
    from airflow_provider_harbor.hooks.store import open_store
    from airflow_provider_harbor.plugins.sites import sites_of

    (site,) = sites_of(dict([serialized("backup", address)]))
    assert not any(part in site.shown for part in SECRET.split("/"))
    with pytest.raises(HarborBackupError) as caught:
        open_store(site.address)
    assert not any(part in str(caught.value) for part in SECRET.split("/"))


def test_the_id_of_a_connection_is_shown() -> None:
    from airflow_provider_harbor.plugins.sites import Site

    assert Site("s3://conn@bucket/a").shown == "s3://conn@bucket/a"
    assert Site("/backup/harbor@home").shown == "/backup/harbor@home"
