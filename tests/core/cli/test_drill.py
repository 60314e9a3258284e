"""`harbor-backup drill`: a sample is restored, compared and removed; nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.store import layout
from tests.core.cli.conftest import Command
from tests.core.restoring import holding, writes
from tests.double import Fault, HarborDouble, Image
from tests.double.content import Content
from tests.registry_server import PlainRegistry

INTO = ("--into", "drill")


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_harbor.core.http.attempts._FIRST_WAIT_SECONDS", 0.0)


def test_everything_comes_back_and_nothing_is_left(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    for target in (other_harbor, harbor):
        before = holding(target)
        done = command("drill", kept, target.url, *INTO, "--sample", "99", "--seed", "1")
        assert done.code == 0, done.out + done.err
        assert done.out.startswith(
            "Everything came back as it was: 6 of 6 repositories, 17 manifests, "
        )
        assert holding(target) == before
        assert all(
            path.startswith(("/v2/drill/", "/api/v2.0/projects"))
            for _, path, _ in writes(target)
            if "/drill" in path
        )
    assert "Everything came back as it was" in only(kept / "reports", "*.drill.html")


def only(directory: Path, pattern: str) -> str:
    return sorted(directory.glob(pattern))[-1].read_text()


def test_it_is_all_there_in_between(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    seen: list[Any] = []

    def look(double: HarborDouble) -> None:
        seen.append(holding(double, "drill"))

    other_harbor.faults.add(
        Fault(method="DELETE", path="/projects/drill/repositories/", callback=look)
    )
    command("drill", kept, other_harbor.url, *INTO, "--sample", "99")
    source, (found,) = holding(harbor), seen
    assert {(f"drill/{n}", d): c for (n, d), c in source.manifests.items()} == found.manifests
    assert {(f"drill/{n}", t): d for (n, t), d in source.tags.items()} == found.tags
    assert {(f"drill/{n}", d): s for (n, d), s in source.subjects.items()} == found.subjects


def test_the_same_seed_draws_the_same_sample(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    asked = ("drill", kept, other_harbor.url, *INTO, "--sample", "2", "--json")
    first = command(*asked, "--seed", "3").document
    assert first["ok"]
    assert len(first["repositories"]) == 2
    assert first["of_repositories"] == 6
    assert command(*asked, "--seed", "3").document["repositories"] == first["repositories"]
    drawn = command(*asked).document
    assert (
        command(*asked, "--seed", drawn["seed"]).document["repositories"] == (drawn["repositories"])
    )


def test_a_project_that_is_there_is_never_touched(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    other_harbor.push("library/mine", Image("mine"), "1")
    other_harbor.create_project("empty")
    for name in ("library", "empty"):
        other_harbor.requests.reset()
        done = command("drill", kept, other_harbor.url, "--into", name)
        assert done.code == 2
        assert f"there is a project {name} at" in done.error
        assert "delete its repositories, and then the project" in done.error
        assert writes(other_harbor) == []
    assert "empty" in other_harbor.state.project_names


def robot(harbor: HarborDouble, *project: tuple[str, str]) -> tuple[str, str]:
    rows = {
        "system": [row for row in project if row in SYSTEM],
        "project": [row for row in project if row not in SYSTEM],
    }
    permissions = [
        {
            "kind": kind,
            "namespace": "/" if kind == "system" else "*",
            "access": [{"resource": resource, "action": action} for resource, action in found],
        }
        for kind, found in rows.items()
    ]
    made = harbor.state.create_robot("drill", permissions, secret="Robot-12345")
    return made.name, "Robot-12345"


SYSTEM = [("project", "create"), ("project", "list")]
NEEDED = [
    *SYSTEM,
    ("project", "read"), ("project", "delete"), ("repository", "list"), ("repository", "read"),
    ("repository", "pull"), ("repository", "push"), ("repository", "delete"),
    ("artifact", "list"), ("artifact", "read"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lacking", "said", "left"),
    [
        (("project", "delete"), "may not delete it again, so that nothing was restored", True),
        (("repository", "delete"), "", False),
    ],
)
def test_a_login_that_may_not_remove_is_told_before_anything_is_restored(
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    monkeypatch: pytest.MonkeyPatch,
    lacking: tuple[str, str],
    said: str,
    left: bool,
) -> None:
    user, password = robot(other_harbor, *[right for right in NEEDED if right != lacking])
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_USER", user)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", password)
    done = command("drill", kept, other_harbor.url, *INTO)
    if not said:  # who may delete a project may delete what is in it
        assert done.code == 0, done.out + done.err
    else:
        assert done.code == 2
        assert said in done.error
        assert not any(path.startswith("/v2/drill") for _, path, _ in writes(other_harbor))
    assert ("drill" in other_harbor.state.project_names) is left


def test_what_is_damaged_in_the_store_is_found(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    layer = list(team["chart"].blobs)[-1]
    path = kept / layout.blob(layer)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = command("drill", kept, other_harbor.url, *INTO, "--sample", "99")
    assert done.code == 1
    assert done.out.startswith("NOT everything came back as it was")
    (line,) = [line for line in done.out.splitlines() if line.startswith("  ! ")]
    assert "drill/shop/charts/web@" in line
    assert "is damaged" in line
    assert "drill" not in other_harbor.state.project_names
    assert '<header class="bad">' in only(kept / "reports", "*.drill.html")


@pytest.mark.parametrize("what", ["blobs/", "manifests/sha256:"])
def test_what_does_not_come_back_as_it_was_is_found(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content], what: str
) -> None:
    other_harbor.faults.add(
        Fault(method="GET", path=f"/v2/drill/team/nested/{what}", corrupt=True, times=None)
    )
    done = command("drill", kept, other_harbor.url, *INTO, "--sample", "99", "--json")
    assert done.code == 1
    assert any("drill/team/nested" in line for line in done.document["failures"])
    assert "drill" not in other_harbor.state.project_names


def test_a_tag_or_a_signature_that_is_not_there_is_found(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    def lose(double: HarborDouble) -> None:
        state = double.state
        state.delete_tag(state.artifact("drill/shop/old", "1.0"), "1.0")
        state.delete_artifact("drill/team/app", team["signature"].digest)

    other_harbor.faults.add(
        Fault(method="GET", path=r"/projects/drill/repositories\?", skip=1, callback=lose)
    )
    done = command("drill", kept, other_harbor.url, *INTO, "--sample", "99", "--json")
    assert done.code == 1
    text = "\n".join(done.document["failures"])
    assert f"drill/shop/old@{team['docker'].digest}: its tags: ('1.0',) in the snapshot" in text
    assert f"drill/team/app@{team['signature'].digest}: Harbor does not list it" in text


def test_ctrl_c_removes_what_was_made(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    other_harbor.faults.add(
        Fault(
            method="PUT",
            path="/v2/drill/.*/manifests/",
            callback=lambda double: os.kill(os.getpid(), signal.SIGINT),
        )
    )
    # Nothing more is answered: that is not waited for.
    other_harbor.faults.add(
        Fault(method="PUT", path="/v2/drill/.*/manifests/", times=None, delay_seconds=600)
    )
    done = command("drill", kept, other_harbor.url, *INTO, "--sample", "99")
    assert done.code == 130
    assert done.out.startswith("The drill was stopped before its end")
    assert "drill" not in other_harbor.state.project_names


def test_after_a_kill_the_next_drill_says_what_is_left_and_touches_nothing(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    started: list[subprocess.Popen[str]] = []
    other_harbor.faults.add(
        Fault(
            method="PUT",
            path="/v2/drill/.*/manifests/",
            skip=3,
            callback=lambda double: started[0].kill(),
        )
    )
    line = [sys.executable, "-m", "airflow_provider_harbor.core.cli", "drill", kept]
    started.append(
        subprocess.Popen(
            [*map(str, line), other_harbor.url, *INTO, "--sample", "99"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    assert started[0].wait(60) == -signal.SIGKILL
    before = holding(other_harbor)
    assert before.repositories
    done = command("drill", kept, other_harbor.url, *INTO)
    assert done.code == 2
    assert "if it was left by a drill that was killed, delete its repositories" in done.error
    assert holding(other_harbor) == before
    other_harbor.state.delete_project("drill")
    assert command("drill", kept, other_harbor.url, *INTO).code == 0


def test_what_cannot_be_removed_is_told(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    other_harbor.faults.add(
        Fault(method="DELETE", path="/projects/drill/repositories/", status=500, times=None)
    )
    done = command("drill", kept, other_harbor.url, *INTO)
    assert done.code == 1
    assert "Everything came back as it was; the scratch project is LEFT" in done.out
    assert f"and then the project drill, in the UI of {other_harbor.url}" in done.out
    other_harbor.faults.clear()
    again = command("drill", kept, other_harbor.url, *INTO)
    assert again.code == 2
    assert "if it was left by a drill that was killed, delete its repositories" in again.error


def test_a_project_that_somebody_else_made_meanwhile_is_left_alone(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    def replace(double: HarborDouble) -> None:
        double.state.delete_project("drill")
        double.create_project("drill")
        double.push("drill/mine", Image("mine"), "1")

    other_harbor.faults.add(
        Fault(method="GET", path=r"/projects/drill/repositories\?", skip=1, callback=replace)
    )
    done = command("drill", kept, other_harbor.url, *INTO)
    assert done.code == 1
    assert "is another one than was made here. It is left alone" in done.out
    assert holding(other_harbor, "drill").repositories == {"drill/mine"}


def test_what_a_drill_cannot_be_done_with(
    other_harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    tmp_path: Path,
) -> None:
    done = command("drill", kept, plain_registry.url, *INTO)
    assert (done.code, "is no Harbor" in done.error) == (2, True)
    done = command("drill", kept, other_harbor.url, "--into", "Not A Name")
    assert (done.code, "not a name that a project can have" in done.error) == (2, True)
    done = command("drill", tmp_path / "none", other_harbor.url, *INTO)
    assert (done.code, "there is no backup store" in done.error) == (2, True)
    assert writes(other_harbor) == []
    for key in (kept / "snapshots").iterdir():
        (key / "snapshot.json").unlink()
    done = command("drill", kept, other_harbor.url, *INTO)
    assert (done.code, "has no complete snapshot" in done.error) == (2, True)


def test_a_drill_never_deletes_what_it_has_no_number_of(other_harbor: HarborDouble) -> None:
    from airflow_provider_harbor.core.harbor.scratch import ScratchProject

    client = HarborClient(other_harbor.url, other_harbor.user, other_harbor.password)
    scratch = ScratchProject(client, "library")
    scratch.remove()
    assert not scratch.is_there
    assert writes(other_harbor) == []
    client.close()
