"""The format of the store: what is written where and when, and what reading refuses."""

from __future__ import annotations

import contextlib
import gc
import gzip
import hashlib
import io
import itertools
import json
import re
import sys
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborProtocolError,
    IntegrityError,
)
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Counts, Record, Role
from airflow_provider_harbor.core.jobs.results import ProjectResult, Results
from airflow_provider_harbor.core.oci.manifest import OCI_MANIFEST
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import Packer
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.inventories import BlobSize, Content, InventoryRef
from airflow_provider_harbor.core.store.known import Held, Known
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot

RUN = "scheduled__2025-11-25T01:00:00+00:00"
KEY = "scheduled__2025-11-25T01_00_00_00_00"
HARBOR = "https://harbor.example.com"
REGISTRY = "https://registry.example.com:5000"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def record(number: int, repository: str = "library/nginx") -> Record:
    return Record(
        project=repository.split("/")[0],
        repository=repository,
        digest=digest(number),
        role=Role.ARTIFACT,
        size_bytes=1000,
        tags=(Tag(name=f"v{number}", push_time="2025-11-24T10:00:00.000Z"),),
        labels=("größe",),
    )


def result(project: str = "library", **changes: Any) -> ProjectResult:
    return replace(ProjectResult(project=project, run=RUN, harbor_url=HARBOR), **changes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(any_store: BackupStore) -> BackupStore:
    return any_store


@pytest.fixture
def local(root: Path) -> BackupStore:
    return BackupStore(root)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def zipped(content: bytes) -> bytes:
    """Return a gzip file that is the same at any time, so that tests keep their names."""
    return gzip.compress(content, mtime=0)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


class TestRunKey:
    @pytest.mark.parametrize(
        ("run", "key"),
        [
            (RUN, KEY),
            ("nightly-1.2_x", "nightly-1.2_x"),
            ("", "_"),
            (".", "_"),
            ("..", "_."),
            (".hidden", "_hidden"),
            ("a/../b", "a_.._b"),
            ("Größe", "Gr__e"),
        ],
    )
    def test_is_safe_as_a_file_name(self, run: str, key: str) -> None:
        assert run_key(run) == key

    @given(st.text(max_size=600))
    def test_holds_its_promises_for_any_text(self, run: str) -> None:
        key = run_key(run)
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", key)
        assert run_key(key) == key

    def test_long_ids_that_differ_at_their_ends_stay_apart(self) -> None:
        assert run_key("a" * 250 + "1") != run_key("a" * 250 + "2")


class TestOpenFor:
    def test_an_empty_store_becomes_the_harbors(self, local: BackupStore, root: Path) -> None:
        local.begin_for("Harbor.Example.com:443/")
        document = read_json(root / "store.json")
        assert list(document) == ["format_version", "harbor_url", "created"]
        assert document["format_version"] == 1
        assert document["harbor_url"] == HARBOR

    def test_only_who_begins_a_store_makes_one(self, store: BackupStore) -> None:
        with pytest.raises(HarborConfigurationError, match="there is no backup store"):
            store.open_for(HARBOR)
        assert not store.is_there()
        assert store.begin_for(HARBOR) is True
        assert store.begin_for(HARBOR) is False
        store.open_for(HARBOR)

    def test_opening_again_changes_nothing(self, local: BackupStore, root: Path) -> None:
        local.begin_for(HARBOR)
        written = (root / "store.json").read_bytes()
        local.begin_for(HARBOR)
        assert (root / "store.json").read_bytes() == written

    @pytest.mark.parametrize(
        "url", ["https://HARBOR.example.com", f"{HARBOR}:443", f"{HARBOR}/", "harbor.example.com"]
    )
    def test_other_spellings_are_the_same_harbor(self, store: BackupStore, url: str) -> None:
        store.begin_for(HARBOR)
        store.begin_for(url)

    @pytest.mark.parametrize("url", ["https://other.example.com", f"{HARBOR}:8443"])
    def test_another_harbor_is_refused_by_name(self, store: BackupStore, url: str) -> None:
        store.begin_for(HARBOR)
        with pytest.raises(HarborConfigurationError, match=f"that of {HARBOR}, not of {url}"):
            store.begin_for(url)

    def test_a_newer_format_is_refused(self, local: BackupStore, root: Path) -> None:
        root.mkdir()
        (root / "store.json").write_text('{"format_version": 2, "harbor_url": "x"}')
        with pytest.raises(HarborConfigurationError, match=r"store\.json has format version 2"):
            local.begin_for(HARBOR)

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"harbor_url": "x"}'])
    def test_a_damaged_file_is_named(self, local: BackupStore, root: Path, content: str) -> None:
        root.mkdir()
        (root / "store.json").write_text(content)
        with pytest.raises(IntegrityError, match=rf"file://{root}/store\.json is damaged"):
            local.begin_for(HARBOR)

    def test_many_tasks_may_open_an_empty_store_at_once(self, root: Path) -> None:
        with ThreadPoolExecutor(16) as pool:
            opened = [pool.submit(BackupStore(root).begin_for, HARBOR) for _ in range(64)]
            for future in opened:
                future.result()
        assert files_below(root) == ["store.json"]


def write(store: BackupStore, *records: Record, project: str = "library") -> str:
    """Write an inventory as a walk does, repository by repository; returns its SHA-256."""
    writer = store.inventories.write(project)
    ordered = sorted(records, key=lambda item: item.key)
    for _, group in itertools.groupby(ordered, lambda item: item.repository):
        writer.add(list(group))
    return writer.finish()


def content(number: int, *blobs: int) -> Content:
    return Content(
        digest=digest(number),
        media_type=OCI_MANIFEST,
        size_bytes=10 + number,
        blobs=tuple(BlobSize(digest(blob), blob) for blob in blobs),
        foreign=(digest(99),),
    )


class TestInventories:
    def test_what_was_written_is_read_by_repository(self, store: BackupStore) -> None:
        records = [record(2), record(1), record(3, "library/alpine")]
        sha256 = write(store, *records)
        assert list(store.inventories.iter_records("library", sha256)) == records[::-1]
        assert list(store.inventories.iter_repositories("library", sha256)) == [
            ("library/alpine", [records[2]]),
            ("library/nginx", [records[1], records[0]]),
        ]

    def test_the_writer_counts(self, store: BackupStore) -> None:
        writer = store.inventories.write("library")
        writer.add([record(1), record(2)])
        assert writer.counts == Counts(
            repositories=1, artifacts=2, tags=2, digests=2, size_bytes=2000
        )

    def test_a_reference_survives_an_xcom(self) -> None:
        counts = Counts(repositories=1, digests=2)
        ref = InventoryRef(
            project="library", sha256="0" * 64, counts=counts, listed_at="2025", gaps=3
        )
        assert InventoryRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref

    def test_an_empty_project_has_an_inventory_too(self, store: BackupStore) -> None:
        assert list(store.inventories.iter_records("library", write(store))) == []

    def test_its_name_is_what_zcat_and_sha256sum_say(self, local: BackupStore, root: Path) -> None:
        sha256 = write(local, record(1))
        packed = (root / f"inventories/library/{sha256}.jsonl.gz").read_bytes()
        assert packed[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "no name, no time"
        assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == sha256
        assert gzip.decompress(packed).splitlines()[0] == (
            b'{"format_version":1,"kind":"harbor-inventory"}'
        )

    def test_equal_nights_are_one_file_that_is_written_once(
        self, local: BackupStore, root: Path
    ) -> None:
        sha256 = write(local, record(1))
        path = root / f"inventories/library/{sha256}.jsonl.gz"
        before = path.stat().st_mtime_ns
        assert write(local, record(1)) == sha256
        assert files_below(root) == [str(path.relative_to(root))]
        assert path.stat().st_mtime_ns == before

    def test_one_that_was_cut_short_is_written_again(self, local: BackupStore, root: Path) -> None:
        sha256 = write(local, record(1))
        path = root / f"inventories/library/{sha256}.jsonl.gz"
        path.write_bytes(path.read_bytes()[:-3])
        assert write(local, record(1)) == sha256
        assert list(local.inventories.iter_records("library", sha256)) == [record(1)]

    @pytest.mark.parametrize("at", [0, 20, -6])
    def test_one_that_was_damaged_is_written_again(
        self, local: BackupStore, root: Path, at: int
    ) -> None:
        sha256 = write(local, record(1))
        path = root / f"inventories/library/{sha256}.jsonl.gz"
        packed = bytearray(path.read_bytes())
        packed[at] ^= 1
        path.write_bytes(packed)
        assert write(local, record(1)) == sha256
        assert list(local.inventories.iter_records("library", sha256)) == [record(1)]

    def test_a_large_one_is_written_and_read_in_parts(self, local: BackupStore) -> None:
        records = [record(number, f"library/r{number % 9}") for number in range(5_000)]
        sha256 = write(local, *records)
        found = list(local.inventories.iter_records("library", sha256))
        assert found == sorted(records, key=lambda item: item.key)
        assert local.inventories.list_names("library") == [sha256]

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
    def test_a_truncated_file_is_named(self, local: BackupStore, root: Path, kept: float) -> None:
        sha256 = write(local, *map(record, range(100)))
        path = root / f"inventories/library/{sha256}.jsonl.gz"
        packed = path.read_bytes()
        path.write_bytes(packed[: int(len(packed) * kept)])
        with pytest.raises(IntegrityError, match=rf"{sha256}\.jsonl\.gz is damaged"):
            list(local.inventories.iter_records("library", sha256))
        with pytest.raises(IntegrityError, match=rf"{sha256}\.jsonl\.gz is damaged"):
            local.inventories.verify("library", sha256)

    @pytest.mark.parametrize(
        "packed",
        [
            b"this is no gzip file",
            zipped(b""),
            zipped(b'{"kind":"something-else","format_version":1}\n'),
            zipped(b'{"format_version":2,"kind":"harbor-inventory"}\n'),
            zipped(b'{"format_version":1,"kind":"harbor-inventory"}\n{"project":1}\n'),
            zipped(b'{"format_version":1,"kind":"harbor-inventory"}\n') + b"more",
            zipped(b'{"format_version":1,"kind":"harbor-inventory"}'),
        ],
    )
    def test_another_file_is_named(self, local: BackupStore, root: Path, packed: bytes) -> None:
        sha256 = write(local, record(1))
        (root / f"inventories/library/{sha256}.jsonl.gz").write_bytes(packed)
        with pytest.raises(IntegrityError, match=rf"{sha256}\.jsonl\.gz is damaged"):
            list(local.inventories.iter_records("library", sha256))

    def test_another_inventory_in_its_place_is_noticed(
        self, local: BackupStore, root: Path
    ) -> None:
        sha256, other = write(local, record(1), record(2)), write(local, record(1))
        directory = root / "inventories/library"
        (directory / f"{sha256}.jsonl.gz").write_bytes(
            (directory / f"{other}.jsonl.gz").read_bytes()
        )
        with pytest.raises(IntegrityError, match="something else than its name says"):
            list(local.inventories.iter_records("library", sha256))

    def test_one_that_is_gone_is_named(self, store: BackupStore) -> None:
        with pytest.raises(IntegrityError, match=rf"{'0' * 64}\.jsonl\.gz is gone"):
            store.inventories.verify("library", "0" * 64)

    def test_what_grows_without_end_when_it_is_unpacked_needs_no_memory(
        self, local: BackupStore, root: Path
    ) -> None:
        sha256 = write(local, record(1))
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
        (root / f"inventories/library/{sha256}.jsonl.gz").write_bytes(bomb)
        tracemalloc.start()
        try:
            with pytest.raises(IntegrityError, match="is damaged"):
                local.inventories.verify("library", sha256)
            assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
        finally:
            tracemalloc.stop()


class TestContents:
    def test_what_was_written_is_read_by_repository(self, store: BackupStore) -> None:
        writer = store.inventories.write_contents("library")
        writer.add("library/alpine", [content(2, 5), content(1, 5, 6)])
        writer.add("library/nginx", [content(3)])
        sha256 = writer.finish()
        assert list(store.inventories.iter_contents("library", sha256)) == [
            ("library/alpine", {digest(1): content(1, 5, 6), digest(2): content(2, 5)}),
            ("library/nginx", {digest(3): content(3)}),
        ]
        store.inventories.verify_contents("library", sha256)

    def test_its_sizes_are_those_of_the_manifest_and_its_blobs(self) -> None:
        assert list(content(3, 5, 6).iter_sizes()) == [
            BlobSize(digest(3), 13),
            BlobSize(digest(5), 5),
            BlobSize(digest(6), 6),
        ]

    def test_an_inventory_in_their_place_is_noticed(self, local: BackupStore, root: Path) -> None:
        sha256 = write(local, record(1))
        (root / "contents/library").mkdir(parents=True)
        name = f"library/{sha256}.jsonl.gz"
        (root / "inventories" / name).rename(root / "contents" / name)
        with pytest.raises(IntegrityError, match="it is no harbor-contents"):
            list(local.inventories.iter_contents("library", sha256))


class TestProjects:
    def test_results_are_read_by_name_in_order(self, store: BackupStore) -> None:
        names = ["ml.models", "2024", "a_b-c"]
        for name in names:
            Results(store.results, RUN).keep(result(name, error="it failed", stage="inventory"))
        assert [r.project for r in Results(store.results, RUN)] == sorted(names)
        assert Results(store.results, RUN).find("2024") == result(
            "2024", error="it failed", stage="inventory"
        )

    def test_a_project_that_is_run_again_replaces_its_result(self, store: BackupStore) -> None:
        Results(store.results, RUN).keep(result(error="it failed"))
        path = Results(store.results, RUN).keep(result())
        assert path == f"snapshots/{KEY}/projects/library.json"
        assert list(Results(store.results, RUN)) == [result()]

    def test_any_error_text_can_be_kept(self, store: BackupStore) -> None:
        broken = result(error="größe, '\udce4', \x00, \u2028")
        Results(store.results, RUN).keep(broken)
        assert list(Results(store.results, RUN)) == [broken]

    def test_nothing_is_there_before_it_was_written(self, store: BackupStore) -> None:
        assert Results(store.results, RUN).find("library") is None
        assert list(Results(store.results, RUN)) == []

    @pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "a\nb", "a b"])
    def test_no_name_leads_out_of_the_store(
        self, local: BackupStore, root: Path, name: str
    ) -> None:
        with pytest.raises(HarborProtocolError, match="is not the name of a project"):
            Results(local.results, RUN).keep(result(name))
        assert not root.exists()

    def test_the_longest_name_that_harbor_allows_is_fine(self, local: BackupStore) -> None:
        names = ["p" * 254 + end for end in "ab"]
        for name in names:
            write(local, project=name)
            local.snapshots.write_plan(RUN, name).finish()
            Results(local.results, RUN).keep(result(name))
        assert {r.project for r in Results(local.results, RUN)} == set(names)

    def test_a_result_of_another_run_is_a_mistake_of_the_caller(self, local: BackupStore) -> None:
        with pytest.raises(ValueError, match="is not one of run"):
            Results(local.results, "another").keep(result())

    def test_another_run_with_the_same_key_is_not_mixed_up(self, local: BackupStore) -> None:
        Results(local.results, RUN).keep(result())
        with pytest.raises(HarborConfigurationError, match="Give this run another name"):
            list(Results(local.results, KEY))

    @pytest.mark.parametrize(
        "content", ["", "{", "[1]", '{"format_version": 1}', '{"format_version": "x"}']
    )
    def test_a_damaged_result_is_named(self, local: BackupStore, root: Path, content: str) -> None:
        path = Results(local.results, RUN).keep(result())
        (root / path).write_text(content)
        with pytest.raises(IntegrityError, match=r"projects/library\.json is damaged") as caught:
            list(Results(local.results, RUN))
        lacks_a_field = content == '{"format_version": 1}'
        assert ("'project' is missing or unknown" in str(caught.value)) == lacks_a_field

    def test_a_writer_that_was_killed_leaves_nothing_that_is_read(
        self, local: BackupStore, root: Path
    ) -> None:
        path = Results(local.results, RUN).keep(result())
        (root / path).with_name("library.json#1").write_text("half")
        assert list(Results(local.results, RUN)) == [result()]

    def test_many_tasks_write_their_projects_at_once(self, root: Path) -> None:
        names = [f"project-{n:03}" for n in range(64)]
        with ThreadPoolExecutor(16) as pool:
            written = [
                pool.submit(Results(BackupStore(root).results, RUN).keep, result(name))
                for name in names
            ]
            for future in written:
                future.result()
        assert [r.project for r in Results(BackupStore(root).results, RUN)] == names


def snapshot(**changes: Any) -> Snapshot:
    project = ProjectContents(
        inventory="1" * 64, contents="2" * 64, ok=True, digests=3, size_bytes=4
    )
    made = Snapshot(
        key=KEY,
        run=RUN,
        complete=True,
        harbor_url=HARBOR,
        destination="file:///store",
        started_at="2025-11-25T01:00:00+00:00",
        ended_at="2025-11-25T02:00:00+00:00",
        projects={"library": project},
        limited_to=("lib*",),
    )
    return replace(made, **changes)


class TestSnapshots:
    def test_what_was_committed_is_read(self, store: BackupStore) -> None:
        assert store.snapshots.commit(snapshot()) == f"snapshots/{KEY}/snapshot.json"
        assert store.snapshots.read(KEY) == snapshot()
        assert (snapshot().digests, snapshot().size_bytes) == (3, 4)

    def test_a_run_that_is_completed_later_is_complete(self, store: BackupStore) -> None:
        partial = store.snapshots.commit(snapshot(complete=False))
        assert partial == f"snapshots/{KEY}/partial.json"
        assert store.snapshots.read(KEY) == snapshot(complete=False)
        store.snapshots.commit(snapshot())
        assert store.snapshots.read(KEY) == snapshot()

    def test_a_complete_run_stays_complete(self, store: BackupStore) -> None:
        path = store.snapshots.commit(snapshot())
        assert store.snapshots.commit(snapshot(complete=False, projects={})) == path
        assert store.snapshots.read(KEY) == snapshot()

    def test_runs_are_listed_with_those_that_were_cut_short(self, store: BackupStore) -> None:
        runs = ["2025-11-24T01-00-00Z", "2025-11-25T01-00-00Z", "2025-11-26T01-00-00Z"]
        for run in (runs[2], runs[0]):
            store.snapshots.commit(snapshot(run=run))
        Results(store.results, runs[1]).keep(replace(result(), run=runs[1]))
        assert store.snapshots.list_keys() == runs
        assert store.snapshots.read(runs[1]) is None
        assert [found.key for found in store.snapshots.read_all()] == [runs[2], runs[0]]

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}'])
    def test_a_damaged_snapshot_is_named(self, local: BackupStore, root: Path, text: str) -> None:
        path = local.snapshots.commit(snapshot())
        (root / path).write_text(text)
        with pytest.raises(IntegrityError, match=r"snapshot\.json is damaged"):
            local.snapshots.read(KEY)

    def test_a_snapshot_of_a_newer_format_is_refused(self, local: BackupStore, root: Path) -> None:
        path = local.snapshots.commit(snapshot())
        (root / path).write_text('{"format_version": 2}')
        with pytest.raises(HarborConfigurationError, match="has format version 2"):
            local.snapshots.read(KEY)

    def test_a_plan_is_written_line_by_line(self, local: BackupStore, root: Path) -> None:
        for number in range(2):
            plan = local.snapshots.write_plan(RUN, "library")
            plan.add(b'{"digest":"%d"}\n' % number)
            plan.finish()
        lines = gzip.decompress((root / f"plans/{KEY}/library.jsonl.gz").read_bytes())
        assert lines.splitlines() == [
            b'{"format_version":1,"kind":"harbor-plan"}',
            b'{"digest":"1"}',
        ]

    def test_a_report_is_written_for_programs_and_people(
        self, local: BackupStore, root: Path
    ) -> None:
        report, page = local.snapshots.write_report(RUN, {"run": RUN}, "<p>größe</p>")
        assert (report, page) == (f"reports/{KEY}.json", f"reports/{KEY}.html")
        assert read_json(root / report) == {"format_version": 1, "run": RUN}
        assert (root / page).read_text(encoding="utf-8") == "<p>größe</p>"


class TestLatest:
    def test_the_newest_contents_are_remembered(self, store: BackupStore) -> None:
        assert store.snapshots.read_latest("library") is None
        store.snapshots.write_latest("library", RUN, "1" * 64, "2" * 64)
        assert store.snapshots.read_latest("library") == ("1" * 64, "2" * 64)

    def test_the_same_again_writes_nothing(self, local: BackupStore, root: Path) -> None:
        local.snapshots.write_latest("library", "one", "1" * 64, "2" * 64)
        local.snapshots.write_latest("library", "two", "1" * 64, "2" * 64)
        assert read_json(root / "latest/library.json")["run"] == "one"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 9}', '{"a": 1}'])
    def test_a_pointer_that_cannot_be_read_is_lost(
        self, local: BackupStore, root: Path, text: str
    ) -> None:
        local.snapshots.write_latest("library", RUN, "1" * 64, "2" * 64)
        (root / "latest/library.json").write_text(text)
        assert local.snapshots.read_latest("library") is None


GOOD_HELD = {"asked": "2025-11-25T01:00:00+00:00", "digests": [digest(1)], "tags": {}}
GOOD_KNOWN = {
    "format_version": 1,
    "place": REGISTRY,
    "run": "night-2",
    "listed_at": "2025-11-25T01:00:00.000000+00:00",
    "repositories": {"a": GOOD_HELD},
}


class TestKnown:
    KNOWN = Known(
        held={
            "library/nginx": Held(
                digests=frozenset({digest(1), digest(2)}),
                tags={"1.25": digest(1)},
                asked=datetime(2025, 11, 25, 1, tzinfo=timezone.utc),
            ),
            "library/bare": Held(),
        },
        run="night-2",
        listed_at="2025-11-25T01:00:00+00:00",
    )

    def test_what_was_written_is_read(self, store: BackupStore) -> None:
        store.write_known(REGISTRY, "library", self.KNOWN)
        assert store.read_known(REGISTRY, "library") == self.KNOWN

    def test_nothing_is_known_before(self, store: BackupStore) -> None:
        assert store.read_known(REGISTRY, "library") == Known()

    def test_path_names_the_host(self, local: BackupStore) -> None:
        path = local.write_known(REGISTRY, "library", self.KNOWN)
        assert path == "known/registry.example.com_5000/library.json.gz"

    def test_destinations_of_one_key_are_not_mixed_up(self, local: BackupStore) -> None:
        local.write_known("https://registry", "library", self.KNOWN)
        assert local.read_known("http://registry", "library") == Known()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no gzip file",
            zipped(b"{")[:-3],
            zipped(b"[]"),
            zipped(b'{"format_version": 1}'),
            zipped(
                json.dumps({"format_version": 2, "place": REGISTRY, "repositories": {}}).encode()
            ),
            zipped(
                json.dumps(
                    {"format_version": 1, "place": REGISTRY, "repositories": {"a": 1}}
                ).encode()
            ),
            zipped(
                json.dumps(
                    {
                        "format_version": 1,
                        "place": REGISTRY,
                        "repositories": {"a": {"asked": "soon", "digests": [], "tags": {}}},
                    }
                ).encode()
            ),
            *(
                gzip.compress(json.dumps({**GOOD_KNOWN, **damage}).encode())
                for damage in (
                    {"listed_at": 5},
                    {"listed_at": None},
                    {"listed_at": "9"},
                    {"listed_at": "2025-11-25T01:00:00"},
                    {"run": 5},
                    {"repositories": {"a": {**GOOD_HELD, "asked": "2025-11-25T01:00:00"}}},
                    {"repositories": {"a": {**GOOD_HELD, "asked": 5}}},
                    {"repositories": {"a": {**GOOD_HELD, "digests": "abc"}}},
                    {"repositories": {"a": {**GOOD_HELD, "digests": [1]}}},
                    {"repositories": {"a": {**GOOD_HELD, "tags": {"1.0": 5}}}},
                    {"repositories": {"a": {**GOOD_HELD, "tags": ["ab"]}}},
                )
            ),
        ],
    )
    def test_what_cannot_be_read_is_not_known(
        self, local: BackupStore, root: Path, content: bytes
    ) -> None:
        path = local.write_known(REGISTRY, "library", self.KNOWN)
        (root / path).write_bytes(content)
        assert local.read_known(REGISTRY, "library") == Known()

    def test_a_repository_is_known_by_its_digests_or_its_tags_alone(
        self, store: BackupStore
    ) -> None:
        held = {
            "library/a": Held(digests=frozenset([digest(1)])),
            "library/b": Held(asked=datetime(2025, 11, 25, tzinfo=timezone.utc)),
            "library/c": Held(tags={"v1": digest(2)}),
        }
        store.write_known(REGISTRY, "library", Known(held=held))
        assert store.read_known(REGISTRY, "library").held == held


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "sha256:../../etc/passwd"},
        {"media_type": ["application/json"]},
        {"media_type": "text/plain\r\nX: y"},
        {"size_bytes": -1},
        {"size_bytes": 1e308},
        {"size_bytes": 2**64},
        {"blobs": [{"digest": "sha256:zz", "size_bytes": 1}]},
        {"blobs": [{"digest": f"sha256:{'0' * 64}", "size_bytes": None}]},
        {"foreign": ["nothing"]},
    ],
)
def test_contents_that_no_writer_makes_are_damage(changes: dict[str, object]) -> None:
    whole = {
        "digest": f"sha256:{'0' * 64}",
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "size_bytes": 7,
        "blobs": [],
        "foreign": [],
    }
    assert Content.from_json(whole).size_bytes == 7
    with pytest.raises((ValueError, TypeError)):
        Content.from_json(whole | changes)


def test_a_list_that_is_deleted_while_it_is_looked_at_is_written(
    store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a prune may do it, whose sweep was announced before."""
    with store.inventories.write("library") as writer:
        sha256 = writer.finish()
    path = f"inventories/library/{sha256}.jsonl.gz"
    size, read = Files.size, Files.open

    def delete_after(files: Files, path: str) -> int | None:
        found = size(files, path)
        files.delete([path])
        return found

    def delete_before(files: Files, path: str) -> object:
        monkeypatch.setattr(Files, "open", read)
        files.delete([path])
        return read(files, path)

    monkeypatch.setattr(Files, "size", delete_after)
    monkeypatch.setattr(Files, "open", delete_before)
    with store.inventories.write("library") as writer:
        assert writer.finish() == sha256
    monkeypatch.undo()
    assert store.files.exists(path)
    store.inventories.verify("library", sha256)


def test_a_list_that_is_not_finished_is_dropped_without_a_word(
    store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stopped run leaves behind would be told on stderr, above what it says itself."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    for how_many in (0, 10, 10_000):
        with store.inventories.write("library") as writer:
            writer.add([record(number) for number in range(how_many)])
    del writer
    gc.collect()
    assert said == []
    assert not list(store.files.iter_files("inventories"))


@pytest.mark.parametrize("content", [b"", b"a line\n", bytes(100_000)])
def test_what_was_cut_short_while_it_was_packed_is_no_whole_file(content: bytes) -> None:
    """As an inventory that goes to a pipe: who reads it is to see that there was more."""
    whole, cut = io.BytesIO(), io.BytesIO()
    with Packer(whole) as stream:
        stream.write(content)
    with contextlib.suppress(KeyboardInterrupt), Packer(cut) as stream:
        stream.write(content)
        raise KeyboardInterrupt
    assert gzip.decompress(whole.getvalue()) == content
    with pytest.raises(EOFError):
        gzip.decompress(cut.getvalue())
