"""The main job on what a real Harbor 2.15.2 held: listed whole, copied whole, read by others."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.oci.registry import referrers_tag
from tests.contract.replay import Replayer, load_scenario
from tests.core.rig import Backup, login, reach, registry_login
from tests.double import HarborDouble
from tests.registry_server import PlainRegistry, require_program

SCENARIO = load_scenario()


@pytest.fixture(scope="module")
def recorded() -> Iterator[HarborDouble]:
    """A double that holds what was pushed to the real Harbor before it was recorded."""
    with HarborDouble() as harbor:
        Replayer(harbor.url, harbor.user, harbor.password).seed()
        yield harbor


@pytest.fixture
def backup(recorded: HarborDouble, tmp_path: Path) -> Iterator[Backup]:
    with login(recorded) as client, registry_login(recorded) as registry:
        yield Backup(client, registry, tmp_path / "store")


def pushed_digests() -> set[tuple[str, str]]:
    return {(repository, digest) for repository, _, digest in SCENARIO["pushes"]}


def final_tags() -> dict[tuple[str, str], str]:
    """Return what each tag names after all pushes: a later push of a tag moves it."""
    return {
        (repository, reference): digest
        for repository, reference, digest in SCENARIO["pushes"]
        if reference and not reference.startswith("sha256:")
    }


def assert_is_what_was_pushed(records: list[Record]) -> None:
    assert {record.key for record in records} == pushed_digests()
    assert {(r.repository, t.name): r.digest for r in records for t in r.tags} == final_tags()


def test_the_inventory_is_digest_by_digest_what_was_pushed(
    backup: Backup, other_harbor: HarborDouble
) -> None:
    report = backup.run(reach(other_harbor), dry_run=True)
    records = backup.records(report)
    assert_is_what_was_pushed(records)
    roles = Counter(record.role for record in records)
    assert roles[Role.ATTESTATION] == 2
    assert roles[Role.ACCESSORY] == 2
    by_repository = Counter((r.repository, r.role) for r in records)
    assert by_repository["hc-main/multi", Role.ATTESTATION] == 2
    assert by_repository["hc-main/signed", Role.ACCESSORY] == 2
    # An index within an index, and the images of both.
    assert by_repository["hc-main/nestedindex", Role.CHILD] == 3
    # `v2` was pushed twice: what it named first is untagged now, and still there.
    untagged = [r for r in records if r.role is Role.ARTIFACT and not r.tags]
    assert [r.repository for r in untagged] == ["hc-main/app"]


def test_the_copy_is_whole_and_a_second_one_fetches_nothing(
    recorded: HarborDouble, target: HarborDouble | PlainRegistry, backup: Backup
) -> None:
    destination = reach(target)
    first = backup.run(destination)
    assert first.complete, first.failures()
    records = backup.records(first)
    assert first.copied == len(records)
    source = registry_login(recorded)
    for record in records:
        there = destination.registry.get_manifest(record.repository, record.digest)
        assert digest_of(there.content) == record.digest
        assert there.content == source.get_manifest(record.repository, record.digest).content
    tags = {
        (repository, tag): destination.registry.find_manifest(repository, tag)
        for repository in {record.repository for record in records}
        for tag in destination.registry.iter_tags(repository)
    }
    lists = {(r.repository, referrers_tag(r.subject)) for r in records if r.subject}
    assert {key: digest for key, digest in tags.items() if key not in lists} == final_tags()
    recorded.requests.reset()
    second = backup.run(destination)
    assert second.complete
    assert second.present == len(records)
    kinds = recorded.requests.by_kind()
    assert not {kind for kind in kinds if kind.startswith(("manifest", "blob"))}, kinds
    destination.close()


def test_skopeo_reads_and_copies_what_is_in_the_plain_registry(
    recorded: HarborDouble, plain_registry: PlainRegistry, backup: Backup, tmp_path: Path
) -> None:
    skopeo = require_program("skopeo")
    assert backup.run(reach(plain_registry)).complete
    host = plain_registry.url.removeprefix("http://")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [skopeo, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    tags = final_tags()
    for repository, tag in (
        ("hc-main/app", "v1"),
        ("hc-main/multi", "v1"),
        ("1234567/app", "latest"),
    ):
        raw = run("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{repository}:{tag}")
        assert digest_of(raw.encode()) == tags[repository, tag]
    shown = json.loads(run("inspect", "--tls-verify=false", f"docker://{host}/hc-main/app:v1"))
    assert shown["Digest"] == tags["hc-main/app", "v1"]
    layout = tmp_path / "layout"
    run(
        "--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false",
        f"docker://{host}/hc-main/multi:v1", f"oci:{layout}:v1",
    )  # fmt: skip
    (listed,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert listed["digest"] == tags["hc-main/multi", "v1"]
