"""What an unchanged night asks of Harbor: the proofs of the login, and one list a project."""

from __future__ import annotations

from pathlib import Path

from tests.core.cli.conftest import Command
from tests.core.rig import fill_small
from tests.double import HarborDouble
from tests.double.content import Image, cosign_signature

LAST_YEAR = 1_750_000_000_000


def test_an_unchanged_night_asks_once_for_each_project(
    harbor: HarborDouble, command: Command, kept: Path
) -> None:
    with harbor.state.pretended_time(LAST_YEAR):
        fill_small(harbor)
        image = harbor.push("alpha/signed", Image("signed"), "v1")
        harbor.push("alpha/signed", cosign_signature(image))
    assert command("backup", harbor.url, kept).code == 0
    harbor.requests.reset()
    done = command("backup", harbor.url, kept, "--json")
    assert done.code == 0
    assert (done.document["copied"], done.document["failed"]) == (0, 0)
    assert harbor.requests.by_kind() == {
        "rest.projects": 1,
        "rest.repositories": 3,
        # ping, health, version, the user, statistics, and whether a proxy changes paths
        "rest.other": 6,
    }
