"""What one night leaves for the next one: nothing is believed that may have changed since."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from airflow_provider_harbor.core.copy.manifests import Manifests
from airflow_provider_harbor.core.copy.outcome import Finding, Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConfigurationError,
    HarborServerError,
    LeaseError,
)
from airflow_provider_harbor.core.jobs.backup import inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.registry import RegistryClient, referrers_tag
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import Backup, fill_small, list_whole, login, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import (
    Image,
    cosign_signature,
    digest_of,
    multi_arch,
    referrer,
    sbom_for,
)
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
            requests.delete(url, timeout=10).raise_for_status()
        return held

    destination._find_one = vanishing
    assert backup.run(destination).complete
    assert destination.registry.find_manifest("p/app", "2.0") == image.digest
    assert destination.registry.find_manifest("p/app", image.digest)


def test_a_blob_that_is_there_by_head_and_unknown_by_put_is_sent(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
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
            )
        )
    assert backup.run(reach(other_harbor)).complete
    there = registry_login(other_harbor).get_manifest("p/app", "1.0")
    assert there.digest == image.digest
    assert all(
        requests.get(
            f"{other_harbor.url}/v2/p/app/blobs/{digest}",
            auth=(other_harbor.user, other_harbor.password),
            timeout=10,
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
            store.open_for(url)
        except HarborConfigurationError as err:
            refused.append(err)

    threads = [threading.Thread(target=open_it, args=(d.url,)) for d in (harbor, other_harbor)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


# -- one artifact, one repository does not stop the others


def nested(depth: int) -> Image:
    """Make an image whose manifest has JSON nested deeper than Python reads it."""
    image = Image("nested")
    text = json.dumps(image.document)[:-1] + ',"x":' + "[" * depth + "]" * depth + "}"
    image.manifest = text.encode()
    image.digest = digest_of(image.manifest)
    return image


def test_a_manifest_that_nobody_can_read_stops_no_other(
    harbor: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    threading.stack_size(256 * 1024 * 1024)
    try:
        evil = harbor.push("p/evil", nested(20_000), "evil")
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(0)
    for number in range(3):
        harbor.push(f"p/good{number}", Image(f"{number}"), "1")
    report = backup.run(reach(target))
    assert [(f.digest, f.reason) for f in failed(report)] == [(evil.digest, "odd-answer")]
    assert report.copied == 3


def test_a_defect_of_this_program_is_one_finding(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = harbor.push("p/app", Image("bad"), "1.0")
    harbor.push("p/app", Image("good"), "2.0")
    get = Manifests.get

    def broken(self: Any, record: Any) -> Any:
        if record.digest == bad.digest:
            raise ZeroDivisionError("surprise")
        return get(self, record)

    monkeypatch.setattr(Manifests, "get", broken)
    report = backup.run(reach(other_harbor))
    (finding,) = failed(report)
    assert (finding.digest, finding.reason) == (bad.digest, "unexpected")
    assert "ZeroDivisionError: surprise" in finding.message
    assert "please report it" in finding.message
    assert report.copied == 1


def test_a_defect_of_this_program_leaves_the_project_a_result(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harbor.push("p/app", Image("app"), "1.0")

    def broken(*args: object, **options: object) -> Any:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(HarborPlace, "look_at", broken)
    with pytest.raises(ZeroDivisionError):
        backup.run(reach(other_harbor))
    result = Results(backup.store.results, "night-1").find("library")
    assert result
    assert "ZeroDivisionError" in result.error


@pytest.mark.parametrize("status", [500, 403, 200])
def test_a_repository_that_a_plain_registry_cannot_answer_for_is_one_finding_for_each_artifact(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, status: int
) -> None:
    other_harbor.create_project("p")
    for name in ("bad", "good1", "good2"):
        harbor.push(f"p/{name}", Image(name), "1")
    other_harbor.faults.add(
        Fault(path="/v2/p/bad/tags/list", times=None, status=status, body="<html>")
    )
    plain = reach_as_plain(other_harbor)
    report = backup.run(plain)
    assert [f.repository for f in failed(report)] == ["p/bad"]
    assert report.copied == 2
    other_harbor.faults.clear()
    assert backup.run(plain).complete


def reach_as_plain(double: HarborDouble) -> Place:
    """Reach a double by its distribution API only."""
    return PlainRegistryPlace(registry_login(double))


def test_a_repository_that_a_harbor_cannot_list_is_one_finding_for_each_artifact(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    for name in ("bad", "good1", "good2"):
        harbor.push(f"p/{name}", Image(name), "1")
    destination = reach(other_harbor)
    assert backup.run(destination).complete
    for name in ("bad", "good1"):
        harbor.push(f"p/{name}", Image(f"newer {name}"), "2")
    other_harbor.faults.add(Fault(path=r"/projects/p/artifacts", times=None, status=500))
    other_harbor.faults.add(Fault(path=r"/repositories/bad/", times=None, status=500))
    report = backup.run(destination)
    assert {f.repository for f in failed(report)} == {"p/bad"}
    assert "could not be listed" in failed(report)[0].message
    assert registry_login(other_harbor).find_manifest("p/good1", "2")


def test_a_registry_that_answers_nothing_is_an_error_and_not_a_hundred_findings(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    for number in range(8):
        harbor.push(f"p/app{number}", Image(f"{number}"), "1")
    other_harbor.faults.add(Fault(path="/tags/list", times=None, status=500))
    report = backup.run(reach_as_plain(other_harbor), workers=1)
    (line,) = [line for line in report.failures() if line.startswith("project p: ")]
    assert "500" in line
    assert other_harbor.requests["tags"] == 3 * 4


def test_a_circle_in_harbors_list_hangs_nothing(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.push("p/good", Image("good"), "1")
    one = harbor.push("p/app", multi_arch("one"), "1")
    two = harbor.push("p/app", multi_arch("two"), "2")
    first, second = (harbor.state.artifact("p/app", each.digest) for each in (one, two))
    for artifact, other in ((first, second), (second, first)):
        reference = artifact.references[0]
        reference.child.parents.remove(reference)
        reference.child = other
        other.parents.append(reference)
        artifact.rendered = None
    report = backup.run(reach(other_harbor))
    assert {(f.digest, f.reason) for f in failed(report)} == {
        (one.digest, "odd-answer"),
        (two.digest, "odd-answer"),
    }
    assert "in a circle" in failed(report)[0].message
    assert report.copied > 0


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
        timeout=10,
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


def test_a_signature_with_a_tag_and_a_subject_is_listed_when_that_failed_the_night_before(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    tag = f"{referrers_tag(image.digest)}.att"
    signature = harbor.push("p/app", referrer(image, artifact_type=kind), tag)
    destination = reach(plain_registry)

    def refuse(*_: object) -> None:
        raise HarborServerError(status=503, url=destination.url)

    with monkeypatch.context() as broken:
        broken.setattr(destination, "list_referrers", refuse)
        assert [f.digest for f in failed(backup.run(destination))] == [signature.digest]
    report = backup.run(destination)
    assert (report.complete, report.copied) == (True, 1)
    listed = destination.registry.iter_referrers("p/app", image.digest)
    assert [referrer.digest for referrer in listed] == [signature.digest]
    # What is on its list, or belongs on none, is present.
    for cached in (backup.store_path / "known").rglob("*.gz"):
        cached.unlink()
    report = backup.run(destination)
    assert (report.complete, report.copied, report.present) == (True, 0, 3)


def test_passing_errors_while_referrers_are_asked_for_are_not_taken_for_absence(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", sbom_for(image))
    plain = reach_as_plain(other_harbor)
    assert backup.run(plain).complete
    for cached in (backup.store_path / "known").rglob("*.gz"):
        cached.unlink()
    other_harbor.faults.add(Fault(path="/referrers/", times=None, status=503))
    report = backup.run(plain)
    assert not report.complete
    assert "503" in report.failures()[0]


def test_a_registry_that_lists_referrers_itself_gets_no_tag_for_them(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", sbom_for(image))
    plain = reach_as_plain(other_harbor)
    assert backup.run(plain).complete
    assert referrers_tag(image.digest) not in set(plain.registry.iter_tags("p/app"))


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


# -- content that the source has lost


def test_a_layer_that_answers_200_and_sends_nothing_is_lost_content(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    lost = max(image.blobs)
    harbor.faults.add(Fault(path=f"/blobs/{lost}", times=None, truncate_after_bytes=0))
    report = backup.run(reach(other_harbor))
    (finding,) = failed(report)
    assert (finding.digest, finding.reason) == (image.digest, "missing-blob")
    assert lost in finding.message
    assert registry_login(other_harbor).get_manifest("p/app", sbom.digest)


def test_a_layer_that_breaks_at_its_beginning_once_is_not_lost(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.faults.add(Fault(path=f"/blobs/{max(image.blobs)}", times=2, truncate_after_bytes=0))
    assert backup.run(reach(other_harbor)).complete


def test_a_layer_that_breaks_in_the_middle_is_a_broken_connection(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.faults.add(Fault(path=f"/blobs/{max(image.blobs)}", times=None, truncate_after_bytes=1))
    (finding,) = failed(backup.run(reach(other_harbor)))
    assert finding.reason == "connection"


# -- one Harbor under two names


def test_a_harbor_under_another_name_is_no_backup_of_itself(harbor: HarborDouble) -> None:
    alias = harbor.url.replace("127.0.0.1", "localhost")
    destination = HarborPlace(
        type(login(harbor))(alias, harbor.user, harbor.password), RegistryClient(alias)
    )
    with pytest.raises(HarborConfigurationError, match="the same Harbor"):
        destination.require_other(login(harbor))


def test_two_harbors_with_one_external_url_are_told_apart_by_their_projects(
    harbor: HarborDouble, other_harbor: HarborDouble
) -> None:
    harbor.state.external_url = other_harbor.state.external_url = "https://reg.mydomain.com"
    destination = reach(other_harbor)
    other_harbor.create_project("p")
    destination.require_other(login(harbor))


def test_a_connection_that_breaks_while_a_repository_is_asked_for_names_it(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    for name in ("bad", "good"):
        harbor.push(f"p/{name}", Image(name), "1")
    other_harbor.faults.add(Fault(path="/v2/p/bad/tags/list", times=None, reset=True))
    report = backup.run(reach_as_plain(other_harbor))
    assert [(f.repository, f.reason) for f in failed(report)] == [("p/bad", "connection")]
