"""The format of the store: what is written where and when, and what reading refuses."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborConfigurationError,
    HarborProtocolError,
    IntegrityError,
)
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Counts, Record, Role
from airflow_provider_harbor.core.jobs.results import ProjectResult, Results
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.known import Holdings, Known

NOW = datetime(2025, 11, 25, 1, tzinfo=timezone.utc)

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


@pytest.fixture(params=["path", "file-url", "memory"])
def store(request: pytest.FixtureRequest, root: Path) -> Iterator[BackupStore]:
    urls = {"path": str(root), "file-url": root.as_uri(), "memory": "memory://bucket/store"}
    yield BackupStore(urls[request.param])
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def local(root: Path) -> BackupStore:
    return BackupStore(root)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


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
        assert BackupStore.run_key(run) == key

    @given(st.text(max_size=600))
    def test_holds_its_promises_for_any_text(self, run: str) -> None:
        key = BackupStore.run_key(run)
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", key)
        assert BackupStore.run_key(key) == key

    def test_long_ids_that_differ_at_their_ends_stay_apart(self) -> None:
        assert BackupStore.run_key("a" * 250 + "1") != BackupStore.run_key("a" * 250 + "2")


class TestOpenFor:
    def test_an_empty_store_becomes_the_harbors(self, local: BackupStore, root: Path) -> None:
        local.open_for("Harbor.Example.com:443/")
        document = read_json(root / "store.json")
        assert list(document) == ["format_version", "harbor_url", "created"]
        assert document["format_version"] == 1
        assert document["harbor_url"] == HARBOR

    def test_opening_again_changes_nothing(self, local: BackupStore, root: Path) -> None:
        local.open_for(HARBOR)
        written = (root / "store.json").read_bytes()
        local.open_for(HARBOR)
        assert (root / "store.json").read_bytes() == written

    @pytest.mark.parametrize(
        "url", ["https://HARBOR.example.com", f"{HARBOR}:443", f"{HARBOR}/", "harbor.example.com"]
    )
    def test_other_spellings_are_the_same_harbor(self, store: BackupStore, url: str) -> None:
        store.open_for(HARBOR)
        store.open_for(url)

    @pytest.mark.parametrize("url", ["https://other.example.com", f"{HARBOR}:8443"])
    def test_another_harbor_is_refused_by_name(self, store: BackupStore, url: str) -> None:
        store.open_for(HARBOR)
        with pytest.raises(HarborConfigurationError, match=f"that of {HARBOR}, not of {url}"):
            store.open_for(url)

    def test_a_newer_format_is_refused(self, local: BackupStore, root: Path) -> None:
        root.mkdir()
        (root / "store.json").write_text('{"format_version": 2, "harbor_url": "x"}')
        with pytest.raises(HarborConfigurationError, match=r"store\.json has format version 2"):
            local.open_for(HARBOR)

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"harbor_url": "x"}'])
    def test_a_damaged_file_is_named(self, local: BackupStore, root: Path, content: str) -> None:
        root.mkdir()
        (root / "store.json").write_text(content)
        with pytest.raises(IntegrityError, match=rf"file://{root}/store\.json is damaged"):
            local.open_for(HARBOR)

    def test_many_tasks_may_open_an_empty_store_at_once(self, root: Path) -> None:
        with ThreadPoolExecutor(16) as pool:
            opened = [pool.submit(BackupStore(root).open_for, HARBOR) for _ in range(64)]
            for future in opened:
                future.result()
        assert files_below(root) == ["store.json"]


class TestInventories:
    def test_what_was_written_is_read_sorted(self, store: BackupStore) -> None:
        records = [record(2), record(1), record(3, "library/alpine")]
        ref = store.write_inventory(RUN, "library", records, listed_at=NOW)
        assert list(store.iter_inventory(ref)) == [records[2], records[1], records[0]]

    def test_reference_tells_what_it_holds(self, local: BackupStore) -> None:
        ref = local.write_inventory(RUN, "library", [record(1), record(2)], listed_at=NOW)
        assert ref.path == f"inventories/library/{KEY}.jsonl.gz"
        assert ref.counts == Counts(repositories=1, artifacts=2, tags=2, digests=2, size_bytes=2000)
        assert InventoryRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref

    def test_an_empty_project_has_an_inventory_too(self, store: BackupStore) -> None:
        ref = store.write_inventory(RUN, "library", [], listed_at=NOW)
        assert list(store.iter_inventory(ref)) == []
        assert ref.counts == Counts()

    def test_equal_content_is_equal_bytes(self, local: BackupStore, root: Path) -> None:
        refs = [
            local.write_inventory(run, "library", [record(1)], listed_at=NOW)
            for run in ("one", "two")
        ]
        first, second = ((root / ref.path).read_bytes() for ref in refs)
        assert first == second
        assert first[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", "no name, no time"
        assert gzip.decompress(first).splitlines()[0] == (
            b'{"format_version":1,"kind":"harbor-inventory"}'
        )

    def test_listing_the_same_again_writes_nothing(self, local: BackupStore, root: Path) -> None:
        first = local.write_inventory(RUN, "library", [record(1)], listed_at=NOW)
        assert local.write_inventory(RUN, "library", [record(1)], listed_at=NOW) == first
        assert files_below(root) == [first.path]

    def test_listing_something_else_keeps_the_older_one(self, local: BackupStore) -> None:
        first = local.write_inventory(RUN, "library", [record(1)], listed_at=NOW)
        second = local.write_inventory(RUN, "library", [record(2)], listed_at=NOW)
        third = local.write_inventory(RUN, "library", [record(3)], listed_at=NOW)
        assert second.path == f"inventories/library/{KEY}.2.jsonl.gz"
        assert third.path == f"inventories/library/{KEY}.3.jsonl.gz"
        assert list(local.iter_inventory(first)) == [record(1)]

    def test_listing_again_takes_the_older_result_away(self, store: BackupStore) -> None:
        Results(store, RUN).keep(result("library"))
        Results(store, RUN).keep(result("other"))
        store.write_inventory(RUN, "library", [record(1)], listed_at=NOW)
        assert [r.project for r in Results(store, RUN)] == ["other"]

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
    def test_a_truncated_file_is_named(self, local: BackupStore, root: Path, kept: float) -> None:
        ref = local.write_inventory(RUN, "library", [record(n) for n in range(100)], listed_at=NOW)
        content = (root / ref.path).read_bytes()
        (root / ref.path).write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(IntegrityError, match=rf"{KEY}\.jsonl\.gz is damaged"):
            list(local.iter_inventory(ref))

    @pytest.mark.parametrize(
        "content",
        [
            b"this is no gzip file",
            gzip.compress(b""),
            gzip.compress(b'{"kind":"something-else","format_version":1}\n'),
            gzip.compress(b'{"format_version":1,"kind":"harbor-inventory"}\n{"project":1}\n'),
        ],
    )
    def test_another_file_is_named(self, local: BackupStore, root: Path, content: bytes) -> None:
        ref = local.write_inventory(RUN, "library", [record(1)], listed_at=NOW)
        (root / ref.path).write_bytes(content)
        with pytest.raises(IntegrityError, match=rf"{KEY}\.jsonl\.gz is damaged"):
            list(local.iter_inventory(ref))

    def test_another_inventory_in_its_place_is_noticed(
        self, local: BackupStore, root: Path
    ) -> None:
        ref = local.write_inventory(RUN, "library", [record(1), record(2)], listed_at=NOW)
        other = local.write_inventory("other", "library", [record(1)], listed_at=NOW)
        (root / ref.path).write_bytes((root / other.path).read_bytes())
        with pytest.raises(DigestMismatchError) as caught:
            list(local.iter_inventory(ref))
        assert caught.value.expected == f"sha256:{ref.sha256}"
        assert caught.value.actual == f"sha256:{other.sha256}"
        assert caught.value.where.endswith(ref.path)

    def test_a_lost_file_stays_the_error_of_the_storage(self, store: BackupStore) -> None:
        ref = store.write_inventory(RUN, "library", [record(1)], listed_at=NOW)
        with pytest.raises(FileNotFoundError):
            list(store.iter_inventory(replace(ref, path="inventories/library/lost.jsonl.gz")))


class TestProjects:
    def test_results_are_read_by_name_in_order(self, store: BackupStore) -> None:
        names = ["ml.models", "2024", "a_b-c"]
        for name in names:
            Results(store, RUN).keep(result(name, error="it failed", stage="inventory"))
        assert [r.project for r in Results(store, RUN)] == sorted(names)
        assert Results(store, RUN).find("2024") == result(
            "2024", error="it failed", stage="inventory"
        )

    def test_a_project_that_is_run_again_replaces_its_result(self, store: BackupStore) -> None:
        Results(store, RUN).keep(result(error="it failed"))
        path = Results(store, RUN).keep(result())
        assert path == f"snapshots/{KEY}/projects/library.json"
        assert list(Results(store, RUN)) == [result()]

    def test_any_error_text_can_be_kept(self, store: BackupStore) -> None:
        broken = result(error="größe, '\udce4', \x00, \u2028")
        Results(store, RUN).keep(broken)
        assert list(Results(store, RUN)) == [broken]

    def test_nothing_is_there_before_it_was_written(self, store: BackupStore) -> None:
        assert Results(store, RUN).find("library") is None
        assert list(Results(store, RUN)) == []

    @pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "a\nb", "a b"])
    def test_no_name_leads_out_of_the_store(
        self, local: BackupStore, root: Path, name: str
    ) -> None:
        with pytest.raises(HarborProtocolError, match="is not the name of a project"):
            Results(local, RUN).keep(result(name))
        assert not root.exists()

    def test_the_longest_name_that_harbor_allows_is_fine(self, local: BackupStore) -> None:
        names = ["p" * 254 + end for end in "ab"]
        for name in names:
            local.write_inventory(RUN, name, [], listed_at=NOW)
            local.write_plan(RUN, name, {})
            Results(local, RUN).keep(result(name))
        assert {r.project for r in Results(local, RUN)} == set(names)

    def test_a_result_of_another_run_is_a_mistake_of_the_caller(self, local: BackupStore) -> None:
        with pytest.raises(ValueError, match="is not one of run"):
            Results(local, "another").keep(result())

    def test_another_run_with_the_same_key_is_not_mixed_up(self, local: BackupStore) -> None:
        Results(local, RUN).keep(result())
        with pytest.raises(HarborConfigurationError, match="Give this run another id"):
            list(Results(local, KEY))

    @pytest.mark.parametrize(
        "content", ["", "{", "[1]", '{"format_version": 1}', '{"format_version": "x"}']
    )
    def test_a_damaged_result_is_named(self, local: BackupStore, root: Path, content: str) -> None:
        path = Results(local, RUN).keep(result())
        (root / path).write_text(content)
        with pytest.raises(IntegrityError, match=r"projects/library\.json is damaged"):
            list(Results(local, RUN))

    def test_a_writer_that_was_killed_leaves_nothing_that_is_read(
        self, local: BackupStore, root: Path
    ) -> None:
        path = Results(local, RUN).keep(result())
        (root / path).with_name(".0123abcd.tmp").write_text("half")
        assert list(Results(local, RUN)) == [result()]

    def test_many_tasks_write_their_projects_at_once(self, root: Path) -> None:
        names = [f"project-{n:03}" for n in range(64)]
        with ThreadPoolExecutor(16) as pool:
            written = [
                pool.submit(Results(BackupStore(root), RUN).keep, result(name)) for name in names
            ]
            for future in written:
                future.result()
        assert [r.project for r in Results(BackupStore(root), RUN)] == names


class TestEndOfARun:
    def test_plan_is_written_by_run_and_project(self, local: BackupStore, root: Path) -> None:
        path = local.write_plan(RUN, "library", {"project": "library", "to_copy": 3})
        assert path == f"plans/{KEY}/library.json"
        assert read_json(root / path) == {
            "format_version": 1,
            "project": "library",
            "to_copy": 3,
        }

    def test_report_is_written_for_programs_and_people(
        self, local: BackupStore, root: Path
    ) -> None:
        report, page = local.write_report(RUN, {"run": RUN}, "<p>größe</p>")
        assert (report, page) == (f"reports/{KEY}.json", f"reports/{KEY}.html")
        assert read_json(root / report) == {"format_version": 1, "run": RUN}
        assert (root / page).read_text(encoding="utf-8") == "<p>größe</p>"

    def test_completing_a_partial_run_leaves_the_snapshot_only(
        self, local: BackupStore, root: Path
    ) -> None:
        assert local.write_snapshot(RUN, {"n": 1}, complete=False).endswith("/partial.json")
        assert local.write_snapshot(RUN, {"n": 2}, complete=True).endswith("/snapshot.json")
        assert files_below(root) == [f"snapshots/{KEY}/snapshot.json"]

    def test_a_complete_run_stays_complete(self, local: BackupStore, root: Path) -> None:
        path = local.write_snapshot(RUN, {"n": 1}, complete=True)
        assert local.write_snapshot(RUN, {"n": 2}, complete=False) == path
        assert files_below(root) == [path]
        assert read_json(root / path)["n"] == 1

    def test_a_dry_run_never_becomes_a_snapshot(self, local: BackupStore, root: Path) -> None:
        with pytest.raises(ValueError, match="a dry run is no backup"):
            local.write_snapshot(RUN, {"dry_run": True}, complete=True)
        assert not root.exists()


class TestKnownHoldings:
    KNOWN = Known(
        holdings=Holdings(
            digests={
                "library/nginx": frozenset({digest(1), digest(2)}),
                "library/bare": frozenset(),
            },
            tags={"library/nginx": {"1.25": digest(1)}, "library/bare": {}},
            asked={"library/nginx": datetime(2025, 11, 25, 1, tzinfo=timezone.utc)},
        ),
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
        assert path == "destinations/registry.example.com_5000/library.json.gz"

    def test_destinations_of_one_key_are_not_mixed_up(self, local: BackupStore) -> None:
        local.write_known("https://registry", "library", self.KNOWN)
        assert local.read_known("http://registry", "library") == Known()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no gzip file",
            gzip.compress(b"{")[:-3],
            gzip.compress(b"[]"),
            gzip.compress(b'{"format_version": 1}'),
            gzip.compress(
                json.dumps(
                    {"format_version": 2, "destination": REGISTRY, "repositories": {}}
                ).encode()
            ),
            gzip.compress(
                json.dumps(
                    {"format_version": 1, "destination": REGISTRY, "repositories": {"a": 1}}
                ).encode()
            ),
            gzip.compress(
                json.dumps(
                    {
                        "format_version": 1,
                        "destination": REGISTRY,
                        "repositories": {"a": {"asked": "soon", "digests": [], "tags": {}}},
                    }
                ).encode()
            ),
        ],
    )
    def test_what_cannot_be_read_is_not_known(
        self, local: BackupStore, root: Path, content: bytes
    ) -> None:
        path = local.write_known(REGISTRY, "library", self.KNOWN)
        (root / path).write_bytes(content)
        assert local.read_known(REGISTRY, "library") == Known()
