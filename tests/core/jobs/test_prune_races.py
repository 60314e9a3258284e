"""Prune beside backups, in 1,000 orders of steps: a snapshot never names what is not there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache

import pytest

from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.prune import prune
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.retention import Policy
from tests.core.jobs.interleaving import Actor, World, inline
from tests.core.jobs.small_harbor import HARBOR, back_up, conclude, small_harbor

NEWEST = Policy(keep_last=1)
HOURS = timedelta(hours=1)
CHUNKS, SCHEDULES = 10, 100


@pytest.fixture(autouse=True)
def no_threads() -> Iterator[None]:
    with inline():
        yield


@lru_cache(maxsize=1)
def begun() -> World:
    """Three nights; of the first one, which was forgotten, all is marked since two days.

    Tonight Harbor holds again what it held then, so that a backup needs what a prune may delete.
    """
    world = World()
    store = world.store()
    store.begin_for(HARBOR)
    for night, held in enumerate([("ab", "c"), ("ad", "c"), ("ad", "ce")], start=1):
        back_up(store, small_harbor(*held), f"night-{night}", world.clock)
        world.clock += 24 * HOURS
    forget(store, NEWEST, now=world.clock)
    prune(store, "first", limit_percent=100)
    world.clock += 49 * HOURS
    return world


TONIGHTS = [("ab", "c"), ("ab", "ce"), ("abd", "b"), ("b", "cf")]


def play(seed: int) -> World:
    world = begun().copy(seed)
    choose = world.random.choice
    world.switching = choose([0.05, 0.2, 0.6])
    world.leaping, world.leaps_left = choose([0.0, 0.01, 0.05]), 240 * HOURS

    numbers = itertools.count(1)

    def dies(longest: int) -> int | None:
        return choose([None, None, world.random.randrange(longest)])

    reports = []

    def a_night(store: BackupStore) -> None:
        reports.append(back_up(store, small_harbor(*choose(TONIGHTS)), "night-4", world.clock))

    def another_night(store: BackupStore) -> None:
        back_up(store, small_harbor(*choose(TONIGHTS)), "night-5", world.clock)

    def old_run_again(store: BackupStore) -> None:
        # A cleared task of a night that may have been forgotten.
        conclude(
            store, small_harbor("ab", "c"), choose(["night-1", "night-2", "night-4"]), world.clock
        )

    def a_prune(store: BackupStore) -> None:
        for _ in range(choose([1, 2])):
            prune(store, f"prune-{next(numbers)}", limit_percent=100)

    def a_forget(store: BackupStore) -> None:
        forget(store, NEWEST)

    cast = [
        Actor(world, a_night, dies_at=dies(120)),
        Actor(world, a_prune, dies_at=dies(120)),
        *(
            Actor(world, work, dies_at=dies(60))
            for work in world.random.sample(
                [another_night, old_run_again, a_prune, a_forget], choose([0, 1, 2])
            )
        ),
    ]
    world.run(*cast)
    if not any(actor.is_dead for actor in cast):
        # Prune costs a backup some time, and never the night.
        assert reports[0].complete, reports[0].failures()
    return world


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_snapshot_ever_names_what_is_not_there(chunk: int) -> None:
    for seed in range(chunk * SCHEDULES, (chunk + 1) * SCHEDULES):
        try:
            world = play(seed)
        except BaseException as err:
            raise AssertionError(f"with the seed {seed}: {err}") from err
        if seed % 10 == 0:
            finish(world)


def finish(world: World) -> None:
    """Whatever came before: the next night is complete, and in the end only that is there."""
    store = world.store()
    world.clock = max(world.clock, world.latest) + 2 * HOURS
    back_up(store, small_harbor("af", "c"), "night-9", world.clock)
    newest = store.snapshots.read("night-9")
    assert newest
    assert newest.complete
    world.clock += timedelta(days=30)
    forget(store, NEWEST)
    for number in range(3):
        prune(store, f"last-{number}", limit_percent=100)
        world.clock += 49 * HOURS
    (named,) = world.named.values()
    goods = ("blobs", "inventories", "contents")
    assert {p for p in world.modified if p.startswith(goods)} == named
