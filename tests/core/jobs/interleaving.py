"""Several users of one store, one step of a file after the other, in an order of our choice.

A step is one operation on the store's files. Each actor (a backup, a prune, ...) is a thread of its
own with a store of its own; only one runs at a time, and at each step a random number says who goes
on. The store is in memory (obstore's), and so is the clock.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import obstore
from obstore.store import MemoryStore

from airflow_provider_harbor.core.copy import shared
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.jobs import listing, overview, trail
from airflow_provider_harbor.core.store import (
    backup_store,
    claims,
    files,
    layout,
    reach,
    result_files,
    snapshots,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Entry, Files
from airflow_provider_harbor.core.store.leases import Lease
from tests.core.jobs.small_harbor import Listing

_PAGE = 5


class Killed(BaseException):
    """What an actor gets that is no more: it does nothing from then on."""


class InlineExecutor:
    """Does at once, in the thread that asks, what a pool of threads would do some time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as err:
            future.set_exception(err)
        return future

    def map(self, function: Callable[..., Any], *items: Any) -> Iterator[Any]:
        return map(function, *items)

    def shutdown(self, **kwargs: Any) -> None:
        pass


@contextlib.contextmanager
def inline() -> Iterator[None]:
    """Have no other threads than those of the actors, and nobody wait."""
    with contextlib.ExitStack() as opened:
        for module in (shared, claims, files, reach, result_files, snapshots, overview, trail):
            opened.enter_context(patch.object(module, "ThreadPoolExecutor", InlineExecutor))
        opened.enter_context(patch.object(listing, "InventoryWalk", Listing))
        opened.enter_context(patch.object(claims, "_sleep", lambda seconds: None))
        opened.enter_context(patch.object(Lease, "__enter__", _acquired))
        opened.enter_context(patch.object(Lease, "__exit__", lambda lease, *exc_info: None))
        yield


def _acquired(lease: Lease) -> Lease:
    lease.acquire()
    return lease


class World:
    """The storage with its clock, who uses it, and what must always be true of it."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.memory = MemoryStore()
        self.clock = datetime(2026, 11, 1, tzinfo=timezone.utc)
        self.latest = self.clock
        self.modified: dict[str, datetime] = {}
        self.steps = 0
        self.actors: list[Actor] = []
        self.switching = 0.3
        self.leaping = 0.0
        self.leaps_left = timedelta(0)
        # By the path of a snapshot, all that it names; by that of contents, what they name.
        self.named: dict[str, set[str]] = {}
        self._in_contents: dict[str, set[str]] = {}

    def copy(self, seed: int) -> World:
        """Return another world that begins as this one is."""
        other = World(seed)
        other.clock = other.latest = self.clock
        other.modified = dict(self.modified)
        for path in self.modified:
            obstore.put(other.memory, path, obstore.get(self.memory, path).bytes())
        other.named = dict(self.named)
        other._in_contents = self._in_contents
        return other

    def files(self, actor: Actor | None = None) -> SteppedFiles:
        return SteppedFiles(self, actor)

    def store(self, actor: Actor | None = None) -> BackupStore:
        files = self.files(actor)
        with patch.object(backup_store, "Files", lambda url: files):
            return SteppedStore(self)

    # -- time and turns

    def step(self, actor: Actor | None) -> None:
        """Come before each operation: somebody else may be first, and time passes."""
        self.steps += 1
        self.clock += timedelta(milliseconds=200)
        if actor is None:
            return
        if actor.dies_at is not None and actor.steps >= actor.dies_at:
            actor.is_dead = True
        if actor.is_dead:
            raise Killed
        actor.steps += 1
        if self.random.random() < self.leaping and self.leaps_left and not self._is_sweeping():
            # The clock is also set back, by somebody who finds it wrong.
            leap = timedelta(hours=self.random.choice([1, 25, 49, -30]))
            self.leaps_left = max(self.leaps_left - abs(leap), timedelta(0))
            self.clock += leap
        self.latest = max(self.latest, self.clock)
        if self.random.random() < self.switching:
            self.pass_on(actor)

    def _is_sweeping(self) -> bool:
        """Whether a living prune may be about to delete: no machine sleeps for an hour then."""
        return any(actor.is_deleting and not actor.is_done for actor in self.actors)

    def pass_on(self, actor: Actor) -> None:
        """Let somebody go on, and wait until it is this one's turn again."""
        others = [a for a in self.actors if not a.is_done]
        chosen = self.random.choice(others) if others else None
        if chosen is actor or chosen is None:
            return
        chosen.turn.release()
        if not actor.is_done:
            actor.turn.acquire()

    def run(self, *actors: Actor) -> None:
        """Run actors to their ends."""
        self.actors = list(actors)
        for actor in actors:
            actor.thread.start()
        self.random.choice(actors).turn.release()
        for actor in actors:
            actor.thread.join(60)
            assert not actor.thread.is_alive(), "an actor hangs"
        for actor in actors:
            if actor.error:
                raise actor.error

    # -- what must be true

    def wrote(self, path: str) -> None:
        self.modified[path] = self.clock
        name = path.rpartition("/")[2]
        if path.startswith(f"{layout.SNAPSHOTS}/") and name in ("snapshot.json", "partial.json"):
            self.named[path] = self._names(path)
            missing = self.named[path] - self.modified.keys()
            assert not missing, f"{path} names {sorted(missing)}, which is not there"

    def deleted(self, path: str) -> None:
        self.modified.pop(path, None)
        self.named.pop(path, None)
        naming = [snapshot for snapshot, names in self.named.items() if path in names]
        assert not naming, f"{path} was deleted, and {naming} name it"

    def _names(self, path: str) -> set[str]:
        store = self.store()
        snapshot = store.snapshots.read(path.split("/")[1])
        assert snapshot
        names = set()
        for project, item in snapshot.projects.items():
            names.add(layout.inventory(project, item.inventory))
            if item.contents:
                contents = layout.contents(project, item.contents)
                names |= {contents, *self._of_contents(store, project, item.contents, contents)}
        return names

    def _of_contents(self, store: BackupStore, project: str, sha256: str, path: str) -> set[str]:
        if path not in self._in_contents:
            self._in_contents[path] = {
                layout.blob(item.digest)
                for _, found in store.inventories.iter_contents(project, sha256)
                for content in found.values()
                for item in content.iter_sizes()
            }
        return self._in_contents[path]


class Actor:
    """Somebody who uses the store.

    Args:
        world: Where.
        work: What it does, with a store of its own. Errors that are meant to be are no failure.
        dies_at: After so many steps it is killed; None for never.
    """

    def __init__(
        self, world: World, work: Callable[[BackupStore], None], *, dies_at: int | None = None
    ) -> None:
        self.world = world
        self.dies_at = dies_at
        self.steps = 0
        self.is_dead = self.is_done = self.is_deleting = False
        self.turn = threading.Semaphore(0)
        self.error: BaseException | None = None
        self.refused: HarborBackupError | None = None
        self._work = work
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.turn.acquire()
        try:
            self._work(self.world.store(self))
        except HarborBackupError as err:
            self.refused = err
        except Killed:
            pass
        except BaseException as err:
            self.error = err
        self.is_done = True
        self.world.pass_on(self)


class SteppedFiles(Files):
    """Files in memory, each operation on which is a step."""

    def __init__(self, world: World, actor: Actor | None) -> None:
        self._world = world
        self._actor = actor
        self._directory = None
        self._root = None
        self._store = world.memory
        self.url = "s3://in-memory"
        self.multipart = None

    def _step(self) -> None:
        self._world.step(self._actor)

    def _put(self, path: str, content: Any, **options: Any) -> None:
        content = content if isinstance(content, bytes) else b"".join(content)
        options.pop("chunk_size", None)
        options.pop("max_concurrency", None)
        self._step()
        super()._put(path, content, **options)
        if self._actor and path == layout.PRUNE_STATE:
            self._actor.is_deleting = b'"is_going_on": true' in content
        self._world.wrote(path)

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._step()
            super().delete([path])
            self._world.deleted(path)

    def read(self, path: str) -> bytes:
        self._step()
        return super().read(path)

    def open(self, path: str) -> tuple[int, Iterator[bytes]]:
        self._step()
        return super().open(path)

    def size(self, path: str) -> int | None:
        self._step()
        return super().size(path)

    def modified(self, path: str) -> datetime:
        self._step()
        if path not in self._world.modified:
            raise FileNotFoundError(path)
        return self._world.modified[path]

    def iter_files(self, directory: str) -> Iterator[Entry]:
        """Page by page, as object storages list: what comes behind the last page is found."""
        last = ""
        while True:
            self._step()
            prefix = f"{directory}/" if directory else ""
            known = self._world.modified
            page = sorted(p for p in known if p.startswith(prefix) and p > last)[:_PAGE]
            if not page:
                return
            entries = [Entry(p, obstore.head(self._store, p)["size"], known[p]) for p in page]
            yield from entries
            last = page[-1]

    def _list_level(self, directory: str, kind: str) -> list[str]:
        self._step()
        return super()._list_level(directory, kind)


class SteppedStore(BackupStore):
    """A store whose leases know the clock of the world."""

    def __init__(self, world: World) -> None:
        super().__init__("in-memory")
        self._world = world

    def lease(self, place: str, run: str, *, is_process: bool = False) -> Lease:
        seconds = lambda: self._world.clock.timestamp()  # noqa: E731
        return Lease(self.files, "store" if place == self.url else place, run, clock=seconds)
