"""What is remembered of a place: true whatever becomes of the run, and of no older inventory."""

from __future__ import annotations

import weakref
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from airflow_provider_harbor.core.copy.outcome import RepositoryOutcome
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.plan import RepositoryPlan, TagRule, plan_repository
from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import HarborServerError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Counts, Record, Role
from airflow_provider_harbor.core.jobs.memory import Memory
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content, InventoryRef
from airflow_provider_harbor.core.store.known import Held, Known

URL = "http://registry.example.com"
NIGHT = datetime(2026, 5, 4, tzinfo=timezone.utc)
EARLIER = datetime(2026, 5, 3, tzinfo=timezone.utc)
OLD, NEW = digest_of(b"old"), digest_of(b"new")


@pytest.fixture
def place() -> Place:
    """A plain registry, which nobody asks here."""
    return PlainRegistryPlace(RegistryClient(URL))


def ref_of(moment: datetime) -> InventoryRef:
    return InventoryRef(
        project="p", sha256="0" * 64, counts=Counts(), listed_at=moment.isoformat(), gaps=0
    )


def holding(digest: str, asked: datetime | None = NIGHT) -> Held:
    return Held(digests=frozenset([digest]), tags={"v1": digest}, asked=asked)


def planned(name: str, held: Held, digest: str) -> RepositoryPlan:
    record = Record(
        project="p", repository=name, digest=digest, role=Role.ARTIFACT, tags=(Tag(name="v1"),)
    )
    return plan_repository(name, [record], held)


def remember(store: BackupStore, **held: Held) -> Known:
    """Keep what an earlier run knew of the repositories `p/a`, `p/b`, ..."""
    known = Known(
        held={f"p/{name}": item for name, item in held.items()},
        run="night-1",
        listed_at=EARLIER.isoformat(),
    )
    store.write_known(URL, "p", known)
    return known


def test_what_is_about_to_change_is_to_be_asked_for_again(store: BackupStore, place: Place) -> None:
    """Should the run be killed now, the next one asks."""
    remember(store, a=holding(OLD), b=holding(OLD))
    memory = Memory(store, place, "night-2", ref_of(NIGHT))
    plans = [planned("p/a", holding(OLD), NEW), planned("p/b", holding(OLD), OLD)]
    memory.before(plans)
    known = store.read_known(URL, "p")
    assert known.held == {"p/a": holding(OLD, asked=None), "p/b": holding(OLD)}
    assert (known.run, known.listed_at) == ("night-2", NIGHT.isoformat())
    assert memory.remembered == {"p/a": holding(OLD), "p/b": holding(OLD)}


def test_what_was_marked_before_stays_marked_when_more_is_about_to_change(
    store: BackupStore, place: Place
) -> None:
    remember(store, a=holding(OLD), b=holding(OLD))
    memory = Memory(store, place, "night-2", ref_of(NIGHT))
    memory.before([planned("p/a", holding(OLD), NEW)])
    memory.before([planned("p/b", holding(OLD), NEW)])
    unsure = holding(OLD, asked=None)
    assert store.read_known(URL, "p").held == {"p/a": unsure, "p/b": unsure}


def test_what_could_not_be_asked_for_is_as_it_was(store: BackupStore, place: Place) -> None:
    remember(store, b=holding(OLD), c=holding(OLD), d=holding(OLD))
    memory = Memory(store, place, "night-2", ref_of(NIGHT))
    for name in ("p/a", "p/b"):
        memory.add(RepositoryOutcome(repository=name, held=holding(NEW)))
    unknown = Held(error=HarborServerError(status=500))
    memory.add(RepositoryOutcome(repository="p/c", held=unknown))
    memory.finish()
    # The repository p/d is not in the inventory any more.
    assert store.read_known(URL, "p").held == {
        "p/a": holding(NEW),
        "p/b": holding(NEW),
        "p/c": holding(OLD),
    }


def test_where_nothing_was_known_and_nothing_could_be_asked_for_nothing_is_known(
    store: BackupStore, place: Place
) -> None:
    memory = Memory(store, place, "night-1", ref_of(NIGHT))
    unknown = Held(error=HarborServerError(status=500))
    memory.add(RepositoryOutcome(repository="p/c", held=unknown))
    memory.finish()
    assert store.read_known(URL, "p").held == {}


def test_an_older_inventory_moves_no_tags_and_does_not_become_the_newest(
    store: BackupStore, place: Place
) -> None:
    remember(store, a=holding(OLD))
    older = ref_of(datetime(2026, 5, 2, tzinfo=timezone.utc))
    for _ in range(2):
        memory = Memory(store, place, "night-0", older)
        assert memory.rule is TagRule.KEEP_NEWER
        memory.before([planned("p/a", holding(OLD), NEW)])
        memory.add(RepositoryOutcome(repository="p/a", held=holding(OLD)))
        memory.finish()
        known = store.read_known(URL, "p")
        assert (known.run, known.listed_at) == ("night-1", EARLIER.isoformat())


@pytest.mark.parametrize("moment", [EARLIER, NIGHT])
def test_the_same_inventory_and_a_newer_one_move_tags(
    store: BackupStore, place: Place, moment: datetime
) -> None:
    remember(store, a=holding(OLD))
    assert Memory(store, place, "night-2", ref_of(moment)).rule is TagRule.MOVE


def test_where_nothing_has_changed_it_is_noted_of_which_night_that_is_true(
    store: BackupStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an older run that is cleared later would take itself for the newest."""
    known = remember(store, a=holding(OLD))
    for run in ("night-2", "night-2"):
        memory = Memory(store, place, run, ref_of(NIGHT))
        memory.before([planned("p/a", holding(OLD), OLD)])
        assert store.read_known(URL, "p") == known
        memory.add(RepositoryOutcome(repository="p/a", held=holding(OLD)))
        memory.finish()
        known = store.read_known(URL, "p")
        assert (known.run, known.listed_at) == ("night-2", NIGHT.isoformat())
        assert known.held == {"p/a": holding(OLD)}
        monkeypatch.setattr(store, "write_known", lambda *args: pytest.fail("it was written"))


def test_of_a_harbor_only_the_newest_inventory_is_remembered(store: BackupStore) -> None:
    place = HarborPlace(HarborClient(URL), RegistryClient(URL))
    memory = Memory(store, place, "night-1", ref_of(NIGHT))
    memory.before([planned("p/a", Held(), NEW)])
    memory.add(RepositoryOutcome(repository="p/a", held=holding(NEW)))
    memory.finish()
    assert store.read_known(URL, "p") == Known(run="night-1", listed_at=NIGHT.isoformat())


class Contents(dict[str, Content]):
    """What can be referred to weakly."""


def test_of_a_store_nothing_is_remembered_nor_kept_in_memory(store: BackupStore) -> None:
    """Its contents say what it holds, and a project may hold more than fits into memory."""
    place = StorePlace(store)
    memory = Memory(store, place, "night-1", ref_of(NIGHT))
    assert memory.rule is TagRule.NO_TAGS
    memory.before([planned("p/a", Held(), NEW)])
    contents = Contents()
    is_kept = weakref.ref(contents)
    memory.add(RepositoryOutcome(repository="p/a", held=replace(Held(), contents=contents)))
    del contents
    assert is_kept() is None
    memory.finish()
    assert not list(store.files.iter_files("known"))
