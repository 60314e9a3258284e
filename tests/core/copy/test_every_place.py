"""Whole copies into every place: all that a Harbor can hold, once, and whole or not at all."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.oci.manifest import Descriptor, digest_of
from tests.core.rig import Backup
from tests.double import Fault, HarborDouble
from tests.double.content import (
    DOCKER_MANIFEST,
    Content,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    helm_chart,
    multi_arch,
    sbom_for,
    sigstore_bundle,
)

FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

ODD_NAMES = ("p/0", "p/a__b", "p/a--b/c.d", "p/sha256", "p/blobs", "p/" + "x" * 150)


def windows_image(name: str) -> Content:
    """Return an image as Docker makes it of a base that is Microsoft's: that stays elsewhere."""
    image = Image(name, layers=2, media_type=DOCKER_MANIFEST)
    config, base, layer = image.blobs
    document = {**image.document, "layers": [dict(each) for each in image.document["layers"]]}
    document["layers"][0] |= {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "urls": [f"https://mcr.example.com/v2/windows/blobs/{base}"],
    }
    return Content(image.media_type, document, blobs=[image.blobs[config], image.blobs[layer]])


def fill_all_kinds(harbor: HarborDouble) -> dict[str, Content]:
    """Make one of everything that a registry holds, and something that holds nothing."""
    for name in ("p", "q"):
        harbor.create_project(name)
    image = harbor.push("p/app", Image("app", layers=3), "1.0", "latest", "a.b_c-d")
    harbor.push("p/app", Image("untagged"))
    harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    sbom = harbor.push("p/app", sbom_for(image))
    harbor.push("p/app", sigstore_bundle(sbom))
    harbor.push("p/deep/er/docker", Image("docker", media_type=DOCKER_MANIFEST), "1.0")
    multi = harbor.push("p/multi", multi_arch("multi"), "2.0")
    harbor.push("p/multi", sbom_for(multi))
    leaf = Image("leaf")
    nested = Index(Index(leaf, attestation_for(leaf)), Image("other leaf"))
    harbor.push("p/nested", nested, "3.0")
    harbor.push("q/charts/web", helm_chart("web"), "1.0.0")
    harbor.push("q/copy", Image("app", layers=3), "again")
    harbor.push("q/copy", nested)
    harbor.push("p/windows", Image("windows", layers=2, layer_type=FOREIGN), "held")
    for number, name in enumerate(ODD_NAMES):
        harbor.push(name, Image(f"odd {number}"), "1")
    emptied = harbor.push("p/emptied", Image("gone"), "1")
    harbor.state.delete_artifact("p/emptied", emptied.digest)
    return {"image": image, "sbom": sbom, "multi": multi, "nested": nested}


def described(content: bytes) -> Descriptor:
    return Descriptor(digest=digest_of(content), size_bytes=len(content))


def assert_holds(place: Place, records: list[Record], backup: Backup) -> None:
    """Every byte of every artifact is there, and every tag."""
    read: set[str] = set()
    for record in records:
        there = place.get_manifest(record)
        assert digest_of(there.content) == record.digest
        wanted = backup.registry.get_manifest(record.repository, record.digest)
        assert (there.content, there.media_type) == (wanted.content, wanted.media_type)
        for blob in there.blobs:
            assert place.has_blob(record.repository, blob)
            if blob.digest not in read:
                with place.open_blob(record.repository, blob) as stream:
                    content = b"".join(iter(lambda s=stream: s.read(65536), b""))
                assert digest_of(content) == blob.digest
                read.add(blob.digest)
        for tag in record.tags:
            assert place.names(record.repository, tag.name, record.digest) is place.keeps_tags


def asked_for(harbor: HarborDouble) -> Counter[str]:
    """Return how often content was asked for, by its digest."""
    return Counter(
        path.rpartition("/")[2]
        for method, path, _ in harbor.requests.log
        if method == "GET" and ("/blobs/" in path or "/manifests/" in path)
    )


def failed(report: RunReport) -> dict[str, str]:
    return {finding.digest: finding.reason for finding in report.findings(Status.FAILED)}


def test_everything_arrives_and_is_asked_for_once(
    harbor: HarborDouble, place: Place, to_place: Backup
) -> None:
    fill_all_kinds(harbor)
    report = to_place.run(place)
    records = to_place.records(report)
    assert report.complete, report.failures()
    assert report.copied == len(records) == 31
    # Each project of a mirror is copied by itself, maybe on a machine of its own.
    assert max(asked_for(harbor).values()) == (1 if isinstance(place, StorePlace) else 2)
    assert_holds(place, records, to_place)


def test_an_unchanged_night_asks_for_nothing_and_the_next_one_for_what_is_new(
    harbor: HarborDouble, place: Place, to_place: Backup
) -> None:
    pushed = fill_all_kinds(harbor)
    assert to_place.run(place).complete
    harbor.requests.reset()
    report = to_place.run(place)
    assert report.complete
    assert (report.copied, report.present) == (0, len(to_place.records(report)))
    assert not asked_for(harbor)
    new = harbor.push("p/app", Image("new", layers=[*pushed["image"].blobs.values(), 99]), "1.0")
    signed = harbor.push("p/app", sigstore_bundle(pushed["image"]))
    report = to_place.run(place)
    assert report.complete, report.failures()
    assert report.copied == 2
    fresh = {d for c in (new, signed) for d in (c.digest, *c.blobs)}
    fresh -= pushed["image"].blobs.keys() | pushed["sbom"].blobs.keys()
    assert set(asked_for(harbor)) == fresh
    assert_holds(place, to_place.records(report), to_place)


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        pytest.param("layer", {"corrupt": True}, id="a changed layer"),
        pytest.param("layer", {"truncate_after_bytes": 200}, id="half a layer"),
        pytest.param("layer", {"status": 200, "body": ""}, id="nothing of a layer"),
        pytest.param("manifest", {"corrupt": True}, id="a changed manifest"),
        pytest.param("manifest", {"status": 200, "body": "a page"}, id="a page as a manifest"),
    ],
)
@pytest.mark.parametrize("kind", ["directory", "s3", "harbor", "plain registry"], indirect=True)
def test_what_comes_wrong_never_shows_and_keeps_nothing_else_from_coming(
    harbor: HarborDouble, place: Place, to_place: Backup, fault: dict[str, object], what: str
) -> None:
    for name in ("p", "q"):
        harbor.create_project(name)
    child = Image("child", layers=2)
    index = harbor.push("p/multi", Index(child, Image("sister")), "1.0")
    signature = harbor.push("p/multi", sbom_for(index))
    harbor.push("p/app", Image("well"), "1.0")
    layer = list(child.blobs)[-1]
    wrong = layer if what == "layer" else child.digest
    harbor.faults.add(Fault(method="GET", path=f"/{wrong}$", times=None, **fault))
    report = to_place.run(place)
    assert not report.complete
    assert failed(report).keys() == {child.digest, index.digest}
    assert failed(report)[index.digest] == "not-tried"
    records = to_place.records(report)
    by_digest = {record.digest: record for record in records}
    for digest in failed(report):
        assert place.find_manifest(by_digest[digest]) is None
    assert not place.has_blob("p/multi", described(child.blobs[layer]))
    arrived = [record for record in records if record.digest not in failed(report)]
    assert signature.digest in {record.digest for record in arrived}
    harbor.faults.clear()
    assert_holds(place, arrived, to_place)

    harbor.requests.reset()
    report = to_place.run(place)
    assert report.complete, report.failures()
    # A Harbor does not list a signature as long as its subject is missing, so it comes again.
    again = {signature.digest} if isinstance(place, HarborPlace) else set()
    assert report.copied == 2 + len(again)
    assert asked_for(harbor).keys() <= {index.digest, child.digest, *child.blobs, *again}
    assert layer in asked_for(harbor)
    assert_holds(place, records, to_place)


def test_a_foreign_layer_that_nobody_holds_is_no_failure(
    harbor: HarborDouble, place: Place, kind: str, to_place: Backup
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/windows", windows_image("server"), "1.0")
    lost = image.document["layers"][0]["digest"]
    report = to_place.run(place)
    records = to_place.records(report)
    if kind == "plain registry":
        # Debian's does not take addresses that its configuration does not allow.
        assert failed(report) == {image.digest: "server-error"}
        return
    assert report.complete, report.failures()
    assert place.get_manifest(records[0]).content == image.manifest
    assert all(place.has_blob("p/windows", described(blob)) for blob in image.blobs.values())
    if isinstance(place, StorePlace):
        (result,) = (result for result in report.projects if result.project == "p")
        contents = dict(to_place.store.inventories.iter_contents("p", result.contents))
        content = contents["p/windows"][image.digest]
        assert content.foreign == (lost,)
        assert {blob.digest for blob in content.blobs} == image.blobs.keys()
    harbor.requests.reset()
    assert to_place.run(place).complete
    assert not asked_for(harbor)


def test_a_foreign_layer_whose_length_only_is_left_is_none_that_nobody_holds(
    harbor: HarborDouble, backup: Backup
) -> None:
    """Harbor's cache answers 200 then, and not one byte comes: what was not there may be lost."""
    harbor.create_project("p")
    image = harbor.push("p/windows", Image("windows", layers=2, layer_type=FOREIGN), "1.0")
    *_, lost = image.blobs
    harbor.state.lose_blob(lost)
    report = backup.run(backup.itself)
    assert report.complete, report.failures()
    (result,) = (result for result in report.projects if result.project == "p")
    contents = dict(backup.store.inventories.iter_contents("p", result.contents))
    assert contents["p/windows"][image.digest].foreign == (lost,)


def test_a_project_without_anything_is_complete(
    harbor: HarborDouble, place: Place, to_place: Backup
) -> None:
    harbor.create_project("p")
    for _ in range(2):
        report = to_place.run(place)
        assert report.complete, report.failures()
        assert report.counts.records == 0


def test_layers_that_images_share_are_sent_once_whoever_needs_them(
    harbor: HarborDouble, place: Place, to_place: Backup
) -> None:
    """By many at once: in one repository, and in others of the project."""
    harbor.create_project("p")
    shared = [b"base layer" * 5000, b"second layer" * 5000]
    for number in range(24):
        harbor.push(f"p/app{number % 3}", Image(f"{number}", layers=[*shared, 100]), f"v{number}")
    report = to_place.run(place, workers=16)
    assert report.complete, report.failures()
    assert set(asked_for(harbor).values()) == {1}
    assert_holds(place, to_place.records(report), to_place)
