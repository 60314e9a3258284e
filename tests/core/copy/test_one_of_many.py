"""One artifact, or one repository, that cannot be copied stops no other, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.manifests import Manifests
from airflow_provider_harbor.core.copy.outcome import Finding, Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import Results
from tests.core.rig import Backup, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, digest_of, multi_arch
from tests.registry_server import PlainRegistry


@pytest.fixture(autouse=True)
def project(harbor: HarborDouble) -> None:
    harbor.create_project("p")


def failed(report: RunReport) -> list[Finding]:
    return report.findings(Status.FAILED)


def nested(depth: int) -> Image:
    """Make an image whose manifest has JSON nested so deep below its own level.

    Go, and with it a registry, reads 10,000 levels; Python some less, whatever its version.
    """
    image = Image("nested")
    text = json.dumps(image.document)[:-1] + ',"x":' + "[" * depth + "]" * depth + "}"
    image.manifest = text.encode()
    image.digest = digest_of(image.manifest)
    return image


def test_a_manifest_that_nobody_can_read_stops_no_other(
    harbor: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    evil = harbor.push("p/evil", nested(9_999), "evil")
    for number in range(3):
        harbor.push(f"p/good{number}", Image(f"{number}"), "1")
    report = backup.run(reach(target))
    assert [(f.digest, f.reason) for f in failed(report)] == [(evil.digest, "odd-answer")]
    assert report.copied == 3


class FalseError(Exception):
    """Is no error to whoever asks whether there is any."""

    def __len__(self) -> int:
        return 0


def test_a_blob_that_failed_with_whatever_error_is_not_taken_for_copied(
    harbor: HarborDouble, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several blobs: some are copied by a pool, and one by the thread that waits for them."""
    images = [harbor.push("p/app", Image(name, layers=2), name) for name in ("a", "b")]
    harbor.push("p/app", Image("good"), "2.0")
    lost = {next(iter(images[0].blobs)), list(images[1].blobs)[-1]}
    copy = BlobCopier.copy

    def broken(self: Any, repository: str, blob: Any, **options: Any) -> bool:
        if blob.digest in lost:
            raise FalseError
        return copy(self, repository, blob, **options)

    monkeypatch.setattr(BlobCopier, "copy", broken)
    report = backup.run(backup.itself)
    assert {f.digest for f in failed(report)} == {image.digest for image in images}
    assert report.copied == 1


class UnspeakableError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("cannot be said")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("surprise"), "ZeroDivisionError: surprise"),
        (UnspeakableError(), "unexpected UnspeakableError. "),
    ],
)
def test_a_defect_of_this_program_is_one_finding(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    bad = harbor.push("p/app", Image("bad"), "1.0")
    harbor.push("p/app", Image("good"), "2.0")
    get = Manifests.get

    def broken(self: Any, record: Any) -> Any:
        if record.digest == bad.digest:
            raise error
        return get(self, record)

    monkeypatch.setattr(Manifests, "get", broken)
    report = backup.run(reach(other_harbor))
    (finding,) = failed(report)
    assert (finding.digest, finding.reason) == (bad.digest, "unexpected")
    assert said in finding.message
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


def test_a_connection_that_breaks_while_a_repository_is_asked_for_names_it(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    for name in ("bad", "good"):
        harbor.push(f"p/{name}", Image(name), "1")
    other_harbor.faults.add(Fault(path="/v2/p/bad/tags/list", times=None, reset=True))
    report = backup.run(reach_as_plain(other_harbor))
    assert [(f.repository, f.reason) for f in failed(report)] == [("p/bad", "connection")]
