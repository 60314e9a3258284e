"""What is in a store: which nights there are, and what each of them holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.cli.conftest import Command
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image


@pytest.fixture
def nights(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> list[str]:
    """The keys of three nights: a complete one, one that is limited, one that is partial."""
    assert command("backup", harbor.url, kept, "--project", "shop").code == 0
    fault = harbor.faults.add(Fault(path="/projects/shop/artifacts", status=403, times=None))
    assert command("backup", harbor.url, kept).code == 1
    assert fault.hits
    harbor.faults.clear()
    found = command("snapshots", kept, "--json").document["snapshots"]
    return [snapshot["key"] for snapshot in reversed(found)]


def test_snapshots_are_shown_newest_first_with_what_they_are(
    harbor: HarborDouble, command: Command, kept: Path, nights: list[str]
) -> None:
    done = command("snapshots", kept)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == f"Backups of {harbor.url} in file://{kept}"
    assert [line.split()[0] for line in lines[2:]] == nights[::-1]
    assert "PARTIAL" in lines[2]
    assert "complete, limited" in lines[3]
    assert "limited" not in lines[4]
    document = command("snapshots", kept, "--json").document
    newest, limited, oldest = document["snapshots"]
    assert (newest["complete"], limited["complete"], oldest["complete"]) == (False, True, True)
    assert limited["limited_to"] == ["shop"]
    assert oldest["digests"] == 15
    assert oldest["size_bytes"] > 0
    assert sorted(oldest["projects"]) == ["bare", "library", "shop", "team"]


def test_a_run_that_was_cut_short_is_named(command: Command, kept: Path, nights: list[str]) -> None:
    (kept / "snapshots" / nights[0] / "snapshot.json").unlink()
    done = command("snapshots", kept)
    assert f"1 run cut short, or still going on: {nights[0]}" in done.out
    assert command("snapshots", kept, "--json").document["cut_short"] == [nights[0]]


def test_ls_shows_projects_repositories_and_artifacts(
    command: Command, kept: Path, team: dict[str, Content]
) -> None:
    projects = command("ls", kept).out
    assert [line.split()[:2] for line in projects.splitlines()[2:]] == [
        ["bare", "0"],
        ["library", "0"],
        ["shop", "3"],
        ["team", "12"],
    ]
    repositories = command("ls", kept, "team").out
    assert [line.split()[:3] for line in repositories.splitlines()[2:]] == [
        ["team/app", "4", "5"],
        ["team/deep/multi", "1", "3"],
        ["team/nested", "1", "4"],
    ]
    artifacts = command("ls", kept, "team/app").out
    (line,) = [line for line in artifacts.splitlines() if "1.0, latest " in line]
    assert line.split()[2:4] == [team["app"].digest[:19], "artifact"]
    assert "5 digests, 4 tags, " in artifacts
    document = command("ls", kept, "team/app", "--json").document
    assert {each["digest"] for each in document["artifacts"]} == {
        team[name].digest for name in ("app", "untagged", "signature", "sbom", "signed sbom")
    }
    assert "The project was empty." in command("ls", kept, "bare").out


def test_ls_shows_another_night(
    harbor: HarborDouble, command: Command, kept: Path, nights: list[str]
) -> None:
    harbor.push("shop/old", Image("newer"), "2.0")
    assert command("backup", harbor.url, kept).code == 0
    assert "2.0" in command("ls", kept, "shop/old").out
    then = command("ls", kept, "shop/old", "--snapshot", nights[0])
    assert then.out.startswith(f"Snapshot {nights[0]} of {harbor.url}\n")
    assert "2.0" not in then.out
    # The newest that is not limited, and has the project.
    assert command("ls", kept, "--json").document["complete"] is True
    partial = command("ls", kept, "--snapshot", nights[2])
    assert partial.out.startswith(f"Snapshot {nights[2]} (PARTIAL) of ")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("teem", "has no project 'teem'. The nearest of 4 projects there: team"),
        ("teem/app", "has no project 'teem'. The nearest of 4 projects there: team"),
        ("*", "has no project '*'"),
        ("team/*", "has no repository 'team/*'"),
        ("team/ap", "has no repository 'team/ap'. The nearest of 3 repositories there: team/app"),
    ],
)
def test_ls_names_the_nearest_where_there_is_no_such_thing(
    command: Command, kept: Path, team: dict[str, Content], path: str, said: str
) -> None:
    done = command("ls", kept, path)
    assert done.code == 2
    assert said in done.error


def test_a_night_is_found_by_its_date_its_name_and_any_beginning_that_is_one_nights(
    command: Command, kept: Path, nights: list[str]
) -> None:
    date = nights[0][:10]
    for wanted in (nights[1], nights[1][:-1], nights[1].removesuffix("Z")):
        assert command("ls", kept, "--snapshot", wanted, "--json").document["snapshot"] == nights[1]
    # Of a day it is the newest complete one that is not limited to some projects.
    assert command("ls", kept, "--snapshot", date, "--json").document["snapshot"] == nights[0]
    shop = command("ls", kept, "shop", "--snapshot", date, "--json").document
    assert shop["snapshot"] == nights[1]


def test_a_restore_says_that_a_night_was_limited_to_some_projects(
    harbor: HarborDouble, command: Command, kept: Path, nights: list[str]
) -> None:
    done = command("restore", kept, harbor.url, "--snapshot", nights[1])
    assert done.code == 0
    assert "\nits run was limited to the projects shop\n" in done.err
    assert "limited" not in command("restore", kept, harbor.url).err


def test_a_beginning_of_partial_nights_only_says_which_there_is(
    command: Command, kept: Path, nights: list[str]
) -> None:
    done = command("ls", kept, "--snapshot", nights[2][:-2])
    assert done.code == 2
    assert f"The newest partial one is {nights[2]}: name it to get what it has" in done.error


@pytest.mark.parametrize("wanted", ["1999-12-31", "yesterday", "2999", "../../etc"])
def test_a_night_that_is_not_there_is_answered_with_the_nearest(
    command: Command, kept: Path, nights: list[str], wanted: str
) -> None:
    for verb in (("ls", kept), ("restore", kept, "http://127.0.0.1:1")):
        done = command(*verb, "--snapshot", wanted)
        assert done.code == 2
        assert f"has no snapshot {wanted!r}. The nearest ones are " in done.error
        assert any(key in done.error for key in nights)


def test_a_run_that_was_cut_short_is_no_snapshot(
    command: Command, kept: Path, nights: list[str]
) -> None:
    (kept / "snapshots" / nights[0] / "snapshot.json").unlink()
    done = command("restore", kept, "http://127.0.0.1:1", "--snapshot", nights[0])
    assert done.code == 2
    assert "was cut short, so that it is no snapshot" in done.error
    assert nights[1] in done.error


def test_a_store_without_any_night_says_so(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    for path in kept.glob("snapshots/*/snapshot.json"):
        path.unlink()
    done = command("restore", kept, "http://127.0.0.1:1")
    assert done.code == 2
    assert "has no complete snapshot yet. Make a backup first" in done.error
    assert "No run has come to its end yet." in command("snapshots", kept).out
