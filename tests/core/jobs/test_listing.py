"""A night lists what changed, and takes the rest from the last one: nothing is lost by that."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_harbor.core.harbor import batches, earlier
from airflow_provider_harbor.core.harbor.clock import Clock
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.nights import Nights, nights_of
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image, cosign_signature, multi_arch, sbom_for
from tests.double.wire import HarborError

APP = Image("app")


@pytest.fixture
def nights(harbor: HarborDouble, store: BackupStore) -> Iterator[Nights]:
    with nights_of(harbor, store) as made:
        yield made


@pytest.fixture
def listed(nights: Nights) -> Nights:
    """Three repositories that were listed in peace, a night ago."""
    for name in ("p/app", "p/deep/er", "p/other"):
        image = nights.harbor.push(name, APP, "v1")
        nights.harbor.push(name, multi_arch("multi"), "multi")
        signature = cosign_signature(image)
        nights.harbor.push(name, signature, *signature.default_tags)
        nights.harbor.push(name, sbom_for(signature))
    nights.clock.move(hours=1)
    nights.list()
    nights.clock.move(hours=11)
    return nights


def kept(nights: Nights) -> Path:
    return Path(nights.store.url.removeprefix("file://")) / "listed" / "p.json.gz"


def artifact(nights: Nights, name: str = "p/app"):
    return nights.harbor.state.artifact(name, APP.digest)


def test_an_unchanged_project_costs_one_request_and_is_the_same_inventory(listed: Nights) -> None:
    first = listed.list()
    before = kept(listed).stat().st_mtime_ns
    assert listed.harbor.requests.by_kind() == {"rest.repositories": 1}
    assert listed.list().sha256 == first.sha256
    assert listed.is_whole(first)
    assert first.counts.accessories == 6
    assert kept(listed).stat().st_mtime_ns == before


def test_an_empty_project_costs_one_request(nights: Nights) -> None:
    nights.list()
    nights.clock.move(days=1)
    assert not nights.records(nights.list())
    assert nights.harbor.requests.total() == 1
    nights.harbor.push("p/app", APP, "v1")
    assert len(nights.records(nights.list())) == 1


def forget(nights: Nights, name: str) -> None:
    nights.harbor.state.forget_repository(nights.harbor.state.repositories[name])


def make_again(nights: Nights) -> None:
    """Make a repository again, of the same name, number of artifacts and time of its last push."""
    before = nights.harbor.state.repositories["p/app"]
    count = len(before.listing.visible)
    forget(nights, "p/app")
    for number in range(count):
        nights.harbor.push("p/app", Image(f"again {number}"), f"v{number}")
    nights.harbor.state.repositories["p/app"].update_time = before.update_time


CHANGES: dict[str, Callable[[Nights], object]] = {
    "a push": lambda n: n.harbor.push("p/app", Image("new"), "v2"),
    "a push without a tag": lambda n: n.harbor.push("p/app", Image("new")),
    "a tag that moves": lambda n: n.harbor.push("p/app", Image("new"), "v1"),
    "another tag": lambda n: n.harbor.state.create_tag(artifact(n), "v2"),
    "a tag deleted": lambda n: n.harbor.state.delete_tag(artifact(n), "v1"),
    "a deletion": lambda n: n.harbor.state.delete_artifact("p/app", "multi"),
    "a signature": lambda n: n.harbor.push("p/app", cosign_signature(multi_arch("multi"))),
    "a signature of a bill of a signature": lambda n: n.harbor.push(
        "p/app", cosign_signature(sbom_for(cosign_signature(APP)))
    ),
    "a signature deleted": lambda n: n.harbor.state.delete_artifact(
        "p/app", cosign_signature(APP).digest
    ),
    "a repository deleted": lambda n: forget(n, "p/app"),
    "a repository made again": make_again,
    "another repository": lambda n: n.harbor.push("p/b", Image("new"), "v1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_found_and_nothing_else_is_listed(
    listed: Nights, change: Callable[[Nights], object]
) -> None:
    before = listed.list()
    change(listed)
    after = listed.list()
    assert after.sha256 != before.sha256
    assert listed.really_listed() <= {"app", "b"}
    assert listed.is_whole(after)


def slow_retag(nights: Nights) -> Callable[[], None]:
    """Begin a retag, of which Harbor shows the time already; returns what ends it."""
    state = nights.harbor.state
    repository = state.repositories["p/app"]
    state.touch(repository)
    shown = repository.update_time

    def end() -> None:
        nights.harbor.push("p/app", multi_arch("multi"), "v1")
        repository.update_time = shown

    return end


def test_a_change_whose_time_showed_before_itself_is_found(listed: Nights) -> None:
    end = slow_retag(listed)
    listed.clock.move(minutes=2)
    listed.list()
    listed.clock.move(minutes=2)
    end()
    listed.clock.move(hours=1)
    assert listed.is_whole(listed.list())


def test_that_test_would_see_it_missed(listed: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "_QUIET", timedelta())
    end = slow_retag(listed)
    listed.clock.move(minutes=2)
    listed.list()
    end()
    listed.clock.move(hours=1)
    assert not listed.is_whole(listed.list())


def set_time(nights: Nights, **by: float) -> None:
    moment = nights.clock.now() + timedelta(**by)
    nights.harbor.state.repositories["p/app"].update_time = int(moment.timestamp() * 1000)


def no_time(nights: Nights) -> None:
    nights.harbor.state.repositories["p/app"].update_time = 0


@pytest.mark.parametrize(
    "lie",
    [no_time, lambda n: set_time(n, days=400), lambda n: set_time(n, days=-400)],
    ids=["null", "future", "backwards"],
)
def test_a_time_that_cannot_be_right_is_not_believed(
    listed: Nights, lie: Callable[[Nights], object]
) -> None:
    lie(listed)
    ref = listed.list()
    assert listed.really_listed() == {"app"}
    assert listed.is_whole(ref)
    # And not the next night, either, unless it is one of the past, which may be right.
    listed.clock.move(minutes=30)
    listed.list()
    moment = listed.harbor.state.repositories["p/app"].update_time
    is_past = 0 < moment < listed.clock.now().timestamp() * 1000
    assert listed.really_listed() == (set() if is_past else {"app"})


def test_a_count_that_is_another_at_the_same_time_is_not_believed(listed: Nights) -> None:
    state = listed.harbor.state
    before = state.repositories["p/app"].update_time
    state.delete_artifact("p/app", "multi")
    state.repositories["p/app"].update_time = before
    ref = listed.list()
    assert listed.really_listed() == {"app"}
    assert listed.is_whole(ref)


def test_what_could_not_be_listed_whole_is_not_believed(listed: Nights) -> None:
    signature = cosign_signature(APP)
    listed.harbor.push("p/app", Image("new"), "v2")
    denied = f"/repositories/app/artifacts/{signature.digest}"
    listed.clock.move(hours=1)
    fault = listed.harbor.faults.add(Fault(path=denied, status=500, times=None))
    assert listed.list().gaps == 1
    listed.clock.move(hours=1)
    listed.harbor.faults.clear()
    assert fault.hits
    ref = listed.list()
    assert listed.really_listed() == {"app"}
    assert not ref.gaps
    assert listed.is_whole(ref)


def test_every_repository_is_really_listed_within_seven_nights_and_some_in_each(
    nights: Nights,
) -> None:
    names = {f"r{number}" for number in range(60)}
    for name in names:
        nights.harbor.push(f"p/{name}", Image(name), "v1")
    nights.clock.move(hours=1)
    nights.list()
    for _ in range(2):
        seen: list[set[str]] = []
        for _ in range(7):
            nights.clock.move(days=1)
            nights.list()
            # The list, and one page of artifacts: what is as it was needs no look back.
            assert nights.harbor.requests.total() == 2
            seen.append(nights.really_listed())
        assert all(seen)
        assert set().union(*seen) == names
        assert sum(map(len, seen)) == len(names)


def test_after_a_week_without_a_night_everything_is_listed(listed: Nights) -> None:
    listed.clock.move(days=7)
    ref = listed.list()
    assert listed.really_listed() == {"app", "deep/er", "other"}
    assert listed.is_whole(ref)


def test_a_label_which_moves_no_time_comes_within_seven_nights(listed: Nights) -> None:
    row = listed.harbor.state.labels.add(name="prod", scope="g", project_id=0, color="")
    artifact(listed).labels = frozenset({row["id"]})
    artifact(listed).rendered = None
    for _ in range(7):
        listed.clock.move(days=1)
        ref = listed.list()
    assert {r.labels for r in listed.records(ref) if r.repository == "p/app"} == {(), ("prod",)}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def swap(path: Path, old: bytes, new: bytes) -> None:
    text = gzip.decompress(path.read_bytes())
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new)))


def inventory(nights: Nights) -> Path:
    (path,) = (kept(nights).parents[1] / "inventories" / "p").iterdir()
    return path


DOUBTS: dict[str, Callable[[Nights], object]] = {
    "lost": lambda n: kept(n).unlink(),
    "cut short": lambda n: cut(kept(n)),
    "no JSON": lambda n: kept(n).write_bytes(gzip.compress(b"[1")),
    "another form": lambda n: kept(n).write_bytes(gzip.compress(b'{"format_version": 1}')),
    "a newer format": lambda n: swap(kept(n), b'"format_version": 1', b'"format_version": 2'),
    "another Harbor": lambda n: swap(kept(n), n.harbor.url.encode(), b"http://other"),
    "another login": lambda n: swap(kept(n), b'"user": "admin"', b'"user": "robot$less"'),
    "another inventory": lambda n: swap(kept(n), b'"fingerprint": "', b'"fingerprint": "0'),
    "listed in the year 1": lambda n: swap(kept(n), b'"listed_at": "2026', b'"listed_at": "0001'),
    "a count without end": lambda n: swap(
        kept(n), b'"artifact_count": ', b'"artifact_count": 1e99'
    ),
    "the inventory lost": lambda n: inventory(n).unlink(),
    "the inventory cut short": lambda n: cut(inventory(n)),
    "the inventory changed": lambda n: swap(inventory(n), b'"v1"', b'"v9"'),
    "a repository missing there": lambda n: swap(inventory(n), b"p/other", b"p/no"),
}


@pytest.mark.parametrize("doubt", DOUBTS.values(), ids=DOUBTS)
def test_where_there_is_doubt_everything_is_listed(
    listed: Nights, doubt: Callable[[Nights], object]
) -> None:
    doubt(listed)
    ref = listed.list()
    assert listed.really_listed() == {"app", "deep/er", "other"}
    assert listed.is_whole(ref)
    assert listed.list() == replace(
        ref, listed_at=listed.clock.now().isoformat("T", "microseconds")
    )
    assert listed.really_listed() == set()


def test_another_login_believes_nothing(listed: Nights) -> None:
    listed.harbor.create_user("other", "Other-12345", sysadmin=True)
    listed.list(listed.login("other", "Other-12345"))
    assert listed.really_listed() == {"app", "deep/er", "other"}


def test_a_harbor_that_was_older_meanwhile_is_not_believed(listed: Nights) -> None:
    """Nothing but pulls moved the time in those nights."""
    state = listed.harbor.state
    newer = state.version, state.version_numbers
    state.version, state.version_numbers = "v2.15.1", (2, 15, 1)
    listed.list()
    listed.harbor.push("p/app", multi_arch("multi"), "v1")
    state.version, state.version_numbers = newer
    assert listed.is_whole(listed.list())


@pytest.mark.parametrize("version", ["v2.15.1", "v2.11.0"])
def test_an_older_harbor_is_listed_each_night(store: BackupStore, version: str) -> None:
    with HarborDouble(version=version) as harbor, nights_of(harbor, store) as nights:
        harbor.push("p/app", APP, "v1")
        nights.clock.move(hours=1)
        nights.list()
        nights.clock.move(hours=1)
        ref = nights.list()
        assert nights.harbor.requests.total() > 1
        assert nights.is_whole(ref)
        assert not kept(nights).exists()


def test_without_a_clock_of_harbors_everything_is_listed(listed: Nights) -> None:
    client = listed.login()
    assert client.version
    client.clock = Clock()
    client.clock.hear = lambda headers: None  # type: ignore[method-assign]
    listed.list(client)
    assert listed.really_listed() == {"app", "deep/er", "other"}


def test_changes_at_random_times_are_all_found(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between nights, and while they are listed; then a quiet night has to hold just what is."""
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 6)
    choose = random.Random(9)
    compared = requests = 0
    for _ in range(30):
        change(nights, choose)
    for _ in range(40):
        for _ in range(choose.randrange(4)):
            nights.clock.move(hours=choose.random() * 8)
            change(nights, choose)
        nights.clock.move(minutes=choose.choice([1, 5, 30, 600]))
        if choose.random() < 0.4:
            nights.harbor.faults.add(
                Fault(skip=choose.randrange(10), callback=lambda _: change(nights, choose))
            )
            nights.list()
            nights.harbor.faults.clear()
            continue
        ref = nights.list()
        requests += nights.harbor.requests.total()
        assert nights.is_whole(ref)
        compared += 1
    assert compared > 15


def change(nights: Nights, choose: random.Random) -> None:
    """Do anything that people do to a project, at random; what Harbor refuses is left."""
    harbor, state = nights.harbor, nights.harbor.state
    name = f"p/r{choose.randrange(8)}"
    repository = state.repositories.get(name)
    tag = f"t{choose.randrange(4)}"
    if repository is None or not repository.artifacts or choose.random() < 0.4:
        content: Content = Image(f"image {choose.randrange(50)}")
        if choose.random() < 0.3:
            content = multi_arch(f"index {choose.randrange(9)}")
        if choose.random() < 0.5:
            harbor.push(name, content)
            content = cosign_signature(content)
        harbor.push(name, content, tag)
        return
    found = choose.choice(list(repository.artifacts.values()))
    try:
        choose.choice(
            [
                lambda: state.delete_artifact(name, found.digest),
                lambda: state.create_tag(found, tag),
                lambda: state.delete_tag(found, tag),
                lambda: state.record_pull(found, tag),
                lambda: state.forget_repository(repository),
            ]
        )()
    except HarborError:
        return
