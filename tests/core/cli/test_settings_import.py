"""`harbor-backup settings import` and `diff` where something is wrong: what is told, and kept."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import dump
from airflow_provider_harbor.core.store.seals import seal
from tests.core.cli.conftest import Command
from tests.core.settings_rig import Api, _robot, grants
from tests.double import Fault, HarborDouble

ROOT = Path(__file__).parents[3]
RIGHTS = grants(project="repository:pull")


@pytest.fixture
def two_nights(command: Command, harbor: HarborDouble, kept: Path) -> Path:
    """Two nights of a system and two projects, all of which have changed; the path of the last."""
    api = Api(harbor)
    for name in ("team", "other"):
        api.post("/projects", project_name=name)
    for value in (31, 32):
        api.put("/configurations", token_expiration=value)
        for name in ("team", "other"):
            api.put(f"/projects/{name}", metadata={"public": "true" if value == 31 else "false"})
        assert command("settings", "export", harbor.url, kept).code == 0
    return sorted((kept / "snapshots").iterdir())[-1] / "settings.json"


@pytest.mark.parametrize("scope", ["", "team"])
@pytest.mark.parametrize("with_harbor", [False, True])
def test_a_damaged_document_is_not_compared_and_the_others_are(
    command: Command, harbor: HarborDouble, kept: Path, two_nights: Path, scope: str,
    with_harbor: bool,
) -> None:  # fmt: skip
    night = json.loads(two_nights.read_text())
    sha256 = night["projects"][scope] if scope else night["system"]
    (kept / f"settings/{sha256}.json").write_text("{}")
    if with_harbor:
        Api(harbor).put("/configurations", token_expiration=33)
        Api(harbor).put("/projects/other", metadata={"public": "true"})
    done = command("settings", "diff", kept, *(["latest", harbor.url] if with_harbor else []))
    assert done.code == 1
    what = f"project {scope}" if scope else "the system"
    assert f"NOT compared: {what}: damaged: " in done.out
    assert "the whole project" not in done.out
    assert "~ project other" in done.out
    assert ("token_expiration: 3" in done.out) == bool(scope)
    assert "~ project team" not in done.out or not scope


def test_a_setting_of_another_form_is_not_compared_and_the_others_are(
    command: Command, kept: Path, two_nights: Path
) -> None:
    night = json.loads(two_nights.read_text())
    document = json.loads((kept / f"settings/{night['projects']['team']}.json").read_text())
    document["settings"]["members"][0].pop("type")
    content = json.dumps(document).encode()
    night["projects"]["team"] = sha256 = hashlib.sha256(content).hexdigest()
    (kept / f"settings/{sha256}.json").write_bytes(content)
    two_nights.write_bytes(seal(dump({k: v for k, v in night.items() if k != "sha256"})))
    done = command("settings", "diff", kept)
    assert done.code == 1
    assert "NOT compared: project team: member admin: it has another form than it sh" in done.out
    assert "member user admin" not in done.out
    assert "~ project team" in done.out


# -- secrets that an import makes


@pytest.fixture
def robots(command: Command, harbor: HarborDouble, kept: Path) -> Path:
    """A night of three robots."""
    for name in ("one", "three", "two"):
        _robot(Api(harbor), name=name, level="system", duration=-1, permissions=RIGHTS)
    assert command("settings", "export", harbor.url, kept).code == 0
    return kept


def run(harbor: HarborDouble, store: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run an import by a shell, with its streams as `more` says."""
    command = f"{sys.executable} -m airflow_provider_harbor.core.cli settings import"
    return subprocess.run(
        ["sh", "-c", f"{command} {store} {harbor.url} --quiet {more}"],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
    )  # fmt: skip


def secrets_of(harbor: HarborDouble) -> dict[str, str]:
    return {robot.name: robot.secret for robot in harbor.state.robots.values()}


def test_a_file_of_secrets_that_cannot_be_written_keeps_those_of_before(
    command: Command, robots: Path, other_harbor: HarborDouble, tmp_path: Path
) -> None:
    place, moved = tmp_path / "place", tmp_path / "moved"
    place.mkdir()
    other_harbor.faults.add(
        Fault(method="POST", path="/robots", skip=1, callback=lambda double: place.rename(moved))
    )
    where = ("settings", "import", robots, other_harbor.url)
    done = command(*where, "--new-secrets", place / "new.json")
    assert done.code == 1
    made = secrets_of(other_harbor)
    assert set(made) == {"robot$one", "robot$three"}  # and no more
    assert json.loads((moved / "new.json").read_text()) == {"robots/one": made["robot$one"]}
    assert [path.name for path in moved.iterdir()] == ["new.json"]
    # The other one is shown.
    assert f"robots/three  {made['robot$three']}" in done.err
    assert made["robot$one"] not in done.err
    (line,) = [line for line in done.out.splitlines() if "The new secrets are in" in line]
    assert line.strip().endswith("new.json: robots/one")
    assert "FAILED + robot two\n        not made, since its secret would be lost" in done.out
    again = command(*where)
    assert again.code == 0, again.out  # of all of them somebody has the secret
    assert set(secrets_of(other_harbor)) == {"robot$one", "robot$three", "robot$two"}


@pytest.mark.parametrize("more", ["> /dev/full", ">&-", "| head -1"])
def test_new_secrets_are_seen_whatever_becomes_of_the_standard_output(
    robots: Path, other_harbor: HarborDouble, more: str
) -> None:
    done = run(other_harbor, robots, more)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    made = secrets_of(other_harbor)
    assert len(made) == 3
    assert [text for text in made.values() if text in done.stderr] == list(made.values())
    if "full" in more:
        assert done.returncode == 1
        assert "the result cannot be written: No space left on device" in done.stderr
    else:
        assert done.returncode == 0


def test_where_a_secret_can_be_shown_nowhere_the_next_import_names_the_robot(
    command: Command, robots: Path, other_harbor: HarborDouble
) -> None:
    assert "Traceback" not in run(other_harbor, robots, "2>/dev/full").stdout
    assert len(secrets_of(other_harbor)) == 3
    done = command("settings", "import", robots, other_harbor.url)
    assert done.code == 1
    assert done.out.count("nobody knows its secret") == 3


def test_killed_before_it_told_a_secret_the_next_import_names_the_robot(
    command: Command, robots: Path, other_harbor: HarborDouble, tmp_path: Path
) -> None:
    arguments = ["settings", "import", str(robots), other_harbor.url]
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_harbor.core.cli", *arguments, "--quiet"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, text=True,
    )  # fmt: skip
    # The first one is made, the second one is made while nobody waits for it any more.
    other_harbor.faults.add(
        Fault(
            method="POST", path="/robots", skip=1,
            callback=lambda double: os.kill(process.pid, signal.SIGKILL),
        )
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert "robots/" not in err
    for _ in range(2):
        done = command(*arguments)
        assert done.code == 1, done.out
        untold = [name for name in ("one", "three", "two") if f"= robot {name}: nobody" in done.out]
        assert untold[:1] == ["one"]
        assert "two" not in untold
    assert not [text for text in secrets_of(other_harbor).values() if text in done.out + done.err]
    store = BackupStore(robots)
    files = "".join(path.read_text() for path in (robots / "made-robots").rglob("*.json"))
    assert store.settings
    assert not [text for text in secrets_of(other_harbor).values() if text in files]
    # Until one is given.
    vault = tmp_path / "vault.json"
    vault.write_text(json.dumps({f"robots/{name}": "Given-12345" for name in untold}))
    vault.chmod(0o600)
    assert command(*arguments, "--secrets", vault).code == 0
    assert command(*arguments).code == 0
    assert secrets_of(other_harbor)["robot$one"] == "Given-12345"
