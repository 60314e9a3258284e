"""What one night leaves for the next one: nothing is believed that may have changed since."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from airflow_provider_harbor.core.copy.outcome import Finding, Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConfigurationError,
    HarborServerError,
    LeaseError,
)
from airflow_provider_harbor.core.jobs.backup import inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import Backup, fill_small, list_whole, login, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, cosign_signature, sbom_for
from tests.registry_server import PlainRegistry


@pytest.fixture(autouse=True)
def project(harbor: HarborDouble) -> None:
    harbor.create_project("p")


def failed(report: RunReport) -> list[Finding]:
    return report.findings(Status.FAILED)


class Breaks(RegistryClient):
    """A destination that fails, or lets the process be killed, at one reference."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.at: dict[str, BaseException] = {}

    def put_manifest(
        self, repository: str, reference: str, manifest: Manifest, *options: Any
    ) -> Any:
        if error := self.at.get(reference):
            raise error
        return super().put_manifest(repository, reference, manifest, *options)


@pytest.fixture
def breaking(plain_registry: PlainRegistry) -> tuple[Place, Breaks]:
    destination = reach(plain_registry)
    destination.registry = registry = Breaks(plain_registry.url)
    return destination, registry


# -- a record that a run did not get to write


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        RecursionError("a surprise"),
        HarborServerError(status=500, url="http://elsewhere/x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_tag_that_a_broken_run_moved_is_moved_back_when_the_source_moves_it_back(
    harbor: HarborDouble,
    backup: Backup,
    breaking: tuple[Place, Breaks],
    error: BaseException,
) -> None:
    destination, registry = breaking
    old = harbor.push("p/app", Image("old"), "latest")
    assert backup.run(destination).complete
    new = harbor.push("p/app", Image("new"), "latest", "zz")
    registry.at["zz"] = error
    if isinstance(error, Exception):
        assert not backup.run(destination, workers=1).complete
    else:
        with pytest.raises(type(error)):
            backup.run(destination, workers=1)
    assert registry.find_manifest("p/app", "latest") == new.digest
    registry.at.clear()
    harbor.push("p/app", old, "latest")
    harbor.push("p/app", new, "zz")
    assert backup.run(destination).complete
    assert registry.find_manifest("p/app", "latest") == old.digest
    assert registry.find_manifest("p/app", "zz") == new.digest


def test_an_artifact_that_failed_is_copied_on_the_next_night(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", Image("other"), "2.0")
    harbor.faults.add(Fault(path=f"/manifests/{image.digest}", status=500, times=4 * 3))
    destination = reach(plain_registry)
    report = backup.run(destination)
    assert [f.digest for f in failed(report)] == [image.digest]
    known = backup.store.read_known(plain_registry.url, "p").held["p/app"]
    assert image.digest not in known.digests
    assert known.tags.keys() == {"2.0"}
    assert known.asked is None
    report = backup.run(destination)
    assert (report.complete, report.copied, report.present) == (True, 1, 1)
    assert destination.registry.find_manifest("p/app", "1.0") == image.digest


def test_the_tag_of_a_signed_image_that_is_refused_is_a_failure(
    harbor: HarborDouble, backup: Backup, breaking: tuple[Place, Breaks]
) -> None:
    destination, registry = breaking
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    registry.at["1.0"] = HarborAuthError(status=403, url=f"{registry.url}/v2/")
    report = backup.run(destination)
    assert [(f.digest, f.reason) for f in failed(report)] == [(image.digest, "denied")]


def test_untagged_artifacts_alone_are_sent_again_to_a_registry_that_was_wiped(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    """Its list of tags is 404 before and after."""
    image = harbor.push("p/app", Image("untagged"))
    destination = reach(plain_registry)
    assert backup.run(destination).complete
    plain_registry.wipe()
    assert backup.run(destination).copied == 1
    assert destination.registry.find_manifest("p/app", image.digest)


@pytest.mark.parametrize("day", [4, 5])
def test_untagged_artifacts_that_one_repository_lost_are_sent_again(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup, day: int
) -> None:
    """Whichever of the two it is that is looked at that night."""
    harbor.push("p/kept", Image("kept"))
    image = harbor.push("p/lost", Image("lost"))
    destination = reach(plain_registry, now=lambda: datetime(2026, 5, day, tzinfo=timezone.utc))
    assert backup.run(destination).complete
    url = f"{plain_registry.url}/v2/p/lost/manifests/{image.digest}"
    requests.delete(url, timeout=120).raise_for_status()
    assert backup.run(destination).copied == 1
    assert destination.registry.find_manifest("p/lost", image.digest)


def test_untagged_artifacts_alone_are_not_sent_again_with_a_new_store(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    harbor.push("p/app", Image("untagged"))
    harbor.push("p/app", Image("another"))
    destination = reach(plain_registry)
    assert backup.run(destination).complete
    for cached in (backup.store_path / "known").rglob("*.gz"):
        cached.unlink()
    harbor.requests.reset()
    assert backup.run(destination).present == 2
    assert harbor.requests["manifest.get"] == 0


@pytest.mark.parametrize("tags", [(), ("1.0",)])
def test_one_artifact_more_does_not_have_the_untagged_ones_sent_again_with_a_new_store(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup, tags: tuple[str, ...]
) -> None:
    """Neither where it has a tag, nor where it comes first of all by its digest."""
    images = sorted((Image(f"{n}") for n in range(4)), key=lambda image: image.digest)
    first, *others = images
    for image in others:
        harbor.push("p/app", image)
    destination = reach(plain_registry)
    assert backup.run(destination).complete
    for cached in (backup.store_path / "known").rglob("*.gz"):
        cached.unlink()
    harbor.push("p/app", first, *tags)
    report = backup.run(destination)
    assert (report.copied, report.present) == (1, 3)


def test_a_manifest_that_needs_only_tags_and_has_vanished_is_sent_again(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    destination = reach(plain_registry)
    assert backup.run(destination).complete
    url = f"{plain_registry.url}/v2/p/app/manifests/{image.digest}"
    harbor.push("p/app", image, "2.0")
    find_one = destination._find_one

    def vanishing(repository: str, *args: Any) -> Any:
        held = find_one(repository, *args)
        if repository == "p/app":
            requests.delete(url, timeout=120).raise_for_status()
        return held

    destination._find_one = vanishing
    assert backup.run(destination).complete
    assert destination.registry.find_manifest("p/app", "2.0") == image.digest
    assert destination.registry.find_manifest("p/app", image.digest)


@pytest.mark.parametrize("breaks", [0, 1])
def test_a_blob_that_is_there_by_head_and_unknown_by_put_is_sent(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, breaks: int
) -> None:
    """Also where the connection breaks while it is sent: what it says is not believed again."""
    other_harbor.create_project("p")
    other_harbor.push("p/app", Image("there"), "0")
    image = harbor.push("p/app", Image("app"), "1.0")
    for digest, blob in image.blobs.items():
        other_harbor.faults.add(
            Fault(
                method="HEAD",
                path=f"/blobs/{digest}",
                status=200,
                headers={"Docker-Content-Digest": digest, "Content-Length": str(len(blob))},
                times=None,
            )
        )
    other_harbor.faults.add(Fault(method="PUT", path="/blobs/", reset=True, times=breaks))
    assert backup.run(reach(other_harbor)).complete
    there = registry_login(other_harbor).get_manifest("p/app", "1.0")
    assert there.digest == image.digest
    assert all(
        requests.get(
            f"{other_harbor.url}/v2/p/app/blobs/{digest}",
            auth=(other_harbor.user, other_harbor.password),
            timeout=120,
        ).content
        == blob
        for digest, blob in image.blobs.items()
    )


def test_a_record_is_as_old_as_the_last_time_that_everything_was_asked_for(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/other", Image("other"), "1.0")
    at = datetime(2026, 5, 4, 3, 30, tzinfo=timezone.utc)

    def asked() -> set[datetime | None]:
        known = backup.store.read_known(plain_registry.url, "p")
        return {held.asked for held in known.held.values()}

    backup.run(reach(plain_registry, now=lambda: at))
    assert asked() == {at}
    harbor.push("p/app", Image("newer"), "2.0")
    backup.run(reach(plain_registry, now=lambda: at + timedelta(hours=1)))
    assert asked() == {at}
    backup.run(reach(plain_registry, now=lambda: at + timedelta(days=8)))
    assert asked() == {at + timedelta(days=8)}


def test_an_unchanged_night_changes_nothing_of_a_record_but_its_time(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    fill_small(harbor)
    backup.run(reach(plain_registry))
    before = backup.store.read_known(plain_registry.url, "alpha")
    assert backup.run(reach(plain_registry)).complete
    after = backup.store.read_known(plain_registry.url, "alpha")
    assert after.listed_at > before.listed_at
    assert replace(after, run=before.run, listed_at=before.listed_at) == before


# -- two runs


def test_a_second_run_to_the_same_destination_waits_for_the_first(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    destination = reach(other_harbor)
    with backup.lease(destination, "the-other-night"):
        with pytest.raises(LeaseError, match="the-other-night"):
            backup.run(destination)
        # Only looking is no writing.
        report = backup._run(destination, "night-3", dry_run=True)
        assert report.planned.to_copy == 1
    assert backup.run(destination).complete


def test_a_run_that_lost_its_lease_writes_no_more(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    for number in range(10):
        harbor.push("p/app", Image(f"{number}"), f"t{number}")
    destination = reach(other_harbor)
    with backup.lease(destination, "night-1") as lease:
        lost = LeaseError("the run night-2 has taken over")

        def lose(_: object) -> None:
            lease._lost = lost

        other_harbor.faults.add(Fault(method="PUT", path="/manifests/", skip=2, callback=lose))
        report = backup._run(destination, "night-1", lease=lease, workers=1)
    assert {f.reason for f in failed(report)} == {"lease"}
    assert report.copied <= 4
    puts = [p for m, p, _ in other_harbor.requests.log if m == "PUT" and "/manifests/" in p]
    assert len(puts) == 3


def test_a_run_that_lost_its_lease_at_its_end_is_not_complete_and_nothing_of_it_is_believed(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    destination = reach(other_harbor)
    with backup.lease(destination, "night-1") as lease:

        def lose(_: object) -> None:
            lease._lost = LeaseError("the run night-2 has taken over")

        path = r"/manifests/1\.0"  # the last that is written
        other_harbor.faults.add(Fault(method="PUT", path=path, callback=lose))
        report = backup._run(destination, "night-1", lease=lease, workers=1)
    assert not report.complete
    assert "night-2 has taken over" in report.failures()[0]
    assert [result.copy.copied for result in report.projects if result.copy] == [0, 1]


def test_an_older_run_that_is_cleared_moves_no_tag_back(
    harbor: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    destination = reach(target)
    harbor.push("p/app", Image("old"), "latest")
    first = backup.run(destination)
    new = harbor.push("p/app", Image("new"), "latest")
    assert backup.run(destination).complete
    (ref,) = (r.inventory for r in first.projects if r.project == "p")
    result = backup.copy(destination, "night-1", ref)
    assert destination.registry.find_manifest("p/app", "latest") == new.digest
    assert result.ok
    assert result.copy
    assert result.copy.total == 1
    (finding,) = result.iter_findings(Status.SKIPPED)
    assert finding.reason == "newer-tag"
    assert "latest" in finding.message


def test_an_older_run_moves_no_tag_back_that_a_newer_one_found_right(
    harbor: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    destination = reach(target)
    right = harbor.push("p/app", Image("right"), "latest")
    backup.run(destination)
    other = harbor.push("p/app", Image("other"), "latest")
    ref = inventory_project(backup.client, backup.store, "not-copied", "p")
    harbor.push("p/app", right, "latest")
    harbor.state.delete_artifact("p/app", other.digest)
    report = backup.run(destination)
    assert report.complete
    assert not report.copied
    harbor.push("p/app", other)
    result = backup.copy(destination, "not-copied", ref)
    assert destination.registry.find_manifest("p/app", "latest") == right.digest
    assert destination.registry.find_manifest("p/app", other.digest)
    assert [f.reason for f in result.iter_findings(Status.SKIPPED)] == ["newer-tag"]


def test_a_run_whose_clock_was_wrong_keeps_no_later_one_from_moving_tags(
    harbor: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    destination = reach(target)
    harbor.push("p/app", Image("one"), "latest")
    ref = inventory_project(backup.client, backup.store, "night-0", "p")
    ahead = datetime.now(timezone.utc) + timedelta(days=365)
    with backup.lease(destination, "night-0"):
        assert backup.copy(destination, "night-0", replace(ref, listed_at=ahead.isoformat())).ok
    for number in range(2):
        new = harbor.push("p/app", Image(f"new {number}"), "latest")
        report = backup.run(destination)
        assert report.complete
        assert not report.findings(Status.SKIPPED)
        assert destination.registry.find_manifest("p/app", "latest") == new.digest


def test_an_older_run_that_is_cleared_still_copies_what_is_missing(
    harbor: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    destination = reach(target)
    lost = harbor.push("p/app", Image("lost"), "1.0", "latest")
    blob = max(lost.blobs)
    harbor.state.lose_blob(blob)
    first = backup.run(destination)
    new = harbor.push("p/app", Image("new"), "latest")
    backup.run(destination)
    harbor.state.storage.put_blob("p/app", blob, lost.blobs[blob])
    (ref,) = (r.inventory for r in first.projects if r.project == "p")
    # Twice, since what the first time copied must not make it the newest.
    for _ in range(2):
        result = backup.copy(destination, "night-1", ref)
        assert result.ok
        assert destination.registry.find_manifest("p/app", "1.0") == lost.digest
        assert destination.registry.find_manifest("p/app", "latest") == new.digest


def test_two_harbors_that_open_one_empty_store_do_not_share_it(
    harbor: HarborDouble, other_harbor: HarborDouble, tmp_path: Any
) -> None:
    start = threading.Barrier(2)
    refused: list[Exception] = []

    def open_it(url: str) -> None:
        store = BackupStore(tmp_path / "shared")
        start.wait()
        try:
            store.begin_for(url)
        except HarborConfigurationError as err:
            refused.append(err)

    threads = [threading.Thread(target=open_it, args=(d.url,)) for d in (harbor, other_harbor)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


# -- what else may happen


def test_a_tag_of_two_signatures_is_listed_again_until_one_has_it(
    harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    signature = harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    sbom = harbor.push("p/app", sbom_for(image))
    text = requests.get(
        f"{harbor.url}/api/v2.0/projects/p/repositories/app/artifacts/{signature.digest}",
        params={"with_tag": "true"},
        auth=(harbor.user, harbor.password),
        timeout=120,
    ).json()
    body = json.dumps({**text, "digest": sbom.digest})
    fault = harbor.faults.add(
        Fault(
            path=f"/artifacts/{sbom.digest}", status=200, body=body, content_type="application/json"
        )
    )
    records = list_whole(login(harbor), "p")
    assert fault.hits == 1
    tags = [tag.name for record in records for tag in record.tags]
    assert sorted(tags) == sorted(["1.0", *signature.default_tags])


def test_a_project_that_somebody_else_creates_first_is_used(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    other_harbor.faults.add(
        Fault(method="POST", path="/projects$", callback=lambda double: double.create_project("p"))
    )
    assert backup.run(reach(other_harbor)).complete


def test_a_wrong_login_at_a_harbor_destination_is_no_empty_destination(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p", public=True)
    harbor.push("p/app", Image("app"), "1.0")
    wrong = HarborPlace(login(other_harbor, password="wrong"), registry_login(other_harbor))
    report = backup.run(wrong)
    assert not report.complete
    assert any("was not accepted" in line for line in report.failures())
