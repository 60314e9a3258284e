"""All nights at a glance: what is said of them is so, with what is kept in short and without it."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import IntegrityError
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.found_page import render_found
from airflow_provider_harbor.core.jobs.last_reports import read_last_reports
from airflow_provider_harbor.core.jobs.overview import (
    Overview,
    ProjectView,
    State,
    forget_nights,
    read_overview,
    remember_nights,
    state_of,
)
from airflow_provider_harbor.core.jobs.overview_page import judge, render_store
from airflow_provider_harbor.core.jobs.project_page import render_project
from airflow_provider_harbor.core.jobs.search import search
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.nights import read_nights
from airflow_provider_harbor.core.store.retention import Policy
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.bench.nights import NEWEST, fill
from tests.core.rig import Backup
from tests.double import HarborDouble, Image

NOW = NEWEST + timedelta(hours=5)
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Ten nights of three projects; what `fill` makes of the eighth is partial."""
    fill(tmp_path / "nights", 10, 3)
    return tmp_path / "nights"


def look(store: BackupStore) -> Overview:
    return read_overview(store, now=lambda: NOW)


def snapshot(day: int, **projects: bool | None) -> Snapshot:
    """Return a night in which each project was whole, not whole, or (None) not listed."""
    began = datetime(2026, 11, day, 3, 30, tzinfo=timezone.utc)
    whole = all(projects.values())
    return Snapshot(
        key=f"2026-11-{day:02}T03-30-00Z.harbor_backup",
        run=f"2026-11-{day:02}T03-30-00Z.harbor_backup",
        complete=whole,
        harbor_url="https://harbor.example.com",
        destination="file:///store",
        started_at=began.isoformat(),
        ended_at=began.isoformat(),
        projects={
            name: ProjectContents(
                inventory="0" * 64, contents="1" * 64, ok=ok, digests=day, size_bytes=day * 1000
            )
            for name, ok in projects.items()
            if ok is not None
        },
        lacking=tuple(name for name, ok in projects.items() if ok is None),
    )


def kept(store: BackupStore, *snapshots: Snapshot) -> Overview:
    store.begin_for("https://harbor.example.com")
    for made in snapshots:
        store.snapshots.commit(made)
        remember_nights(store, made.key)
    return look(store)


def limited(made: Snapshot, *names: str) -> Snapshot:
    return Snapshot(**{**_fields(made), "limited_to": names})


def _fields(made: Snapshot) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Snapshot.__dataclass_fields__}


def states(overview: Overview) -> dict[str, State]:
    return {project.name: project.state for project in overview.projects()}


def view(overview: Overview, name: str) -> ProjectView:
    found = overview.project(name)
    assert found is not None
    return found


def test_what_is_kept_in_short_says_the_same_as_the_snapshots(nights: Path) -> None:
    store = BackupStore(nights)
    read = look(store)
    remember_nights(store)
    assert (nights / layout.NIGHTS).exists()
    short = look(store)
    assert short == read
    assert short.projects() == read.projects()
    assert len(short.nights) == 10
    assert [state_of(night) for night in short.nights].count(State.PARTIAL) == 1


def test_old_nights_are_not_read_when_they_are_kept_in_short(nights: Path) -> None:
    store = BackupStore(nights)
    remember_nights(store)
    old = nights / layout.snapshot(look(store).nights[0].key)
    old.write_text("damaged")
    assert not look(store).damages
    (nights / layout.NIGHTS).write_bytes(b"damaged, too")
    assert list(look(store).damages) == [old.parent.name]


@pytest.mark.parametrize(
    "odd",
    [
        {"sizes": [None, None]},
        {"sizes": ["a", "b"]},
        {"sizes": [1.5, float("nan")]},
        {"sizes": 5},
        {"digests": [-7]},
        {"digests": [10**400]},
        {"lacking": [-5, 99]},
        {"complete": "false"},
        {"limited_to": "a*"},
        {"started_at": None},
        {"projects": ["a", "a"]},
    ],
)
def test_what_is_kept_in_short_counts_only_if_it_is_what_it_should_be(
    nights: Path, odd: dict[str, Any]
) -> None:
    store = BackupStore(nights)
    right = look(store)
    remember_nights(store)
    path = nights / layout.NIGHTS
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for line in lines[:1] if "projects" in odd else lines[1:]:
        line.update(odd)
    path.write_bytes(gzip.compress(b"\n".join(json.dumps(line).encode() for line in lines)))
    assert look(store) == right
    assert render_store(look(store), []) == render_store(right, [])


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", "x"])
def test_a_moment_that_cannot_be_is_shown(store: BackupStore, moment: str) -> None:
    odd = Snapshot(**{**_fields(snapshot(25, a=True)), "started_at": moment, "ended_at": moment})
    overview = kept(store, snapshot(24, a=True), odd)
    assert len(overview.nights) == 2
    assert judge(overview, overview.projects())[0] == "bad"
    assert odd.key in render_store(overview, [])
    assert render_project(store, "a")


@pytest.mark.parametrize("size", [10**400, -5, 1e999, None, "many"])
def test_a_size_that_cannot_be_is_damage(store: BackupStore, size: Any) -> None:
    kept(store, snapshot(24, a=True))
    path = layout.snapshot(snapshot(24).run)
    data = json.loads(store.files.read(path))
    data["projects"]["a"]["size_bytes"] = size
    store.files.write(path, json.dumps(data).encode())
    overview = look(store)
    assert list(overview.damages) == [snapshot(24).key]
    assert path in render_store(overview, [])


@pytest.mark.parametrize("version", ["1e999", "-1e999", "NaN"])
def test_a_version_that_is_no_number_is_damage(store: BackupStore, version: str) -> None:
    store.begin_for("https://harbor.example.com")
    store.files.write(layout.STORE, f'{{"format_version": {version}}}'.encode())
    with pytest.raises(IntegrityError):
        look(store)


def test_a_page_of_many_nights_reads_no_more_files_than_one_of_few(tmp_path: Path) -> None:
    def files_read(nights: int) -> int:
        store = fill(tmp_path / str(nights), nights, 2)
        remember_nights(store)
        read, paths = store.files.read, []

        def counted(path: str) -> bytes:
            paths.append(path)
            return read(path)

        store.files.read = counted  # type: ignore[method-assign]
        assert len(look(store).nights) == nights
        render_store(look(store), read_last_reports(store, NOW))
        return len(paths)

    assert files_read(100) <= files_read(11)


def test_a_partial_night_that_ends_whole_after_all_is_shown_so(store: BackupStore) -> None:
    kept(store, snapshot(1, a=True), snapshot(2, a=False))
    for day in (3, 4, 5, 6):
        kept(store, snapshot(day, a=True))
    # As if the task had been killed before it could keep the nights in short.
    store.snapshots.commit(snapshot(2, a=True))
    assert all(night.complete for night in look(store).nights)


def test_a_forgotten_night_is_gone_though_deleting_it_was_cut_short(store: BackupStore) -> None:
    made = [snapshot(day, a=True) for day in (1, 2, 3, 4, 5)]
    kept(store, *made)
    forget_nights(store, {made[0].key})
    store.files.delete([layout.snapshot(made[0].run)])
    store.files.write(layout.result(layout.SNAPSHOTS, made[0].run, "a"), b"{}")
    overview = look(store)
    assert [night.key for night in overview.nights] == [night.key for night in made[1:]]
    assert overview.unended == (made[0].key,)


def test_forgetting_drops_nights_from_what_is_kept_in_short(store: BackupStore) -> None:
    kept(store, *(snapshot(day, a=True) for day in (1, 2, 3, 4, 5)))
    forget(store, Policy(keep_last=2), now=NOW)
    assert len(read_nights(store.files).by_key) == len(store.snapshots.list_keys()) == 2


def test_no_more_nights_are_read_than_somebody_waits_for(store: BackupStore) -> None:
    store.begin_for("https://harbor.example.com")
    for month, day in itertools.product(range(1, 4), range(1, 29)):
        began = f"2026-{month:02}-{day:02}"
        store.snapshots.commit(
            Snapshot(**{**_fields(snapshot(day, a=True)), "run": began, "started_at": began})
        )
    overview = look(store)
    assert len(overview.nights) == 60
    assert overview.unread == 24
    assert "24 older nights not shown" in render_store(overview, [])
    remember_nights(store)
    assert look(store).unread == 0


class TestProjects:
    def test_one_that_failed_says_when_it_was_protected_last(self, store: BackupStore) -> None:
        overview = kept(store, snapshot(1, a=True, b=True), snapshot(2, a=True, b=False))
        assert states(overview) == {"b": State.BAD, "a": State.GOOD}
        last = view(overview, "b").protected
        assert last is not None
        assert last.started_at.startswith("2026-11-01")
        assert "2026-11-01 03:30 UTC" in render_store(overview, [])

    def test_one_that_could_not_be_listed_is_not_taken_for_deleted(
        self, store: BackupStore
    ) -> None:
        overview = kept(store, snapshot(1, a=True, b=True), snapshot(2, a=True, b=None))
        assert states(overview) == {"b": State.BAD, "a": State.GOOD}

    def test_one_that_is_deleted_from_harbor_is_no_trouble(self, store: BackupStore) -> None:
        overview = kept(store, snapshot(24, a=True, b=True), snapshot(25, a=True))
        assert states(overview) == {"a": State.GOOD, "b": State.GONE}
        assert judge(overview, overview.projects())[0] == "good"

    def test_a_run_of_some_projects_says_nothing_of_others(self, store: BackupStore) -> None:
        full = snapshot(24, a=True, b=True)
        fine = kept(store, full, limited(snapshot(25, a=True), "a"))
        assert states(fine) == {"a": State.GOOD, "b": State.GOOD}
        kept(store, limited(snapshot(26, a=False), "a*"))
        bad = read_overview(store, now=lambda: NOW + timedelta(days=1))
        assert states(bad) == {"a": State.BAD, "b": State.GOOD}
        assert judge(bad, bad.projects())[0] == "bad"

    def test_a_night_that_has_no_list_of_projects_protects_none(self, store: BackupStore) -> None:
        nothing = Snapshot(**{**_fields(snapshot(2)), "complete": False, "lacking": None})
        overview = kept(store, snapshot(1, a=True), nothing)
        assert states(overview) == {"a": State.BAD}
        assert state_of(overview.nights[-1]) is State.BAD

    def test_growth_is_since_thirty_days_ago(self, store: BackupStore) -> None:
        overview = kept(store, *(snapshot(day, a=True) for day in (1, 10, 20)))
        assert view(overview, "a").grown_bytes == 19_000
        assert view(overview, "a").points == (1000, 10_000, 20_000)


def test_a_store_is_green_only_if_all_is_protected_and_nothing_is_overdue(
    store: BackupStore,
) -> None:
    fine = kept(store, *(snapshot(day, a=True) for day in (23, 24, 25)))
    assert judge(fine, fine.projects())[:2] == ("good", "Everything is protected")
    late = read_overview(store, now=lambda: NOW + timedelta(hours=40))
    assert judge(late, late.projects())[:2] == ("bad", "The next backup is overdue")
    kept(store, snapshot(26, a=False))
    bad = read_overview(store, now=lambda: NOW + timedelta(days=1))
    assert judge(bad, bad.projects())[:2] == ("bad", "NOT everything is protected")


def test_a_store_whose_newest_night_cannot_be_read_is_not_green(store: BackupStore) -> None:
    kept(store, *(snapshot(day, a=True) for day in (23, 24, 25)))
    path = layout.snapshot(snapshot(25).run)
    store.files.write(path, b"{}")
    overview = look(store)
    assert judge(overview, overview.projects())[:2] == ("bad", "The newest night cannot be read")
    assert path in render_store(overview, [])


def test_a_run_that_has_no_end_yet_is_told(store: BackupStore) -> None:
    kept(store, snapshot(25, a=True))
    store.files.write(layout.result(layout.SNAPSHOTS, "2026-11-26T03-30-00Z.x", "a"), b"{}")
    kind, _, text = judge(look(store), [])
    assert kind == "good"
    assert "1 later run going on, or cut short." in text


def test_a_backup_every_week_is_not_overdue_on_the_next_day(store: BackupStore) -> None:
    overview = kept(store, *(snapshot(day, a=True) for day in (4, 11, 18, 25)))
    assert not overview.is_late


def test_a_store_without_an_end_of_a_run_is_not_green(store: BackupStore) -> None:
    overview = kept(store)
    assert judge(overview, [])[0] == "bad"
    assert "No backup has come to its end yet" in render_store(overview, [])


def test_what_names_hold_is_escaped(store: BackupStore) -> None:
    made = snapshot(25, **{HOSTILE: False})
    overview = kept(store, limited(made, HOSTILE), Snapshot(**{**_fields(made), "run": "x"}))
    page = render_store(overview, [])
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in (render_project(store, HOSTILE) or "<script")


def test_a_backup_keeps_its_night_in_short(harbor: HarborDouble, backup: Backup) -> None:
    backup.store.begin_for(harbor.url)
    harbor.create_project("team")
    harbor.push("team/app", Image("app"), "1.0")
    assert backup.run(StorePlace(backup.store)).complete
    (night,) = read_nights(backup.store.files).by_key.values()
    assert night.complete
    assert night.names_all
    assert {"library", "team"} == set(read_nights(backup.store.files).names)
    page = render_project(backup.store, "team")
    assert page is not None
    assert "Protected, last protected" in page


def test_the_last_verification_is_found_and_no_older_one(nights: Path) -> None:
    found = {report.what: report for report in read_last_reports(BackupStore(nights), NOW)}
    assert found["Verification"].run.startswith("2026-11-25")
    assert found["Verification"].ok
    assert not found["Drill"].run
    assert not found["Restore"].run
    later = read_last_reports(BackupStore(nights), NOW + timedelta(days=41))
    assert not any(report.run for report in later)


def test_a_search_says_when_the_time_was_up(harbor: HarborDouble, backup: Backup) -> None:
    backup.store.begin_for(harbor.url)
    harbor.push("library/app", Image("app 1"), "1.0")
    assert backup.run(StorePlace(backup.store)).complete
    harbor.push("library/app", Image("app 2"), "2.0")
    assert backup.run(StorePlace(backup.store)).complete
    whole = search(backup.store, "library/app", seconds=1000)
    assert (whole.searched, whole.is_cut_short) == (2, False)
    ticks: Iterator[float] = itertools.count()
    short = search(backup.store, "library/app", seconds=3, clock=lambda: next(ticks))
    assert short.is_cut_short
    assert short.searched < 2


@pytest.fixture
def long_list(store: BackupStore) -> BackupStore:
    """Two nights, each with a list of 3,000 tagged artifacts, of which 2,000 are the same."""
    store.begin_for("https://harbor.example.com")
    for day in (24, 25):
        numbers = range((day - 24) * 1000, (day - 24) * 1000 + 3000)
        with store.inventories.write("team") as writer:
            writer.add(
                Record(
                    project="team",
                    repository="team/app",
                    digest=f"sha256:{number:064x}",
                    role=Role.ARTIFACT,
                    tags=(Tag(name=f"v{number:04}"),),
                )
                for number in numbers
            )
            inventory = writer.finish()
        made = snapshot(day, team=True)
        held = ProjectContents(
            inventory=inventory, contents="", ok=True, digests=3000, size_bytes=1
        )
        store.snapshots.commit(Snapshot(**{**_fields(made), "projects": {"team": held}}))
    return store


def test_a_search_ends_in_the_midst_of_a_long_list(long_list: BackupStore) -> None:
    ticks: Iterator[float] = itertools.count()
    short = search(long_list, "v", seconds=8, clock=lambda: next(ticks))
    assert (short.is_cut_short, short.searched) == (True, 0)
    assert 0 < len(short.sightings) < 3000


def test_a_search_keeps_no_more_than_it_may_and_says_so(long_list: BackupStore) -> None:
    whole = search(long_list, "v", most=5000)
    assert (len(whole.sightings), whole.is_full) == (4000, False)
    assert [s.snapshots for s in whole.sightings].count(2) == 2000
    bound = search(long_list, "v", most=100)
    assert (len(bound.sightings), bound.is_full, bound.searched) == (100, True, 2)
    assert "There is more, which was left out" in render_found("v", bound)


def test_reports_of_a_time_are_the_same_from_every_storage(any_store: BackupStore) -> None:
    for day in (1, 2, 3):
        any_store.snapshots.write_report(f"2026-11-0{day}T03", {"day": day}, "<main>")
    assert any_store.snapshots.list_reports("2026-11-02") == ["2026-11-02T03", "2026-11-03T03"]
    assert any_store.snapshots.read_report("2026-11-02T03") == {"format_version": 1, "day": 2}
    assert any_store.snapshots.read_report_page("2026-11-02T03") == b"<main>"
    assert any_store.snapshots.read_report_page("2026-11-09T03") is None


def verdict_of(overview: Overview) -> tuple[str, str, str]:
    return judge(overview, overview.projects())


class TestOverdue:
    def test_a_run_of_some_projects_by_hand_makes_no_store_look_fresh(
        self, store: BackupStore
    ) -> None:
        usual = [limited(snapshot(day, a1=True, a2=True), "a*") for day in (18, 19, 20)]
        overview = kept(store, *usual, limited(snapshot(25, a1=True), "a1"))
        assert verdict_of(overview)[:2] == ("bad", "The next backup is overdue")
        assert overview.newest_complete is not None
        assert overview.newest_complete.key == usual[-1].key

    def test_projects_that_limited_runs_leave_out_for_long_are_overdue(
        self, store: BackupStore
    ) -> None:
        some = [limited(snapshot(day, a=True), "a") for day in (22, 23, 24, 25)]
        overview = kept(store, snapshot(21, a=True, b=True), *some)
        kind, headline, text = verdict_of(overview)
        assert (kind, headline) == ("bad", "The next backup of some projects is overdue")
        assert "Not backed up for too long: b. " in text
        assert "is of 2026-11-21 03:30 UTC" in text
        last = view(overview, "b").protected
        assert last is not None
        assert last.started_at.startswith("2026-11-21")

    def test_gaps_that_retention_has_made_hide_no_missing_night(self, store: BackupStore) -> None:
        # Nights of every day, of which the three newest and each third one were kept.
        kept_days = (1, 4, 7, 10, 13, 16, 19, 20, 21)
        overview = kept(store, *(snapshot(day, a=True) for day in kept_days))
        assert verdict_of(overview)[:2] == ("bad", "The next backup is overdue")

    def test_nights_of_others_are_no_measure_of_how_often_the_usual_ones_are(
        self, store: BackupStore
    ) -> None:
        weekly = [snapshot(day, a=True, b=True) for day in (4, 11, 18)]
        by_hand = limited(snapshot(19, a=True), "a")
        assert not kept(store, *weekly, by_hand).is_late

    def test_a_night_of_the_future_protects_nothing_and_is_named(self, store: BackupStore) -> None:
        partial = snapshot(25, a=False)
        overview = kept(store, snapshot(24, a=True), partial, snapshot(29, a=True))
        assert overview.judged is not None
        assert overview.judged.key == partial.key
        kind, headline, text = verdict_of(overview)
        assert (kind, headline) == ("bad", "NOT everything is protected")
        assert f"{snapshot(29).key} is dated in the future." in text
        assert states(overview) == {"a": State.BAD}

    def test_a_store_with_nights_of_the_future_only_is_not_green(self, store: BackupStore) -> None:
        kind, _, text = verdict_of(kept(store, snapshot(29, a=True)))
        assert kind == "bad"
        assert snapshot(29).key in text
