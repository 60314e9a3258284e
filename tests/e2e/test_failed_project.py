"""A project fails, is mended, and is run again from the UI: nothing else runs again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot
from tests.double import HarborDouble, Image, cosign_signature, multi_arch
from tests.double.content import Content

from .conftest import Site

pytestmark = pytest.mark.e2e

DAG_ID = "harbor_backup"
PROJECTS = ["blue", "green", "red"]
GREEN = PROJECTS.index("green")
# The last tasks, which run after a green snapshot only.
RETENTION = {("retention.forget", -1), ("retention.prune", -1)}

# What the UI's dialog sends; it lists with a dry run what it is going to clear.
CLEAR_PROJECT = {
    "task_ids": [["backup.inventory", GREEN]],
    "include_downstream": True,
    "include_upstream": False,
    "include_future": False,
    "include_past": False,
    "only_failed": False,
    "run_on_latest_version": False,
    "prevent_running_task": True,
}

Instances = dict[tuple[str, int], dict[str, Any]]


@pytest.fixture
def images(site: Site) -> dict[str, Content]:
    """Fill the source: three projects with everything that is listed in some way of its own."""
    source = site.source
    source.state.delete_project("library")
    for project in PROJECTS:
        source.create_project(project)
    app = source.push("blue/app", multi_arch("blue"), "1.0", "latest")
    source.push("blue/app", cosign_signature(app))
    source.push("red/deep/down", Image("red"), "r1")
    source.push("red/deep/down", Image("untagged"))
    return {
        "kept": source.push("green/one", Image("green kept"), "k"),
        "lost": source.push("green/two", Image("green lost"), "l", "stable"),
    }


def test_a_failed_project_is_run_again_alone(site: Site, images: dict[str, Content]) -> None:
    api, source = site.api, site.source
    source.state.lose_blob(next(iter(images["lost"].blobs)))
    api.wait_for_dag(DAG_ID)
    run_id = api.trigger(DAG_ID, {"mirror": "harbor_destination", "projects": PROJECTS})

    assert api.wait_for_run(DAG_ID, run_id)["state"] == "failed"

    before = instances_of(site, run_id)
    assert states_of(before) == {
        ("check", -1): "success",
        ("projects", -1): "success",
        ("settings", -1): "success",
        **{("backup.inventory", index): "success" for index in range(3)},
        **{("backup.copy", index): "success" for index in range(3)},
        ("backup.copy", GREEN): "failed",
        ("snapshot", -1): "failed",
        **{key: "upstream_failed" for key in RETENTION},
    }
    assert names_of(before, "backup.inventory") == PROJECTS
    assert names_of(before, "backup.copy") == PROJECTS
    assert not snapshot_of(site, run_id).complete
    assert copied_digests(site.destination) == copied_digests(source) - {
        ("green/two", images["lost"].digest)
    }
    report = json.loads(report_of(site, run_id).read_bytes())
    assert report["complete"] is False
    findings = [f for p in report["projects"] for f in p["copy"]["findings"]]
    assert [(f["repository"], f["digest"]) for f in findings] == [
        ("green/two", images["lost"].digest)
    ]
    log = "\n".join(api.get_log(DAG_ID, run_id, before["backup.copy", GREEN]))
    assert "green/two" in log
    assert images["lost"].digest in log
    assert asset_events(site, run_id) == []
    partial = told(site, run_id, "partial")
    assert partial["subject"] == "harbor_backup: NOT everything is protected (green)"
    assert images["lost"].digest in partial["text"]
    assert report_of(site, run_id).with_suffix(".html").as_uri() == partial["report_url"]
    for task_id, index in (("snapshot", -1), ("backup.copy", GREEN)):
        page = report_page(site, run_id, task_id, index)
        assert "NOT everything is protected" in page
        assert images["lost"].digest in page

    source.push("green/two", images["lost"], "l", "stable")  # what the error message says to do
    assert would_clear(site, run_id) == {
        ("backup.inventory", GREEN),
        ("backup.copy", GREEN),
        ("snapshot", -1),
        *RETENTION,
    }
    clear(site, run_id, dry_run=False)

    assert api.wait_for_run(DAG_ID, run_id)["state"] == "success"

    after = instances_of(site, run_id)
    assert set(states_of(after).values()) == {"success"}
    ran_again = {key for key, instance in after.items() if instance["try_number"] == 2}
    assert ran_again == {("backup.inventory", GREEN), ("backup.copy", GREEN), ("snapshot", -1)}
    for key in after.keys() - ran_again - RETENTION:
        assert when(after[key]) == when(before[key])
    assert names_of(after, "backup.copy") == PROJECTS
    assert snapshot_of(site, run_id).complete
    assert json.loads(report_of(site, run_id).read_bytes())["complete"] is True
    assert asset_events(site, run_id) == ["harbor_backup"]
    assert told(site, run_id, "complete")["subject"].endswith(": Everything is protected now")
    assert copied_digests(site.destination) == copied_digests(source)
    assert tags_of(site.destination) == tags_of(source)
    assert manifests_of(site.destination, source) == manifests_of(source, source)


def test_nothing_at_all_and_nothing_for_too_long_are_told(site: Site) -> None:
    """By the DAG processor, and by the triggerer, which looks when five seconds have passed."""
    site.api.wait_for_dag(DAG_ID)
    run_id = site.api.trigger(DAG_ID, {"source": "nowhere", "store": f"{site.store}-of-nobody"})
    assert site.api.wait_for_run(DAG_ID, run_id)["state"] == "failed"

    failed = told(site, run_id, "failed")
    assert failed["subject"] == "harbor_backup: NOTHING was backed up"
    assert "there is no connection 'nowhere'" in failed["text"]
    late = told(site, run_id, "late")
    assert "NOT KNOWN whether there was a complete backup" in late["text"]


def told(site: Site, run_id: str, verdict: str) -> dict[str, Any]:
    """Return what the webhook got of a run; the mail says the same."""

    def find() -> list[dict[str, Any]]:
        own = [post for post in site.office.posts if quote(run_id, safe="") in post["run_url"]]
        return [post for post in own if post["verdict"] == verdict]

    site.api.wait_until(find, f"the message that a run is {verdict}")
    (post,) = find()
    subjects = [mail["Subject"] for mail in site.office.mails]
    assert post["subject"] in subjects
    return post


def instances_of(site: Site, run_id: str) -> Instances:
    found = site.api.get_task_instances(DAG_ID, run_id)
    return {(instance["task_id"], instance["map_index"]): instance for instance in found}


def report_page(site: Site, run_id: str, task_id: str, index: int) -> str:
    """Return what the button *Report* of a task leads to."""
    path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/links"
    links = site.api.call("GET", path, params={"map_index": index})["extra_links"]
    # In the UI what is behind this is shown in a frame.
    prefix, _, address = links["Report"].partition("/plugin/backups")
    assert prefix == ""
    return site.api.get_page(address)


def states_of(instances: Instances) -> dict[tuple[str, int], str]:
    return {key: instance["state"] for key, instance in instances.items()}


def names_of(instances: Instances, task_id: str) -> list[str]:
    """Return what the UI shows instead of the map index."""
    return [instances[task_id, index]["rendered_map_index"] for index in range(3)]


def when(instance: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(instance[name] for name in ("try_number", "start_date", "end_date", "id"))


def clear(site: Site, run_id: str, *, dry_run: bool) -> list[dict[str, Any]]:
    body = {**CLEAR_PROJECT, "dag_run_id": run_id, "dry_run": dry_run}
    answer = site.api.call("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=body)
    return list(answer["task_instances"])


def would_clear(site: Site, run_id: str) -> set[tuple[str, int]]:
    cleared = clear(site, run_id, dry_run=True)
    return {(instance["task_id"], instance["map_index"]) for instance in cleared}


def asset_events(site: Site, run_id: str) -> list[str]:
    events = site.api.call("GET", "/assets/events", params={"source_run_id": run_id})
    return [event["name"] for event in events["asset_events"]]


def snapshot_of(site: Site, run_id: str) -> Snapshot:
    (found,) = [s for s in BackupStore(site.store).snapshots.read_all() if run_id in s.run]
    return found


def report_of(site: Site, run_id: str) -> Path:
    return site.store / layout.report(snapshot_of(site, run_id).run, "json")


def copied_digests(harbor: HarborDouble) -> set[tuple[str, str]]:
    return {key for key, _ in _records(harbor)}


def tags_of(harbor: HarborDouble) -> dict[tuple[str, str], list[str]]:
    return dict(_records(harbor))


def manifests_of(harbor: HarborDouble, source: HarborDouble) -> dict[tuple[str, str], bytes]:
    """Return the content of every digest that the source lists."""
    with RegistryClient(harbor.url, harbor.user, harbor.password) as registry:
        keys = copied_digests(source)
        return {key: registry.get_manifest(*key).content for key in keys}


def _records(harbor: HarborDouble) -> list[tuple[tuple[str, str], list[str]]]:
    with HarborClient(harbor.url, harbor.user, harbor.password) as client:
        names = [project.name for project in client.iter_projects() if project.name in PROJECTS]
        records = [record for name in names for record in take_inventory(client, name).records]
    return [(record.key, [tag.name for tag in record.tags]) for record in records]
