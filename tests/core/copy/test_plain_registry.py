"""What a plain registry is asked for, what is believed of it, and what it cannot be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from airflow_provider_harbor.core.copy.outcome import Finding, Status
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.exceptions import DigestMismatchError, HarborServerError
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.oci.registry import referrers_tag
from tests.core.rig import Backup, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, Index, cosign_signature, referrer, sbom_for
from tests.registry_server import PlainRegistry


@pytest.fixture(autouse=True)
def project(harbor: HarborDouble, other_harbor: HarborDouble) -> None:
    harbor.create_project("p")
    other_harbor.create_project("p")


def failed(report: RunReport) -> list[Finding]:
    return report.findings(Status.FAILED)


@pytest.fixture
def plain(other_harbor: HarborDouble) -> PlainRegistryPlace:
    """A registry that is asked by its distribution API only."""
    night = datetime(2026, 5, 4, 3, 30, tzinfo=timezone.utc)
    return PlainRegistryPlace(registry_login(other_harbor), now=lambda: night)


def test_nothing_is_believed_where_what_has_no_tag_cannot_be_asked_for(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    child = Image("child")
    harbor.push("p/multi", Index(child, Image("other")), "1.0")
    untagged = harbor.push("p/app", Image("untagged"))
    assert backup.run(plain).complete
    other_harbor.state.delete_artifact("p/multi", "1.0")
    other_harbor.push("p/multi", Image("something else"), "1.0")
    digests = [untagged.digest, child.digest, Image("other").digest]
    fault = other_harbor.faults.add(
        Fault(method="HEAD", path=f"/manifests/({'|'.join(digests)})", status=403)
    )
    report = backup.run(plain)
    assert report.complete, report.failures()
    assert fault.hits == 1
    assert plain.registry.find_manifest("p/multi", child.digest)


@pytest.mark.parametrize("status", [400, 405])
def test_a_registry_that_knows_no_list_of_referrers_is_sent_them_again(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    plain: PlainRegistryPlace,
    status: int,
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", sbom_for(image))
    assert backup.run(plain).complete
    for cached in (backup.store_path / "known").rglob("*.gz"):
        cached.unlink()
    other_harbor.faults.add(Fault(path="/referrers/", times=None, status=status))
    report = backup.run(plain)
    assert (report.complete, report.copied, report.present) == (True, 1, 1)


def test_what_is_known_of_a_repository_outlives_a_night_on_which_it_could_not_be_asked_for(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    for name in ("bad", "good"):
        harbor.push(f"p/{name}", Image(name), "1")
    assert backup.run(plain).complete
    before = backup.store.read_known(plain.url, "p").held
    fault = other_harbor.faults.add(Fault(path="/v2/p/bad/tags/list", times=None, status=403))
    newer = harbor.push("p/good", Image("newer"), "2")
    assert [f.repository for f in failed(backup.run(plain))] == ["p/bad"]
    assert fault.hits
    after = backup.store.read_known(plain.url, "p").held
    assert after["p/bad"] == before["p/bad"]
    assert after["p/good"].asked == before["p/good"].asked
    assert after["p/good"].tags["2"] == newer.digest


def test_a_plain_registry_that_has_nothing_is_hardly_asked(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    for number in range(3):
        harbor.push("p/app", Image(f"{number}"), f"v{number}")
        harbor.push("p/untagged", Image(f"untagged {number}"))
    assert backup.run(plain).complete
    assert other_harbor.requests["tags"] == 2
    assert other_harbor.requests["manifest.head"] == 3  # of the repository that has no tag
    assert other_harbor.requests["blob.head"] == other_harbor.requests["blob.get"] == 0


def test_three_repositories_that_cannot_be_asked_for_stop_no_others_where_one_could_be(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    for name in ("a", "bad0", "bad1", "bad2", "z"):
        harbor.push(f"p/{name}", Image(name), "1")
    other_harbor.faults.add(Fault(path="/v2/p/bad./tags/list", times=None, status=403))
    report = backup.run(plain, workers=1)
    assert {f.repository for f in failed(report)} == {"p/bad0", "p/bad1", "p/bad2"}
    assert report.copied == 2


def test_a_defect_of_this_program_while_a_repository_is_asked_for_is_said_as_one(
    harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        harbor.push(f"p/{name}", Image(name), "1")
    tags = plain.registry.iter_tags

    def broken(repository: str) -> Iterator[str]:
        if repository == "p/bad":
            raise ZeroDivisionError("surprise")
        return tags(repository)

    monkeypatch.setattr(plain.registry, "iter_tags", broken)
    (finding,) = failed(backup.run(plain))
    assert (finding.repository, finding.reason) == ("p/bad", "unexpected")
    assert "ZeroDivisionError: surprise" in finding.message


def test_one_manifest_without_a_tag_is_asked_for_each_night(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    untagged = harbor.push("p/app", Image("untagged"))
    for number in range(6):
        harbor.push("p/app", Image(f"{number}"), f"v{number}")
    assert backup.run(plain).complete
    other_harbor.requests.reset()
    assert backup.run(plain).complete
    heads = [path for method, path, _ in other_harbor.requests.log if method == "HEAD"]
    assert heads == [f"/v2/p/app/manifests/{untagged.digest}"]


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


def test_a_signature_that_the_registry_has_damaged_is_sent_again_where_it_is_on_no_list(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    tag = f"{referrers_tag(image.digest)}.att"
    signature = harbor.push("p/app", referrer(image, artifact_type=kind), tag)
    destination = reach(plain_registry)

    def refuse(*_: object) -> None:
        raise HarborServerError(status=503, url=destination.url)

    def damaged(*_: object) -> None:
        raise DigestMismatchError(
            expected=signature.digest, actual=image.digest, size_bytes=1, where="p/app"
        )

    with monkeypatch.context() as broken:
        broken.setattr(destination, "list_referrers", refuse)
        assert not backup.run(destination).complete
    with monkeypatch.context() as broken:
        broken.setattr(destination, "get_manifest", damaged)
        assert backup.run(destination).copied == 1
    listed = destination.registry.iter_referrers("p/app", image.digest)
    assert [referrer.digest for referrer in listed] == [signature.digest]


def test_passing_errors_while_referrers_are_asked_for_are_not_taken_for_absence(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", sbom_for(image))
    assert backup.run(plain).complete
    for cached in (backup.store_path / "known").rglob("*.gz"):
        cached.unlink()
    other_harbor.faults.add(Fault(path="/referrers/", times=None, status=503))
    report = backup.run(plain)
    assert not report.complete
    assert "503" in report.failures()[0]


def test_a_registry_that_lists_referrers_itself_gets_no_tag_for_them(
    harbor: HarborDouble, backup: Backup, plain: PlainRegistryPlace
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.push("p/app", sbom_for(image))
    assert backup.run(plain).complete
    assert referrers_tag(image.digest) not in set(plain.registry.iter_tags("p/app"))
