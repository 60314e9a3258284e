"""`harbor-backup settings`: a Harbor's settings through a disaster, as a person would do it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_harbor.core.jobs.settings import importing
from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.cli.conftest import Command
from tests.core.rig import login
from tests.core.settings_rig import READER, SECRETS, Api, given, robot, seed, services
from tests.double import HarborDouble

PASSPHRASE = "a long enough passphrase"


@pytest.fixture
def seeded(harbor: HarborDouble) -> Iterator[HarborDouble]:
    with services() as service:
        seed(harbor, service.url)
        yield harbor


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    return path


def assert_no_secret_in(*texts: str) -> None:
    for text in texts:
        assert not [name for name, secret in SECRETS.items() if secret in text]


def all_files(root: Path) -> str:
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files
    return "\n".join(path.read_bytes().decode(errors="replace") for path in files)


def test_a_harbor_comes_back_with_its_settings_and_artifacts(
    command: Command,
    seeded: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    passphrase: Path,
    tmp_path: Path,
) -> None:
    opening = ("--passphrase-file", passphrase)
    done = command("settings", "export", seeded.url, kept, "--with-secrets", *opening, "--verbose")
    assert done.code == 0, done.err
    assert_no_secret_in(done.out, done.err)
    assert "Kept 59 settings of the system and 6 projects" in done.out
    night = done.out.split()[-1]
    assert command("backup", seeded.url, kept).code == 0

    secrets = tmp_path / "vault.json"
    secrets.write_text(json.dumps({k: v for k, v in given().items() if "webhooks" not in k}))
    options = ("--snapshot", night, "--secrets", secrets, *opening)
    where = ("settings", "import", kept, other_harbor.url, *options)
    plan = command(*where, "--dry-run")
    assert plan.code == 0, plan.out
    assert "before the artifacts" in plan.out
    assert "+ user ann" in plan.out
    assert "+ 2 labels on artifacts: 1 artifact not there yet: they come back first" in plan.out
    before = command(*where, "--stage", "before", "--verbose")
    assert before.code == 0, before.err
    done = command("restore", kept, other_harbor.url, "--project", "team")
    assert done.code == 0, done.err
    after = command(*where, "--stage", "after", "--json")
    assert after.code == 0, after.err
    # Secrets that nobody can compare are written each time that they are given.
    again = command("settings", "import", kept, other_harbor.url, "--snapshot", night, *opening)
    assert "60 as they are" in again.out
    diff = command("settings", "diff", kept, night, other_harbor.url, *opening)
    assert "no difference" in diff.out
    for done in (plan, before, after, again, diff):
        assert_no_secret_in(done.out, done.err)
    assert_no_secret_in(all_files(kept))


def test_what_is_made_anew_goes_into_a_file_that_only_its_owner_may_read(
    command: Command, seeded: HarborDouble, other_harbor: HarborDouble, kept: Path, tmp_path: Path
) -> None:
    command("settings", "export", seeded.url, kept)
    made = tmp_path / "made.json"
    where = ("settings", "import", kept, other_harbor.url, "--kind", "robots", "--kind", "users")
    done = command(*where, "--kind", "project", "--new-secrets", made)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    secrets = json.loads(made.read_text())
    assert set(secrets) == {
        *(f"users/{name}" for name in ("ann", "bob", "chief")),
        *(f"robots/{name}" for name in ("all", "some", "off")),
        "team/robots/ci",
        "12345/robots/ci",
    }
    assert other_harbor.state.users["ann"].password == secrets["users/ann"]
    assert not [text for text in secrets.values() if text in done.out + done.err]
    assert "new secrets are in" in done.out
    # A file that is there is not written over.
    done = command(*where, "--new-secrets", made)
    assert done.code == 2
    assert "is there already, and may have secrets" in done.error


def test_a_wrong_login_leaves_no_file_for_new_secrets_behind(
    command: Command,
    harbor: HarborDouble,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command("settings", "export", harbor.url, kept)
    made = tmp_path / "made.json"
    where = ("settings", "import", kept, harbor.url, "--new-secrets", made)
    with monkeypatch.context() as wrong:
        wrong.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", "wrong")
        assert command(*where).code != 0
    assert not made.exists()
    done = command(*where)
    assert done.code == 0, done.err


def test_new_secrets_are_shown_once_where_no_file_is_named(
    command: Command, seeded: HarborDouble, other_harbor: HarborDouble, kept: Path
) -> None:
    command("settings", "export", seeded.url, kept)
    where = ("settings", "import", kept, other_harbor.url, "--kind", "robots", "--kind", "project")
    done = command(*where)
    made = {robot.secret for robot in other_harbor.state.robots.values()}
    # On the standard error: the other one may be a file that others read.
    assert len([text for text in made if text in done.err]) == len(made) == 5
    assert not [text for text in made if text in done.out]
    done = command(*where)
    assert "nobody knows" not in done.out
    assert not [text for text in made if text in done.out + done.err]


def test_new_secrets_are_not_lost_where_it_is_stopped_or_prints_for_machines(
    command: Command,
    seeded: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command("settings", "export", seeded.url, kept)
    where = ("settings", "import", kept, other_harbor.url, "--kind", "robots")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(importing._Import, "_compared", stop)
        done = command(*where)
    assert done.code == 130
    assert "What was written stays" in done.out
    assert "nothing was changed" not in done.err
    (first, *_) = made = [robot.secret for robot in other_harbor.state.robots.values()]
    assert [text for text in made if text in done.err] == made
    other_harbor.state.robots.clear()
    done = command(*where, "--json")
    made = [robot.secret for robot in other_harbor.state.robots.values()]
    assert [text for text in made if text in done.err] == made
    assert first not in done.out
    assert not [text for text in made if text in done.out]


def test_who_changed_what_since_last_night(
    command: Command, seeded: HarborDouble, kept: Path
) -> None:
    command("settings", "export", seeded.url, kept)
    api = Api(seeded)
    members = {m["entity_name"]: m["id"] for m in api.get("/projects/team/members")}
    api.put(f"/projects/team/members/{members['bob']}", role_id=1)
    command("settings", "export", seeded.url, kept)
    done = command("settings", "diff", kept)
    assert done.code == 0
    assert [line.strip() for line in done.out.splitlines()[1:]] == [
        "project team",
        "~ member user bob",
        "role: limitedGuest -> projectAdmin",
        "1 changed",
    ]
    document = command("settings", "diff", kept, "--json").document
    assert document["changes"][0]["fields"] == [
        {"name": "role", "before": "limitedGuest", "after": "projectAdmin"}
    ]
    assert "no difference" in command("settings", "diff", kept, "latest", seeded.url).out
    assert "no difference" in command("settings", "diff", kept, seeded.url).out


def test_secrets_are_not_kept_without_a_passphrase(
    command: Command, harbor: HarborDouble, kept: Path
) -> None:
    done = command("settings", "export", harbor.url, kept, "--with-secrets")
    assert done.code == 2
    assert "--with-secrets needs a passphrase" in done.error
    assert not kept.exists()


def test_a_passphrase_that_is_gone_fails_when_all_else_is_kept(
    command: Command, harbor: HarborDouble, kept: Path
) -> None:
    options = ("--with-secrets", "--passphrase-file", "/nowhere")
    done = command("settings", "export", harbor.url, kept, *options)
    assert done.code == 1
    assert "not read: secrets: only that they are there is kept" in done.out
    assert "/nowhere: No such file" in done.out
    assert "no difference" in command("settings", "diff", kept, "latest", harbor.url).out


def test_the_passphrase_and_another_login_come_from_the_environment(
    command: Command, seeded: HarborDouble, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARBOR_BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("HARBOR_BACKUP_ADMIN_USER", seeded.user)
    monkeypatch.setenv("HARBOR_BACKUP_ADMIN_PASSWORD", seeded.password)
    done = command("settings", "export", seeded.url, kept, "--with-secrets", "--json")
    assert done.document["with_secrets"] is True
    assert done.document["unread"] == []
    monkeypatch.setenv("HARBOR_BACKUP_ADMIN_PASSWORD", "wrong")
    done = command("settings", "export", seeded.url, kept, "--json")
    assert done.code == 1
    assert "'admin' was not accepted" in done.failures[0]


def test_what_cannot_be_meant_is_said_before_anything_is_done(
    command: Command, harbor: HarborDouble, kept: Path, tmp_path: Path
) -> None:
    store = BackupStore(kept)
    store.begin_for(harbor.url)
    where = ("settings", "import", kept, harbor.url)
    assert "no settings of Harbor yet" in command(*where).error
    with login(harbor) as client:
        export_settings(client, store, "night-1")
    assert "no settings of '2020'" in command(*where, "--snapshot", "2020").error
    secrets = tmp_path / "secrets"
    twice = '"A-secret-1", "username": "A-secret-1"'
    for text in (
        "A-secret-1",
        '["A-secret-1"]',
        '{"robots/a": ["A-secret-1"]}',
        '{"a": "*****"}',
        f'{{"username": {twice}}}',
        f'{{"preheat-instances/a": {{"username": {twice}}}}}',
    ):
        secrets.write_text(text)
        done = command(*where, "--secrets", secrets)
        assert done.code == 2
        assert "A-secret-1" not in done.error
    assert "has the key username twice" in done.error
    assert "no such project" in command(*where, "--project", "gone").error
    secrets.write_text('{"robots/nobody": "Nobody-1234"}')
    done = command(*where, "--secrets", secrets, "--dry-run")
    assert "the secret robots/nobody is given, and is of nothing" in done.out
    assert "may read or write the file of secrets" in done.err
    secrets.chmod(0o600)
    done = command(*where, "--secrets", secrets, "--dry-run")
    assert "the file of secrets" not in done.err
    done = command(*where, "--project", "library", "--kind", "members", "--kind", "users")
    assert (done.code, "users: of the system, of which nothing" in done.error) == (2, True)
    assert command(*where, "--project", "library", "--kind", "members").code == 0


def test_settings_of_some_projects_are_said_to_be_limited_wherever_they_are_named(
    command: Command, harbor: HarborDouble, other_harbor: HarborDouble, kept: Path
) -> None:
    for name in ("one", "two"):
        Api(harbor).post("/projects", project_name=name)
    whole = command("settings", "export", harbor.url, kept).out.split()[-1]
    limited = command("settings", "export", harbor.url, kept, "--project", "one").out.split()[-1]
    shown = command("snapshots", kept).out
    assert f"{limited} (limited), {whole}" in shown

    plan = command("settings", "import", kept, other_harbor.url, "--dry-run", "--snapshot", limited)
    assert plan.out.startswith(f"{limited} is LIMITED: of the projects it has only one\n")
    done = command("settings", "import", kept, other_harbor.url)
    assert f"{whole} is taken for the latest, since newer ones have less: {limited}" in done.out
    assert other_harbor.state.project("two")


def test_a_night_that_another_passphrase_has_sealed_is_compared_but_for_its_secrets(
    command: Command, seeded: HarborDouble, kept: Path, passphrase: Path, tmp_path: Path
) -> None:
    other, wrong = tmp_path / "other", tmp_path / "wrong"
    other.write_text("another long passphrase\n")
    wrong.write_text("a wrong long passphrase\n")
    for secret in (passphrase, other):
        (kept / "settings-vault.json").unlink(missing_ok=True)
        done = command(
            "settings", "export", seeded.url, kept, "--with-secrets", "--passphrase-file", secret
        )
        assert done.code == 0, done.err
    for secret in (passphrase, other):
        done = command("settings", "diff", kept, "--passphrase-file", secret)
        assert "uaa_client_secret: a secret that cannot be compared: sealed with" in done.out
        assert done.out.splitlines()[-1].strip() == "2 not compared"
    done = command("settings", "diff", kept, "--passphrase-file", wrong)
    assert (done.code, done.out) == (2, "")
    # Nor is what Harbor shows told from what is sealed, without the passphrase.
    done = command("settings", "diff", kept, "latest", seeded.url)
    assert "cannot be compared: one is sealed: give the passphrase" in done.out
    done = command("settings", "diff", kept, "latest", seeded.url, "--passphrase-file", other)
    assert "no difference" in done.out


def test_what_a_login_does_not_see_is_not_said_to_be_removed(
    command: Command, harbor: HarborDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Api(harbor).post("/projects", project_name="hidden")
    store = tmp_path / "store"
    assert command("settings", "export", harbor.url, store).code == 0
    user, password = robot(harbor, READER["system"].replace("project:list", ""), "")
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_USER", user)
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", password)
    done = command("settings", "diff", store, "latest", harbor.url)
    assert "whole project" not in done.out
    assert "not compared: project hidden: not seen now, since not all could be read" in done.out
    assert command("settings", "export", harbor.url, store).code == 2
