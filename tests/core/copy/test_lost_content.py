"""What one of the registries does not have, or says of itself: whose word it is decides."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.outcome import Finding, Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborServerError,
    LeaseError,
)
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.oci.manifest import FOREIGN_LAYER_MEDIA_TYPES, Manifest
from airflow_provider_harbor.core.oci.registry import PutResult, RegistryClient, referrers_tag
from tests.core.rig import Backup, fast_session, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image, sbom_for, sigstore_bundle
from tests.registry_server import PlainRegistry

UNKNOWN_BLOB = '{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
FOREIGN = min(FOREIGN_LAYER_MEDIA_TYPES)


@pytest.fixture(autouse=True)
def project(harbor: HarborDouble, other_harbor: HarborDouble) -> None:
    harbor.create_project("p")
    other_harbor.create_project("p")


def failed(report: RunReport) -> list[Finding]:
    return report.findings(Status.FAILED)


# -- blobs


def test_a_blob_that_the_source_denies_is_lost_content(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    """As a registry answers that has not cached what it once had."""
    harbor.state.registry_cache = False
    image = harbor.push("p/app", Image("app"), "1.0")
    lost = max(image.blobs)
    harbor.state.lose_blob(lost)
    report = backup.run(reach(other_harbor))
    (finding,) = failed(report)
    assert (finding.digest, finding.reason) == (image.digest, "missing-blob")
    assert lost in finding.message
    assert harbor.requests["blob.get"] <= len(image.blobs)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_404_of_the_destination_is_not_lost_content_of_the_source(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, method: str
) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    other_harbor.faults.add(
        Fault(method=method, path="/blobs/uploads/", times=None, status=404, body=UNKNOWN_BLOB)
    )
    (finding,) = failed(backup.run(reach(other_harbor)))
    assert finding.reason == {"POST": "no-repository", "PUT": "lost-upload"}[method]


def foreign(name: str) -> tuple[Content, str]:
    """Make an image one layer of which is fetched elsewhere, and is in no registry."""
    image = Image(name, layers=2)
    document = copy.deepcopy(image.document)
    layer = document["layers"][0]
    layer.update({"mediaType": FOREIGN, "urls": ["https://elsewhere.example.com/layer"]})
    held = [blob for digest, blob in image.blobs.items() if digest != layer["digest"]]
    return Content(image.media_type, document, blobs=held), layer["digest"]


def test_a_foreign_layer_that_the_source_lacks_keeps_no_image_from_being_copied(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image, layer = foreign("windows")
    harbor.push("p/app", image, "1.0")
    report = backup.run(reach(other_harbor))
    assert report.complete, report.failures()
    there = registry_login(other_harbor)
    assert there.find_manifest("p/app", "1.0") == image.digest
    assert not there.has_blob("p/app", layer)
    assert report.blobs_copied == len(image.blobs)


def puts(double: HarborDouble, path: str) -> list[str]:
    return [
        target for method, target, _ in double.requests.log if method == "PUT" and path in target
    ]


def test_a_blob_that_did_not_arrive_is_not_taken_for_one_whose_answer_was_lost(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    """It is sent again before its manifest is, and not when that is refused."""
    image = harbor.push("p/app", Image("app"), "1.0")
    other_harbor.faults.add(Fault(method="PUT", path="/blobs/uploads/", times=1, reset=True))
    assert backup.run(reach(other_harbor)).complete
    assert len(puts(other_harbor, "/manifests/")) == 1
    assert len(puts(other_harbor, "/blobs/")) == len(image.blobs) + 1


def test_a_blob_that_may_not_be_pushed_is_sent_once(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    said = '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
    other_harbor.faults.add(
        Fault(method="PUT", path="/blobs/uploads/", times=None, status=403, body=said)
    )
    (finding,) = failed(backup.run(reach(other_harbor)))
    assert finding.reason == "denied"
    assert len(puts(other_harbor, "/blobs/")) == len(image.blobs)


def test_artifacts_that_fail_now_and_then_stop_nothing(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    images = [harbor.push("p/app", Image(f"{number}"), f"v{number}") for number in range(14)]
    bad = sorted(image.digest for image in images)[::2]
    harbor.faults.add(Fault(path=f"/manifests/({'|'.join(bad)})", times=None, status=403))
    report = backup.run(reach(other_harbor), workers=1)
    assert {f.digest: f.reason for f in failed(report)} == dict.fromkeys(bad, "denied-at-source")
    assert report.copied == 7


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


def test_a_layer_of_which_something_came_once_is_not_lost(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    path = f"/blobs/{max(image.blobs)}"
    harbor.faults.add(Fault(path=path, times=1, truncate_after_bytes=1))
    harbor.faults.add(Fault(path=path, times=None, truncate_after_bytes=0))
    (finding,) = failed(backup.run(reach(other_harbor)))
    assert finding.reason == "connection"


def test_a_layer_that_breaks_in_the_middle_is_a_broken_connection(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    harbor.faults.add(Fault(path=f"/blobs/{max(image.blobs)}", times=None, truncate_after_bytes=1))
    (finding,) = failed(backup.run(reach(other_harbor)))
    assert finding.reason == "connection"


# -- lists of referrers, at a registry that keeps none itself


class Lists(RegistryClient):
    """A registry at which lists of referrers cannot be written, or do not stay."""

    error: BaseException | None = None
    forgets = False

    def put_manifest(
        self, repository: str, reference: str, manifest: Manifest, *options: Any
    ) -> PutResult:
        if reference.startswith("sha256-") and not reference.endswith(".sig"):
            if self.error:
                raise self.error
            if self.forgets:
                reference = manifest.digest
        return super().put_manifest(repository, reference, manifest, *options)


@pytest.fixture
def lists(plain_registry: PlainRegistry) -> tuple[Place, Lists]:
    registry = Lists(plain_registry.url, session=fast_session(plain_registry.url))
    return PlainRegistryPlace(registry), registry


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HarborServerError(status=500, url="http://elsewhere/x"), "server-error"),
        (HarborAuthError(status=403, url="http://elsewhere/x"), "denied"),
        (ZeroDivisionError("surprise"), "unexpected"),
    ],
    ids=["server", "denied", "defect"],
)
def test_a_list_of_referrers_that_cannot_be_written_fails_its_referrers_only(
    harbor: HarborDouble,
    backup: Backup,
    lists: tuple[Place, Lists],
    error: BaseException,
    reason: str,
) -> None:
    destination, registry = lists
    image = harbor.push("p/app", Image("app"), "1.0")
    referrers = {harbor.push("p/app", make(image)).digest for make in (sbom_for, sigstore_bundle)}
    registry.error = error
    report = backup.run(destination)
    assert {f.digest: f.reason for f in failed(report)} == dict.fromkeys(referrers, reason)
    assert report.copied == 1
    assert registry.find_manifest("p/app", "1.0") == image.digest
    registry.error = None
    assert backup.run(destination).complete
    listed = registry.iter_referrers("p/app", image.digest)
    assert {referrer.digest for referrer in listed} == referrers


def test_a_list_of_referrers_that_does_not_stay_fails_its_referrers(
    harbor: HarborDouble, backup: Backup, lists: tuple[Place, Lists]
) -> None:
    destination, registry = lists
    image = harbor.push("p/app", Image("app"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    registry.forgets = True
    (finding,) = failed(backup.run(destination))
    assert (finding.digest, finding.reason) == (sbom.digest, "unsettled")
    assert referrers_tag(image.digest) in finding.message


def test_a_run_that_lost_its_lease_writes_no_list_of_referrers(
    harbor: HarborDouble, backup: Backup, lists: tuple[Place, Lists]
) -> None:
    destination, registry = lists
    image = harbor.push("p/app", Image("app"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    put = registry.put_manifest
    with backup.lease(destination, "night-1") as lease:

        def losing(repository: str, reference: str, *options: Any) -> Any:
            result = put(repository, reference, *options)
            if reference == sbom.digest:
                lease._lost = LeaseError("the run night-2 has taken over")
            return result

        registry.put_manifest = losing  # type: ignore[method-assign]
        report = backup._run(destination, "night-1", lease=lease, workers=1)
    assert {f.digest: f.reason for f in failed(report)} == dict.fromkeys(
        (image.digest, sbom.digest), "lease"
    )
    assert not set(registry.iter_tags("p/app"))
