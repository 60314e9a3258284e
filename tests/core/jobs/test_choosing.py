"""Which night is taken, where none is named, and what of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.jobs.choosing import Choice, find_snapshot
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.core.restoring import bring_back
from tests.core.rig import Backup, reach
from tests.double import HarborDouble
from tests.double.content import Image

FIRST, SECOND, THIRD = (f"2026-05-0{day}T01-00-00Z" for day in (1, 2, 3))


def project(*, has_contents: bool = True, digests: int = 1) -> ProjectContents:
    return ProjectContents(
        inventory="a" * 64,
        contents="b" * 64 if has_contents else "",
        ok=True,
        digests=digests,
        size_bytes=1,
    )


def commit(
    store: BackupStore,
    run: str,
    *names: str,
    complete: bool = True,
    limited_to: tuple[str, ...] = (),
    projects: Mapping[str, ProjectContents] | None = None,
) -> None:
    store.snapshots.commit(
        Snapshot(
            key=run_key(run),
            run=run,
            complete=complete,
            harbor_url="http://harbor.example.com",
            destination=store.url,
            started_at="2026-05-01T01:00:00+00:00",
            ended_at="2026-05-01T02:00:00+00:00",
            projects=projects or {name: project() for name in names},
            limited_to=limited_to,
        )
    )


def test_the_newest_complete_night_is_taken(store: BackupStore) -> None:
    commit(store, FIRST, "team")
    commit(store, SECOND, "team")
    commit(store, THIRD, "team", complete=False)
    assert find_snapshot(store).run == SECOND


def test_the_newest_night_that_has_the_project_of_a_repository_is_taken(
    store: BackupStore,
) -> None:
    commit(store, FIRST, "team", "shop")
    commit(store, SECOND, "shop", limited_to=("shop",))
    choice = Choice(repositories=("team/app",))
    assert find_snapshot(store, projects=choice.project_patterns).run == FIRST


def test_a_night_that_was_limited_is_taken_only_where_there_is_no_other(
    store: BackupStore,
) -> None:
    commit(store, FIRST, "shop", limited_to=("shop",))
    commit(store, SECOND, "shop", limited_to=("shop",))
    assert find_snapshot(store).run == SECOND
    commit(store, FIRST, "team", "shop")
    assert find_snapshot(store).run == FIRST


def test_a_night_that_went_to_a_mirror_is_taken_only_where_its_content_is_not_needed(
    store: BackupStore,
) -> None:
    commit(store, FIRST, "team")
    commit(store, SECOND, projects={"team": project(has_contents=False)})
    assert find_snapshot(store).run == SECOND
    assert find_snapshot(store, needs_content=True).run == FIRST
    assert find_snapshot(store, SECOND, needs_content=True).run == SECOND


def test_a_night_that_had_nothing_to_copy_lacks_no_content(store: BackupStore) -> None:
    commit(store, FIRST, "team")
    commit(store, SECOND, projects={"team": project(has_contents=False, digests=0)})
    assert find_snapshot(store, needs_content=True).run == SECOND


def test_the_beginning_of_a_key_names_the_newest_complete_night_of_those(
    store: BackupStore,
) -> None:
    commit(store, FIRST, "team")
    commit(store, SECOND, "team")
    commit(store, THIRD, "team", complete=False)
    assert find_snapshot(store, "2026-05-01").run == FIRST
    assert find_snapshot(store, THIRD).run == THIRD, "it was named"
    with pytest.raises(HarborConfigurationError, match="name it to get what it has"):
        find_snapshot(store, "2026-05-03")


def record(name: str, *tags: str, children: tuple[str, ...] = (), subject: str = "") -> Record:
    return Record(
        project="team",
        repository="team/app",
        digest=digest_of(name.encode()),
        role=Role.ARTIFACT,
        tags=tuple(Tag(name=tag) for tag in tags),
        children=tuple(digest_of(child.encode()) for child in children),
        subject=digest_of(subject.encode()) if subject else "",
    )


def test_what_belongs_to_a_tag_is_found_where_a_list_has_circles_and_holes() -> None:
    index = record("index", "1.0", "old", children=("child", "both", "not listed"))
    other = record("other", "2.0", children=("both",))
    records = [
        index,
        other,
        record("child", children=("index",)),
        record("both"),
        record("signature", subject="child"),
    ]
    chosen = Choice(tags=("1.*",)).restrict("team/app", records)
    assert {r.digest for r in chosen} == {r.digest for r in records} - {other.digest}
    assert [tag.name for r in chosen for tag in r.tags] == ["1.0"]


def test_a_project_that_has_none_of_the_tags_is_not_made(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    for name, tag in (("team", "1.0"), ("shop", "2.0")):
        harbor.create_project(name)
        harbor.push(f"{name}/app", Image(name), tag)
    assert backup.run(backup.itself).complete
    report = bring_back(backup.store, reach(other_harbor), choice=Choice(tags=("1.*",)))
    assert report.complete
    assert other_harbor.state.project("team")
    assert other_harbor.state.project("shop") is None
