"""A night goes into the store, repositories are deleted, the form of `harbor_restore` is filled in.

One project cannot be restored at first; it is cleared, and only it runs again.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from tests.double import Fault, HarborDouble, Image, cosign_signature, multi_arch

from .conftest import Site

pytestmark = pytest.mark.e2e

DAG_ID = "harbor_restore"
PROJECTS = ["east", "north", "west"]
NORTH = PROJECTS.index("north")
Instances = dict[tuple[str, int], dict[str, Any]]


@pytest.fixture
def source(site: Site) -> HarborDouble:
    for project in PROJECTS:
        site.source.create_project(project)
    app = site.source.push("east/app", multi_arch("east"), "1.0", "latest")
    site.source.push("east/app", cosign_signature(app))
    site.source.push("north/deep/down", Image("north"), "n1")
    site.source.push("north/deep/down", Image("untagged"))
    site.source.push("west/kept", Image("west"), "w")
    return site.source


def held(harbor: HarborDouble) -> set[tuple[str, str, tuple[str, ...]]]:
    with HarborClient(harbor.url, harbor.user, harbor.password) as client:
        return {
            (*record.key, tuple(tag.name for tag in record.tags))
            for project in PROJECTS
            for record in take_inventory(client, project).records
        }


def instances_of(site: Site, run_id: str) -> Instances:
    found = site.api.get_task_instances(DAG_ID, run_id)
    return {(instance["task_id"], instance["map_index"]): instance for instance in found}


def test_what_was_deleted_is_restored_by_the_form_and_a_failed_project_runs_again_alone(
    site: Site, source: HarborDouble
) -> None:
    api = site.api
    api.wait_for_dag("harbor_backup")
    api.wait_for_dag(DAG_ID)
    night = api.trigger("harbor_backup", {"projects": PROJECTS})
    assert api.wait_for_run("harbor_backup", night)["state"] == "success"
    before = held(source)
    for name in ("east/app", "north/deep/down"):
        source.state.forget_repository(source.state.repositories[name])
    source.faults.add(
        Fault(method="PUT", path="/v2/north/deep/down/manifests", status=403, times=None)
    )

    run_id = api.trigger(DAG_ID, {"snapshot": "latest", "projects": PROJECTS})
    assert api.wait_for_run(DAG_ID, run_id)["state"] == "failed"

    first = instances_of(site, run_id)
    names = [first["restore", index]["rendered_map_index"] for index in range(3)]
    assert names == PROJECTS
    assert {key: instance["state"] for key, instance in first.items()} == {
        ("choose", -1): "success",
        ("settings_wanted", -1): "success",
        ("settings_before", -1): "skipped",
        ("settings_after", -1): "skipped",
        **{("restore", index): "success" for index in range(3)},
        ("restore", NORTH): "failed",
        ("report", -1): "failed",
    }
    assert {name for name, _, _ in before - held(source)} == {"north/deep/down"}
    log = "\n".join(api.get_log(DAG_ID, run_id, first["restore", NORTH]))
    assert "north/deep/down" in log
    assert source.password not in log

    source.faults.clear()
    body = {
        "dag_run_id": run_id,
        "task_ids": [["restore", NORTH]],
        "include_downstream": True,
        "only_failed": False,
        "dry_run": False,
    }
    api.call("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=body)
    assert api.wait_for_run(DAG_ID, run_id)["state"] == "success"

    again = {k for k, i in instances_of(site, run_id).items() if i["try_number"] == 2}
    assert again == {("restore", NORTH), ("report", -1)}
    assert held(source) == before
