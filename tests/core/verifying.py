"""What the tests of verify begin with: stores that are written without a registry, and damages."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.outcome import CopyReport
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role, count_records
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.jobs.verification.report import VerifyReport
from airflow_provider_harbor.core.jobs.verification.verify import Verification, verify
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.inventories import Content, InventoryRef
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.double import Image, Index
from tests.double import content as contents_of_double

HARBOR = "https://harbor.example.com"
BEGIN = datetime(2026, 11, 1, 1, tzinfo=timezone.utc)


@dataclass
class Night:
    """A store that is built, and what of it is what kind of file (by path)."""

    store: BackupStore
    files: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, path: str) -> None:
        known = self.files.setdefault(kind, [])
        if path not in known:
            known.append(path)


def build(directory: Path, chance: random.Random) -> Night:
    """Write a store of some nights, by its own API: images, indexes, shared layers, tags."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "sync", lambda self: None)  # a power cut is not what is tested
        return _build(directory, chance)


def _build(directory: Path, chance: random.Random) -> Night:
    made = Night(BackupStore(directory))
    made.store.begin_for(HARBOR)
    layers = [chance.randbytes(chance.randint(1, 300)) for _ in range(4)]
    artifacts: dict[str, list[contents_of_double.Content]] = {
        f"team-{letter}/{name}": []
        for letter in "ab"[: chance.randint(1, 2)]
        for name in ("app", "deep/web")[: chance.randint(1, 2)]
    }
    for number in range(chance.randint(1, 3)):
        for held in artifacts.values():
            for _ in range(chance.randint(0 if held else 1, 2)):
                held.append(_artifact(chance, layers))
            if len(held) > 1 and chance.random() < 0.3:
                held.pop(0)
        write_night(made, number, artifacts)
    lone = chance.randbytes(99)
    digest = contents_of_double.digest_of(lone)
    made.store.pool.put_bytes(lone, digest)
    made.note("unnamed blob", layout.blob(digest))
    return made


def _artifact(chance: random.Random, layers: list[bytes]) -> contents_of_double.Content:
    def image() -> Image:
        return Image(f"image {chance.random()}", layers=chance.sample(layers, chance.randint(1, 3)))

    return Index(image(), image()) if chance.random() < 0.3 else image()


def write_night(
    made: Night, number: int, artifacts: dict[str, list[contents_of_double.Content]]
) -> None:
    """Write one night: content, lists, results, and the snapshot."""
    store, begun = made.store, BEGIN + timedelta(days=number)
    run = f"{begun:%Y-%m-%dT%H-%M-%SZ}"
    projects: dict[str, ProjectContents] = {}
    for project in sorted({name.partition("/")[0] for name in artifacts}):
        groups = {n: held for n, held in sorted(artifacts.items()) if n.startswith(f"{project}/")}
        projects[project] = _write_project(made, run, begun, project, groups)
    store.snapshots.commit(
        Snapshot(
            key=layout.run_key(run),
            run=run,
            complete=True,
            harbor_url=HARBOR,
            destination=store.url,
            started_at=begun.isoformat(),
            ended_at=begun.isoformat(),
            projects=projects,
        )
    )
    made.note("snapshot", layout.snapshot(run))


def _write_project(
    made: Night, run: str, begun: datetime, project: str, groups: dict[str, list[Any]]
) -> ProjectContents:
    store = made.store
    counted: list[Record] = []
    with (
        store.inventories.write(project) as inventory,
        store.inventories.write_contents(project) as contents,
    ):
        for repository, held in groups.items():
            records: dict[str, Record] = {}
            lists: dict[str, Content] = {}
            for number, top in enumerate(held):
                for item in top.walk():
                    lists[item.digest] = _write_content(made, item)
                    record = _record(project, repository, top, item, f"v{number}")
                    records.setdefault(item.digest, record)
            ordered = [records[digest] for digest in sorted(records)]
            inventory.add(ordered)
            counted += ordered
            contents.add(repository, lists.values())
        counts = count_records(counted)
        ref = InventoryRef(
            project=project, sha256=inventory.finish(), counts=counts, listed_at=begun.isoformat()
        )
        sha256 = contents.finish()
    made.note("inventory", layout.inventory(project, ref.sha256))
    made.note("contents", layout.contents(project, sha256))
    copy = CopyReport(project=project, destination=store.url, copied=counts.records)
    result = ProjectResult(project=project, run=run, inventory=ref, copy=copy, contents=sha256)
    made.note("result", store.results.write(run, project, result.to_json()))
    return ProjectContents(
        inventory=ref.sha256,
        contents=sha256,
        ok=True,
        digests=counts.digests,
        size_bytes=counts.size_bytes,
    )


def _record(project: str, repository: str, top: Any, item: Any, tag: str) -> Record:
    is_top = item is top
    return Record(
        project=project,
        repository=repository,
        digest=item.digest,
        role=Role.ARTIFACT if is_top else Role.CHILD,
        media_type=item.media_type,
        size_bytes=len(item.manifest),
        tags=(Tag(name=tag, push_time=None),) if is_top else (),
        parents=() if is_top else (top.digest,),
        children=tuple(sorted(child.digest for child in item.children)),
    )


def _write_content(made: Night, item: Any) -> Content:
    for digest, data in item.blobs.items():
        made.store.pool.put_bytes(data, digest)
        made.note("blob", layout.blob(digest))
    made.store.pool.put_bytes(item.manifest, item.digest)
    made.note("manifest", layout.blob(item.digest))
    return Content.of(item.digest, Manifest.from_bytes(item.manifest, item.media_type, "here"))


def rename_contents(made: Night, chance: random.Random) -> str:
    """Give a blob another size in some contents, which are right by their own name.

    Returns:
        The digest of the blob.
    """
    store = made.store
    key = chance.choice(store.snapshots.list_keys())
    snapshot = store.snapshots.read(key)
    assert snapshot
    project, entry = chance.choice(sorted(snapshot.projects.items()))
    groups = list(store.inventories.iter_contents(project, entry.contents))
    _, manifests = chance.choice(groups)
    content = manifests[chance.choice(sorted(manifests))]
    blobs = list(content.blobs)
    if blobs:
        at = chance.randrange(len(blobs))
        wrong = replace(blobs[at], size_bytes=blobs[at].size_bytes + chance.randint(1, 9))
        blobs[at] = wrong
        manifests[content.digest] = replace(content, blobs=tuple(blobs))
        digest = wrong.digest
    else:
        digest = content.digest
        manifests[digest] = replace(content, size_bytes=content.size_bytes + 1)
    with store.inventories.write_contents(project) as writer:
        for name, held in groups:
            writer.add(name, held.values())
        sha256 = writer.finish()
    changed = {**snapshot.projects, project: replace(entry, contents=sha256)}
    store.snapshots.commit(replace(snapshot, projects=changed))
    return digest


# -- damages: each changes one file of a store

Damage = Callable[[Path, random.Random, "list[Path]"], None]


def flip(path: Path, chance: random.Random, others: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    places = set(range(len(data)))
    if path.suffix == ".gz":  # time, system and speed of packing say nothing of what is in it
        places -= set(range(3, 10))
    at = chance.choice(sorted(places))
    data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path: Path, chance: random.Random, others: list[Path]) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def lengthen(path: Path, chance: random.Random, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randint(1, 20)))


def empty(path: Path, chance: random.Random, others: list[Path]) -> None:
    path.write_bytes(b"")


def delete(path: Path, chance: random.Random, others: list[Path]) -> None:
    path.unlink()


def swap(path: Path, chance: random.Random, others: list[Path]) -> None:
    """Give it what another file of its kind holds; of the only one of its kind, of any kind."""
    data = path.read_bytes()
    different = [other for other in others if other.read_bytes() != data]
    path.write_bytes(chance.choice(different).read_bytes() if different else b"another file's")


DAMAGES: dict[str, Damage] = {
    "bit flipped": flip,
    "cut": cut,
    "lengthened": lengthen,
    "emptied": empty,
    "deleted": delete,
    "swapped": swap,
}
KINDS = ("manifest", "blob", "unnamed blob", "inventory", "contents", "result", "snapshot")
# A snapshot that was deleted is one that was forgotten, and what nothing names may be taken away.
NO_DAMAGE = {("unnamed blob", "deleted"), ("snapshot", "deleted")}


def look(store: BackupStore, **wanted: Any) -> VerifyReport:
    return verify(Verification(store=store, run="2026-11-25.verify", workers=2, **wanted))
