"""Copying: byte for byte, each thing once, in the right order, and quietly at the source."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
import requests

from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.oci.referrers import ReferrersTags
from airflow_provider_harbor.core.oci.registry import RegistryClient, referrers_tag
from tests.core.rig import Backup, fill_small, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import (
    DOCKER_MANIFEST,
    Image,
    Index,
    cosign_signature,
    helm_chart,
    multi_arch,
    sbom_for,
    sigstore_bundle,
)
from tests.registry_server import PlainRegistry

ANOTHER_NIGHT = datetime(2026, 5, 4, 3, 30, tzinfo=timezone.utc)


@pytest.fixture
def destination(target: HarborDouble | PlainRegistry) -> Iterator[Place]:
    opened = reach(target)
    yield opened
    opened.close()


def fill_all_kinds(harbor: HarborDouble) -> None:
    """Make one of everything that a registry holds."""
    for name in ("p", "q", "2024"):
        harbor.create_project(name)
    image = harbor.push("p/app", Image("app", layers=3), "1.0", "latest")
    harbor.push("p/app", Image("untagged"))
    harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    sbom = harbor.push("p/app", sbom_for(image))
    harbor.push("p/app", cosign_signature(sbom), *cosign_signature(sbom).default_tags)
    harbor.push("p/deep/er/docker", Image("docker", media_type=DOCKER_MANIFEST), "1.0")
    multi = harbor.push("p/multi", multi_arch("multi"), "2.0")
    harbor.push("p/multi", sbom_for(multi))
    harbor.push("p/nested", Index(Index(Image("leaf")), Image("other leaf")), "3.0")
    harbor.push("q/charts/web", helm_chart("web"), "1.0.0")
    harbor.push("q/copy", Image("app", layers=3), "again")
    harbor.push("2024/app", Image("numeric"), "1.0")


def assert_holds(client: RegistryClient, records: list[Record], source: RegistryClient) -> None:
    for record in records:
        there = client.get_manifest(record.repository, record.digest)
        assert there.content == source.get_manifest(record.repository, record.digest).content
        assert all(
            client.has_blob(record.repository, blob.digest, blob.size_bytes) for blob in there.blobs
        )
        for tag in record.tags:
            assert client.find_manifest(record.repository, tag.name) == record.digest


def test_everything_arrives_byte_for_byte_with_the_right_tags(
    harbor: HarborDouble, destination: Place, backup: Backup
) -> None:
    fill_all_kinds(harbor)
    report = backup.run(destination)
    records = backup.records(report)
    assert report.complete, report.failures()
    assert report.copied == len(records) == 19
    assert sum(r.copy.tags_set for r in report.projects if r.copy) == report.counts.tags
    assert_holds(destination.registry, records, backup.registry)
    for repository in {record.repository for record in records}:
        wanted = {t.name for r in records if r.repository == repository for t in r.tags}
        # A plain registry lists referrers under a tag, as the specification has clients do it.
        lists = {referrers_tag(r.subject) for r in records if r.subject}
        assert wanted == set(destination.registry.iter_tags(repository)) - lists


def test_a_second_run_fetches_and_sends_nothing(
    harbor: HarborDouble,
    target: HarborDouble | PlainRegistry,
    destination: Place,
    backup: Backup,
) -> None:
    fill_all_kinds(harbor)
    backup.run(destination)
    harbor.requests.reset()
    report = backup.run(destination)
    assert report.complete
    assert (report.copied, report.present) == (0, len(backup.records(report)))
    kinds = harbor.requests.by_kind()
    assert not {kind for kind in kinds if kind.startswith(("manifest", "blob"))}, kinds
    if isinstance(target, HarborDouble):
        written = {"manifest.put", "upload.post", "upload.put", "mount"}
        before = Counter(target.requests.by_kind())
        backup.run(destination)
        after = Counter(target.requests.by_kind()) - before
        assert not written & after.keys()


def test_a_copy_leaves_pull_times_and_counts_as_they_were(
    harbor: HarborDouble, destination: Place, backup: Backup
) -> None:
    fill_all_kinds(harbor)

    def marks() -> object:
        auth = (harbor.user, harbor.password)
        api = f"{harbor.url}/api/v2.0"
        return [
            requests.get(f"{api}/projects/p/{path}", auth=auth, timeout=120).json()
            for path in ("repositories?sort=name", "artifacts?q=base=*&sort=id&page_size=100")
        ]

    before = marks()
    backup.run(destination)
    assert marks() == before


def test_only_what_is_new_is_fetched(
    harbor: HarborDouble, destination: Place, backup: Backup
) -> None:
    fill_small(harbor)
    backup.run(destination)
    harbor.push("alpha/app", Image("newer", layers=2), "1.1", "latest")
    harbor.requests.reset()
    report = backup.run(destination)
    assert report.complete
    assert report.copied == 1
    assert harbor.requests["manifest.get"] == 1
    assert harbor.requests["blob.get"] == 3
    assert_holds(destination.registry, backup.records(report), backup.registry)


def test_a_tag_that_moved_moves_without_a_fetch_from_the_source(
    harbor: HarborDouble, destination: Place, backup: Backup
) -> None:
    pushed = fill_small(harbor)
    backup.run(destination)
    harbor.push("alpha/app", pushed["untagged"], "latest")
    harbor.requests.reset()
    assert backup.run(destination).complete
    assert harbor.requests["manifest.get"] == harbor.requests["blob.get"] == 0
    assert destination.registry.find_manifest("alpha/app", "latest") == pushed["untagged"].digest
    assert destination.registry.find_manifest("alpha/app", "1.0") == pushed["image"].digest


def test_each_digest_is_fetched_once_and_sent_once(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    shared = [b"base layer" * 500, b"second layer" * 500]
    for number in range(6):
        image = Image(f"image {number}", layers=[*shared, 100])
        for repository in ("a", "b", "c"):
            harbor.push(f"p/{repository}{number % 2}", image, f"v{number}")
    report = backup.run(reach(other_harbor), workers=8)
    assert report.complete
    (copied,) = (r.copy for r in report.projects if r.copy and r.project == "p")
    # Six repositories have eight blobs each; the twelve of one image only are in three of them.
    assert (copied.blobs_copied, copied.blobs_mounted, copied.blobs_present) == (14, 34, 0)
    stored = other_harbor.state.storage.blobs
    manifests = {record.digest for record in backup.records(report)}
    sizes = [blob.size for digest, blob in stored.items() if digest not in manifests]
    assert copied.bytes_copied == sum(sizes)
    assert 0 < copied.seconds < 60
    assert other_harbor.requests["manifest.get"] == other_harbor.requests["manifest.head"] == 0
    gets = Counter(
        path.split("/")[-1]
        for method, path, _ in harbor.requests.log
        if method == "GET" and re.search("/(blobs|manifests)/", path)
    )
    assert set(gets.values()) == {1}
    sent = Counter(
        path.split("digest=")[1]
        for method, path, _ in other_harbor.requests.log
        if method == "PUT" and "digest=" in path
    )
    assert set(sent.values()) == {1}
    puts = Counter(path for method, path, _ in other_harbor.requests.log if method == "PUT")
    assert set(puts.values()) == {1}


def test_content_comes_before_what_refers_to_it_and_tags_come_last(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    index = harbor.push("p/app", multi_arch("multi"), "1.0")
    signature = harbor.push("p/app", cosign_signature(index), *cosign_signature(index).default_tags)
    assert backup.run(reach(other_harbor), workers=8).complete
    puts = [
        path.rsplit("/", 1)[1]
        for method, path, _ in other_harbor.requests.log
        if method == "PUT" and "/manifests/" in path
    ]
    children = [content.digest for content in index.walk() if content is not index]
    assert set(puts[:4]) == set(children)
    assert puts[4:] == [index.digest, *signature.default_tags, "1.0"]


def test_a_created_project_is_private_even_if_the_source_is_public(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("open", public=True)
    harbor.push("open/app", Image("app"), "1")
    assert backup.run(reach(other_harbor)).complete
    made = other_harbor.state.project("open")
    assert made
    assert not made.public


def test_a_dry_run_writes_the_plan_and_copies_nothing(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    fill_small(harbor)
    report = backup.run(reach(other_harbor), dry_run=True)
    assert not report.complete
    assert not report.failures()
    assert harbor.requests["manifest.get"] == harbor.requests["blob.get"] == 0
    assert other_harbor.state.project("alpha") is None
    plans = list((backup.store_path / "plans" / report.run).iterdir())
    assert {plan.name for plan in plans} == {f"{p}.jsonl.gz" for p in ("alpha", "beta", "library")}
    assert not (backup.store_path / "snapshots" / report.run / "snapshot.json").exists()


def test_a_plain_registry_keeps_the_referrers_under_their_tag(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("signed"), "1.0")
    referrers = {harbor.push("p/app", make(image)).digest for make in (sbom_for, sigstore_bundle)}
    assert backup.run(reach(plain_registry)).complete
    client = RegistryClient(plain_registry.url)
    listed = client.get_manifest("p/app", referrers_tag(image.digest))
    assert {child.digest for child in listed.children} == referrers


def test_a_list_of_referrers_that_the_source_keeps_under_a_tag_is_copied_as_it_is(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    """As clients made it before Harbor 2.8, which lists referrers itself."""
    harbor.create_project("p")
    image = harbor.push("p/app", Image("signed"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    harbor.push("p/app", Index(Image("some other")), referrers_tag(image.digest))
    for _ in range(2):
        destination = reach(plain_registry, believed_for=timedelta(0))
        report = backup.run(destination)
        assert report.complete, report.failures()
        assert_holds(destination.registry, backup.records(report), backup.registry)
    assert (report.copied, report.counts.records) == (0, 4)
    assert destination.registry.find_manifest("p/app", sbom.digest)


def test_a_plain_registry_that_lost_everything_is_filled_again(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    fill_small(harbor)
    destination = reach(plain_registry)
    backup.run(destination)
    plain_registry.wipe()
    report = backup.run(destination)
    assert report.complete
    assert report.copied == len(backup.records(report))
    assert_holds(destination.registry, backup.records(report), backup.registry)


def test_a_tag_deleted_at_the_plain_registry_is_set_again(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    pushed = fill_small(harbor)
    destination = reach(plain_registry)
    backup.run(destination)
    plain_registry.forget_tag("alpha/app", "1.0")
    harbor.requests.reset()
    report = backup.run(destination)
    assert report.complete
    assert destination.registry.find_manifest("alpha/app", "1.0") == pushed["image"].digest
    assert harbor.requests["blob.get"] == 0


def delete(registry: PlainRegistry, repository: str, digest: str) -> None:
    url = f"{registry.url}/v2/{repository}/manifests/{digest}"
    requests.delete(url, timeout=120).raise_for_status()


def test_what_a_plain_registry_lost_behind_its_tags_is_found_in_time(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    """Its garbage collection may take what has no tag, and anybody may move a tag."""
    pushed = fill_small(harbor)
    harbor.push("alpha/app", sbom_for(pushed["image"]))
    backup.run(reach(plain_registry))
    delete(plain_registry, "alpha/app", pushed["untagged"].digest)
    delete(plain_registry, "beta/deep/multi", next(pushed["index"].walk()).digest)
    client = reach(plain_registry).registry
    client.put_manifest("alpha/app", "1.0", client.get_manifest("alpha/app", _any_list(client)))
    report = backup.run(reach(plain_registry, believed_for=timedelta(0)))
    assert report.complete
    assert (report.copied, report.counts.records) == (3, 8)
    assert_holds(client, backup.records(report), backup.registry)


@pytest.mark.parametrize(("days", "is_believed"), [(6, True), (8, False), (-8, False)])
def test_a_record_is_believed_for_a_week(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    backup: Backup,
    days: int,
    is_believed: bool,
) -> None:
    pushed = fill_small(harbor)
    now = ANOTHER_NIGHT
    backup.run(reach(plain_registry, now=lambda: now))
    move_tag(plain_registry, "alpha/app", "1.0", pushed["untagged"].digest)
    later = now + timedelta(days=days)
    if is_believed:
        # The night on which everything of this repository is asked for comes in between.
        while (zlib.crc32(b"alpha/app") + later.toordinal()) % 7 == 0:
            later -= timedelta(days=1)
    destination = reach(plain_registry, now=lambda: later)
    assert backup.run(destination).complete
    there = destination.registry.find_manifest("alpha/app", "1.0")
    assert there == pushed["untagged" if is_believed else "image"].digest


def test_a_seventh_of_the_repositories_is_asked_for_everything_each_night(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    """Not all of them once a week: what was lost is found sooner, and no night is longer."""
    for double in (harbor, other_harbor):
        double.create_project("p")
    names = [f"p/app{number}" for number in range(21)]
    for name in names:
        harbor.push(name, Image(name), "1")
    clock = [ANOTHER_NIGHT]
    destination = PlainRegistryPlace(registry_login(other_harbor), now=lambda: clock[0])
    assert backup.run(destination).complete
    nights = []
    for _ in range(7):
        clock[0] += timedelta(days=1)
        other_harbor.requests.reset()
        assert backup.run(destination).complete
        nights.append(
            {
                path.split("/manifests/")[0]
                for method, path, _ in other_harbor.requests.log
                if method == "HEAD" and "/manifests/" in path
            }
        )
    assert sum(len(night) for night in nights) == len(names)
    assert set().union(*nights) == {f"/v2/{name}" for name in names}
    assert max(len(night) for night in nights) < len(names) / 2


def test_a_garbage_collection_at_a_plain_registry_is_noticed_the_next_night(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    """It takes all manifests without a tag, children of tagged indexes too."""
    pushed = fill_small(harbor)
    destination = reach(plain_registry)
    backup.run(destination)
    for child in pushed["index"].walk():
        if child is not pushed["index"]:
            delete(plain_registry, "beta/deep/multi", child.digest)
    delete(plain_registry, "alpha/app", pushed["untagged"].digest)
    report = backup.run(destination)
    assert report.complete, report.failures()
    assert report.copied == 5
    assert_holds(destination.registry, backup.records(report), backup.registry)


def move_tag(registry: PlainRegistry, repository: str, tag: str, digest: str) -> None:
    """Let somebody else move a tag at the registry."""
    client = RegistryClient(registry.url)
    client.put_manifest(repository, tag, client.get_manifest(repository, digest))


def _any_list(client: RegistryClient) -> str:
    return next(tag for tag in client.iter_tags("alpha/app") if tag.startswith("sha256-"))


def test_a_record_that_turned_out_wrong_is_not_believed_again(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    index = fill_small(harbor)["index"]
    destination = reach(plain_registry)
    backup.run(destination)
    child = next(index.walk())
    delete(plain_registry, "beta/deep/multi", child.digest)
    harbor.push("beta/deep/multi", Index(child, Image("another")), "3.0")
    assert [f.reason for f in backup.run(destination).findings(Status.FAILED)] == ["invalid"]
    report = backup.run(destination)
    assert report.complete, report.failures()
    assert_holds(destination.registry, backup.records(report), backup.registry)


def test_a_layer_that_a_plain_registry_lost_is_sent_again_when_it_says_so(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    image = fill_small(harbor)["image"]
    destination = reach(plain_registry)
    backup.run(destination)
    for digest in image.blobs:
        url = f"{plain_registry.url}/v2/alpha/app/blobs/{digest}"
        requests.delete(url, timeout=120).raise_for_status()
    harbor.push("alpha/app", image, "another-tag")
    report = backup.run(destination)
    assert report.complete, report.failures()
    assert_holds(destination.registry, backup.records(report), backup.registry)


def test_a_referrer_that_was_pushed_but_not_listed_before_a_kill_is_listed_by_the_next_run(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("signed"), "1.0")
    harbor.push("p/app", Image("other"), "2.0")
    harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    sbom = harbor.push("p/app", sbom_for(image))
    destination = reach(plain_registry)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ReferrersTags, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            backup.run(destination, workers=1)
    assert destination.registry.find_manifest("p/app", sbom.digest)
    harbor.requests.reset()
    assert backup.run(destination).complete
    listed = destination.registry.iter_referrers("p/app", image.digest)
    assert [referrer.digest for referrer in listed] == [sbom.digest]
    for cached in (backup.store_path / "destinations").rglob("*.gz"):
        cached.unlink()
    report = backup.run(destination)
    assert (report.copied, report.complete) == (0, True)


def test_without_its_record_a_plain_registry_is_asked_for_each_manifest(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    fill_small(harbor)
    destination = reach(plain_registry)
    backup.run(destination)
    for cached in (backup.store_path / "destinations").rglob("*.gz"):
        cached.unlink()
    harbor.requests.reset()
    report = backup.run(destination)
    assert report.complete
    assert report.copied == 0
    assert harbor.requests["manifest.get"] == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="GET", path="/blobs/", times=2, status=503),
        Fault(method="GET", path="/blobs/", times=2, reset=True),
        Fault(method="GET", path="/blobs/", times=2, truncate_after_bytes=100),
        Fault(method="GET", path="/blobs/", times=2, corrupt=True),
        Fault(method="GET", path="/manifests/", times=2, status=502, body="<html>"),
        Fault(method="GET", path="/manifests/", times=2, truncate_after_bytes=20),
        Fault(method="GET", path="/manifests/", times=1, corrupt=True),
        Fault(method="GET", path="/service/token", times=2, status=503),
        Fault(method="GET", path="/artifacts", times=2, status=504, body="<html>"),
    ],
    ids=lambda fault: f"{fault.path} {fault.status or vars(fault)}"[:40],
)
def test_a_passing_fault_of_the_source_is_overcome(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, fault: Fault
) -> None:
    fill_small(harbor)
    harbor.faults.add(fault)
    report = backup.run(reach(other_harbor))
    assert report.complete, report.failures()
    assert_holds(registry_login(other_harbor), backup.records(report), backup.registry)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="POST", path="/blobs/uploads/", times=2, status=503),
        Fault(method="POST", path="/blobs/uploads/", times=1, lose_answer=True),
        Fault(method="PUT", path="/blobs/uploads/", times=2, status=500),
        Fault(method="PUT", path="/blobs/uploads/", times=1, lose_answer=True),
        Fault(method="PUT", path="/blobs/uploads/", times=2, reset=True),
        Fault(method="PUT", path="/blobs/uploads/", times=1, status=401),
        Fault(method="PUT", path="/manifests/", times=2, status=502, body="<html>"),
        Fault(method="PUT", path="/manifests/", times=1, lose_answer=True),
        Fault(method="POST", path="mount=", times=None, status=405),
    ],
    ids=lambda fault: f"{fault.method} {fault.path} {fault.status or vars(fault)}"[:40],
)
def test_a_passing_fault_of_the_destination_is_overcome(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, fault: Fault
) -> None:
    fill_small(harbor)
    harbor.push("alpha/other", Image("app", layers=2), "mounted")
    other_harbor.faults.add(fault)
    report = backup.run(reach(other_harbor))
    assert report.complete, report.failures()
    assert_holds(registry_login(other_harbor), backup.records(report), backup.registry)


def test_a_blob_that_arrived_is_not_sent_again_when_only_the_answer_was_lost(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    fault = other_harbor.faults.add(
        Fault(method="PUT", path="/blobs/uploads/", times=None, lose_answer=True)
    )
    report = backup.run(reach(other_harbor))
    assert report.complete, report.failures()
    assert fault.hits == len(image.blobs)


@pytest.mark.parametrize("switch", ["behind_nginx", "relative_locations", "redirect_blobs"])
def test_ways_in_which_harbors_differ_make_no_difference(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, switch: str
) -> None:
    fill_all_kinds(harbor)
    for double in (harbor, other_harbor):
        setattr(double.state, switch, not getattr(double.state, switch))
    report = backup.run(reach(other_harbor))
    assert report.complete, report.failures()
    assert_holds(registry_login(other_harbor), backup.records(report), backup.registry)


def test_progress_tells_manifests_and_bytes(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    fill_small(harbor)
    lines: list[str] = []
    backup.run(reach(other_harbor), progress=lines.append)
    assert any(
        re.fullmatch(r"\d+ of \d+ manifests?, \S+ \w+ sent, \S+ [kMG]B/s", line) for line in lines
    )


def test_progress_counts_a_signed_manifest_once(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    harbor.push("p/app", sbom_for(harbor.push("p/app", Image("signed"), "1.0")))
    lines: list[str] = []
    backup.run(reach(other_harbor), workers=1, progress=lines.append)
    assert lines[-1].startswith("2 of 2 manifests, ")


def test_workers_must_be_at_least_one(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    fill_small(harbor)
    with pytest.raises(ValueError, match="workers is 0"):
        backup.run(reach(other_harbor), workers=0)


def test_a_large_layer_streams_through(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    layer = bytes(range(256)) * 4096 * 20
    harbor.push("p/big", Image("big", layers=[layer]), "1.0")
    report = backup.run(reach(other_harbor))
    assert report.complete
    assert report.bytes_copied > len(layer)


def test_the_password_is_nowhere_in_the_store(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    fill_small(harbor)
    backup.run(reach(other_harbor))
    for path in backup.store_path.rglob("*"):
        if path.is_file():
            assert harbor.password.encode() not in path.read_bytes()
