"""What a Harbor that is copied to is remembered to hold: believed only while it did not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.store.known import Known
from tests.core.nights import FixedClock
from tests.core.rig import Backup, login, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, cosign_signature, multi_arch

APP, OTHER = Image("app"), Image("other")


class Mirror:
    """Backs up the project `p` of one double to another one, night after night."""

    def __init__(self, backup: Backup, source: HarborDouble, target: HarborDouble) -> None:
        self.backup = backup
        self.source = source
        self.target = target
        self.clock = FixedClock(source, target)

    def night(self, *, hours: float = 12) -> RunReport:
        """Let some hours pass, and back up; what was asked of the target is in its requests."""
        self.clock.move(hours=hours)
        client = login(self.target)
        client.clock = self.backup.client.clock = self.clock  # type: ignore[assignment]
        place = HarborPlace(
            client, registry_login(self.target), now=self.clock.now, sleep=lambda seconds: None
        )
        self.target.requests.reset()
        return self.backup.run(place)

    @property
    def lists(self) -> int:
        """How often artifacts or accessories of the project were asked for."""
        targets = [target for _, target, _ in self.target.requests.log]
        return sum("/projects/p/" in target and "/artifacts" in target for target in targets)

    @property
    def known(self) -> Known:
        return self.backup.store.read_known(self.target.url, "p")

    def tags(self, name: str = "p/app") -> dict[str, str]:
        tags = self.target.state.repositories[name].tags
        return {tag: row.artifact.digest for tag, row in tags.items()}


@pytest.fixture
def mirror(backup: Backup, harbor: HarborDouble, other_harbor: HarborDouble) -> Iterator[Mirror]:
    """Two repositories, copied and listed in peace."""
    made = Mirror(backup, harbor, other_harbor)
    harbor.create_project("p")
    image = harbor.push("p/app", APP, "v1")
    harbor.push("p/app", multi_arch("multi"), "multi")
    signature = cosign_signature(image)
    harbor.push("p/app", signature, *signature.default_tags)
    harbor.push("p/other", OTHER, "v1")
    assert made.night().complete
    assert made.night(hours=1).complete
    yield made
    made.clock.close()


def test_what_did_not_change_is_not_listed_again(mirror: Mirror) -> None:
    report = mirror.night(hours=1)
    assert (report.complete, report.copied, report.present) == (True, 0, 8)
    assert mirror.lists == 0
    assert not [kind for kind in mirror.target.requests.by_kind() if not kind.startswith("rest.")]


def spoil(mirror: Mirror) -> None:
    mirror.target.push("p/app", Image("spoiled"), "v1")


SPOILED: dict[str, Callable[[Mirror], object]] = {
    "a tag moved": spoil,
    "a tag deleted": lambda m: m.target.state.delete_tag(
        m.target.state.artifact("p/app", "v1"), "v1"
    ),
    "an artifact deleted": lambda m: m.target.state.delete_artifact("p/app", "v1"),
    "a signature deleted": lambda m: m.target.state.delete_artifact(
        "p/app", cosign_signature(APP).digest
    ),
    "a repository deleted": lambda m: m.target.state.forget_repository(
        m.target.state.repositories["p/app"]
    ),
    "a project deleted": lambda m: m.target.state.delete_project("p"),
}


@pytest.mark.parametrize("ruin", SPOILED.values(), ids=SPOILED)
def test_what_somebody_ruined_there_is_found_and_copied_again(
    mirror: Mirror, ruin: Callable[[Mirror], object]
) -> None:
    good = mirror.tags()
    ruin(mirror)
    assert mirror.night(hours=1).complete
    assert mirror.tags() == good
    assert cosign_signature(APP).digest in mirror.target.state.repositories["p/app"].artifacts


def test_what_is_written_is_listed_again_the_next_night_and_the_rest_is_not(
    mirror: Mirror,
) -> None:
    mirror.source.push("p/other", Image("new"), "v2")
    assert mirror.night(hours=1).copied == 1
    assert mirror.lists == 0
    assert mirror.known.held.keys() == {"p/app"}
    assert mirror.night(hours=1).present == 9
    assert mirror.lists == 1
    assert mirror.known.held.keys() == {"p/app", "p/other"}
    mirror.night(hours=1)
    assert mirror.lists == 0


def test_what_was_answered_as_stored_and_is_not_there_is_found_the_next_night(
    mirror: Mirror,
) -> None:
    """No time moves there by what never was written."""
    new = mirror.source.push("p/other", Image("new"), "v2")
    lie = Fault(
        method="PUT",
        path="/manifests/",
        status=201,
        headers={"Docker-Content-Digest": new.digest},
        times=None,
    )
    mirror.target.faults.add(lie)
    mirror.night(hours=1)
    assert lie.hits
    mirror.target.faults.clear()
    assert mirror.night(hours=1).complete
    assert mirror.tags("p/other")["v2"] == new.digest


def test_a_restore_believes_nothing_of_it(mirror: Mirror) -> None:
    assert all(held.seen for held in mirror.known.held.values())
    assert not any(held.seen for held in mirror.known.unsure().held.values())


def test_each_repository_there_is_really_listed_within_seven_nights(mirror: Mirror) -> None:
    before = {name: held.seen.listed_at for name, held in mirror.known.held.items() if held.seen}
    for _ in range(7):
        assert mirror.night(hours=24).complete
    after = {name: held.seen.listed_at for name, held in mirror.known.held.items() if held.seen}
    assert after.keys() == before.keys() == {"p/app", "p/other"}
    assert all(after[name] > before[name] for name in after)
