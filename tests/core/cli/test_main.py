from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import backup as backup_command
from airflow_provider_harbor.core.cli import inventory as inventory_command
from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.harbor.records import Role, read_records
from tests.core.rig import fill_small
from tests.double import Fault, HarborDouble, Image
from tests.ports import find_free_port

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "airflow_provider_harbor.core.cli"]
NEVER = 10**6


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, harbor: HarborDouble) -> Callable[..., None]:
    """Set the credentials of both ends, by default those of the double's administrator."""

    def set_credentials(user: str = harbor.user, password: str = harbor.password) -> None:
        monkeypatch.setenv("HARBOR_BACKUP_SOURCE_USER", user)
        monkeypatch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", password)
        monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_USER", harbor.user)
        monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", harbor.password)

    set_credentials()
    return set_credentials


@pytest.fixture
def filled(harbor: HarborDouble, login: Callable[..., None]) -> HarborDouble:
    """A Harbor with two small projects, whose credentials are set."""
    fill_small(harbor)
    return harbor


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "inventory.jsonl"


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        **options,
    )


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def count_of_manifests(harbor: HarborDouble) -> int:
    return sum(map(len, list(harbor.state.storage.manifests.values())))


def records_of(path: Path) -> list:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        return list(read_records(stream))


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


# -- help and usage


def test_help_names_all_commands():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "backup",
        "restore",
        "snapshots",
        "ls",
        "export",
        "serve",
        "inventory",
        "exit codes:",
    ):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("inventory", ["HARBOR_BACKUP_SOURCE_PASSWORD", "docker login"]),
        ("backup", ["HARBOR_BACKUP_SOURCE_PASSWORD", "docker login", "s3://", "AWS_ENDPOINT_URL"]),
        ("restore", ["HARBOR_BACKUP_DESTINATION_PASSWORD", "s3://", "--as PROJECT=NEW"]),
        ("snapshots", ["s3://"]),
        ("ls", ["s3://"]),
        ("export", ["s3://", "--tag TAG", "skopeo copy"]),
        ("serve", ["s3://", "--htpasswd FILE", "--without-login", "docker pull"]),
    ],
)
def test_help_tells_how_to_use_a_command(command, words):
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("examples:", "exit codes:", *words):
        assert word in done.stdout


def test_version():
    assert re.fullmatch(r"harbor-backup \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["inventory", "http://x"], "required: --output"),
        (["backup", "http://x"], "required: STORE"),
        (["restore", "d"], "required: URL"),
        (["backup", "http://x", "d", "--to", "http://y", "--workers", "0"], "from 1 to 256"),
        (["backup", "http://x", "d", "--to", "http://y", "--workers", "many"], "from 1 to 256"),
        (["backup", "http://x", "d", "--limit-rate", "0"], "is not a rate"),
        (["restore", "d", "http://x", "--limit-rate", "-5M"], "expected one argument"),
        (["drill", "d", "http://x", "--limit-rate=-5M"], "is not a rate"),
        (["verify", "d", "--limit-rate", "fast"], "is not a rate"),
        (["export", "d", "a/b", "e", "--limit-rate", "999"], "1K at least"),
        (["inventory", "http://x", "--output", "f", "--timeout", "-1"], "a number of seconds"),
        (["inventory", "http://x", "--output", "f", "--timeout", "nan"], "a number of seconds"),
        (["inventory", "http://x", "--output", "f", "--quiet", "--verbose"], "not allowed"),
        (["inventory", "http://x", "--output", "f", "--insecure", "--ca-file", "c"], "not allowed"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


# -- inventory


def test_inventory_holds_everything_in_order(harbor, login, output, capsys):
    contents = fill_small(harbor)
    # In the order of repositories `beta-x/..` comes before `beta/..`.
    harbor.create_project("beta-x")
    other = harbor.push("beta-x/app", Image("other"), "1")

    assert cli.main(["inventory", harbor.url, "--output", str(output)]) == 0

    records = records_of(output)
    assert [record.key for record in records] == sorted(record.key for record in records)
    listed = {(r.repository, r.digest) for r in records if r.role is Role.ARTIFACT}
    assert listed == {
        ("alpha/app", contents["image"].digest),
        ("alpha/app", contents["untagged"].digest),
        ("beta/deep/multi", contents["index"].digest),
        ("beta-x/app", other.digest),
    }
    out, err = capsys.readouterr()
    assert out.startswith("Everything is listed: 4 of 4 projects, 3 repositories, ")
    assert out.endswith(f". Inventory: {output}\n")
    assert out.count("\n") == 1
    assert "[2/4] beta-x: 1 repository, 1 digest, 1 tag\n" in err


def test_inventory_is_the_same_byte_for_byte(filled, output):
    packed = output.with_name("packed.jsonl.gz")
    for path in (output, packed):
        assert cli.main(["inventory", filled.url, "--output", str(path)]) == 0
    first = output.read_bytes(), packed.read_bytes()
    assert gzip.decompress(first[1]) == first[0]
    time.sleep(1.1)  # gzip's clock counts seconds
    for path in (output, packed):
        assert cli.main(["inventory", filled.url, "--output", str(path)]) == 0
    assert (output.read_bytes(), packed.read_bytes()) == first


def test_inventory_on_stdout_is_nothing_else(filled, output):
    assert cli.main(["inventory", filled.url, "--output", str(output)]) == 0
    done = run("inventory", filled.url, "--output", "-")
    assert done.returncode == 0
    assert done.stdout == output.read_text()
    assert done.stderr.splitlines()[-1].startswith("Everything is listed: ")


def test_inventory_of_some_projects(filled, output):
    arguments = ["--project", "al*", "--project", "library", "--exclude", "lib*"]
    assert cli.main(["inventory", filled.url, "--output", str(output), *arguments]) == 0
    assert {record.project for record in records_of(output)} == {"alpha"}


def test_inventory_with_a_gap_does_not_replace_a_whole_one(filled, output, capsys):
    output.write_text("the whole one")
    filled.faults.add(Fault(path="/projects/alpha/", status=403, times=None))
    arguments = ["inventory", filled.url, "--output", str(output)]

    assert cli.main(arguments) == 1

    assert output.read_text() == "the whole one"
    partial = output.with_name(output.name + ".partial")
    assert {record.project for record in records_of(partial)} == {"beta"}
    out, err = capsys.readouterr()
    assert out.startswith("NOT everything is listed: 2 of 3 projects, ")
    assert str(partial) in out
    assert "FAILED alpha: the login" in err

    filled.faults.clear()
    assert cli.main(arguments) == 0
    assert {record.project for record in records_of(output)} == {"alpha", "beta"}
    assert not partial.exists()


def test_inventory_leaves_nothing_else_behind(filled, tmp_path, output):
    folder = tmp_path / "out"
    folder.mkdir()
    assert cli.main(["inventory", filled.url, "--output", str(folder / "a.jsonl")]) == 0
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]


def test_inventory_goes_into_a_device(filled):
    assert cli.main(["inventory", filled.url, "--output", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()


def test_inventory_follows_a_link(filled, output):
    link = output.with_name("link")
    link.symlink_to(output)
    assert cli.main(["inventory", filled.url, "--output", str(link)]) == 0
    assert link.is_symlink()
    assert records_of(output)


def test_a_reader_that_goes_away_is_no_crash(harbor, login):
    harbor.generate(2, 10, 400)
    process = start("inventory", harbor.url, "--output", "-")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert errors.endswith("harbor-backup: stopped, since nobody reads the output any more\n")


# -- copy


def test_copy_to_another_harbor(filled, other_harbor, tmp_path, capsys):
    arguments = ["backup", filled.url, str(tmp_path / "state"), "--to", other_harbor.url]

    assert cli.main(arguments) == 0

    out, err = capsys.readouterr()
    page = only(tmp_path / "state" / "reports", "*.html")
    assert out.startswith("Everything is protected: 3 of 3 projects, ")
    assert out.endswith(f". Report: file://{page}\n")
    assert out.count("\n") == 1
    assert "[1/3] alpha: 2 manifests (2 new), " in err
    only(tmp_path / "state" / "snapshots", "*/snapshot.json")
    only(tmp_path / "state" / "inventories" / "alpha", "*.jsonl.gz")

    assert cli.main(arguments) == 0
    assert "alpha: 2 manifests (2 unchanged), 0 B sent\n" in capsys.readouterr().err
    listed = tmp_path / "there.jsonl"
    assert cli.main(["inventory", other_harbor.url, "--output", str(listed)]) == 0
    here = tmp_path / "here.jsonl"
    assert cli.main(["inventory", filled.url, "--output", str(here)]) == 0
    assert [(r.key, [t.name for t in r.tags]) for r in records_of(listed)] == [
        (r.key, [t.name for t in r.tags]) for r in records_of(here)
    ]


def test_copy_to_a_plain_registry(filled, plain_registry, monkeypatch, tmp_path):
    monkeypatch.delenv("HARBOR_BACKUP_DESTINATION_USER")
    monkeypatch.delenv("HARBOR_BACKUP_DESTINATION_PASSWORD")
    arguments = ["backup", filled.url, str(tmp_path / "state"), "--to", plain_registry.url]
    assert cli.main(arguments) == 0
    filled.requests.reset()
    assert cli.main(arguments) == 0
    assert filled.requests["manifest.get"] + filled.requests["blob.get"] == 0


def test_dry_run_copies_nothing(filled, other_harbor, tmp_path, capsys):
    state = tmp_path / "state"
    arguments = ["backup", filled.url, str(state), "--to", other_harbor.url, "--dry-run"]
    assert cli.main(arguments) == 0
    writes = [entry for entry in other_harbor.requests.log if entry[0] not in ("GET", "HEAD")]
    assert writes == []
    plan = gzip.decompress(only(state / "plans", "*/alpha.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)["needs_content"] for line in plan[1:]] == [True, True]
    assert not list(state.glob("snapshots/*/*.json"))
    out = capsys.readouterr().out
    assert out.startswith("Dry run: nothing was copied: 3 of 3 projects, ")
    assert f"Plans: file://{state}/plans/" in out


def test_one_project_that_fails_does_not_stop_the_others(filled, other_harbor, tmp_path, capsys):
    state = tmp_path / "state"
    arguments = ["backup", filled.url, str(state), "--to", other_harbor.url]
    filled.faults.add(Fault(path="/projects/alpha/artifacts", status=403, times=None))

    assert cli.main(arguments) == 1

    out, err = capsys.readouterr()
    assert out.startswith("NOT everything is protected: 2 of 3 projects, ")
    assert "[1/3] FAILED alpha: the login" in err
    assert "[2/3] beta: 5 manifests (5 new), " in err
    only(state / "snapshots", "*/partial.json")

    filled.faults.clear()
    assert cli.main(arguments) == 0


def test_an_artifact_that_fails_is_named(filled, other_harbor, tmp_path, capsys):
    other_harbor.create_project("alpha")
    other_harbor.state.deny_push("alpha")
    arguments = ["backup", filled.url, str(tmp_path / "state"), "--to", other_harbor.url]
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert re.search(r"FAILED alpha/app@sha256:[0-9a-f]{64} \(1\.0, latest\): ", err)
    assert "7 manifests (5 new, 2 failed), " in out


def test_a_bug_is_one_failed_project_and_no_traceback(
    filled, other_harbor, tmp_path, capsys, monkeypatch
):
    copy_project = backup_command.copy_project

    def broken(client, registry, destination, store, run, ref, **options):
        if ref.project == "alpha":
            raise RuntimeError("surprise")
        return copy_project(client, registry, destination, store, run, ref, **options)

    monkeypatch.setattr(backup_command, "copy_project", broken)
    arguments = ["backup", filled.url, str(tmp_path / "state"), "--to", other_harbor.url]
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert "FAILED alpha: unexpected RuntimeError: surprise. This is a defect" in err
    assert "[2/3] beta: " in err
    assert "Traceback" not in err
    assert cli.main([*arguments, "--verbose"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_does_not_end_green(
    filled, other_harbor, tmp_path, capsys, monkeypatch
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "/state/reports/x")

    monkeypatch.setattr(backup_command, "finish_run", full)
    arguments = ["backup", filled.url, str(tmp_path / "state"), "--to", other_harbor.url]
    assert cli.main(arguments) == 1
    assert "could not be written: /state/reports/x: No space left" in capsys.readouterr().err


# -- what ends it before anything is begun


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the transport try again at once."""
    monkeypatch.setattr("airflow_provider_harbor.core.http.tries._wait_seconds", lambda *_: 0.0)


@pytest.fixture
def one_error(output, capsys, no_waiting) -> Callable[..., tuple[int, str]]:
    """Run the inventory, expect one line of error and nothing else, return code and line."""

    def attempt(url: str, *more: str) -> tuple[int, str]:
        code = cli.main(["inventory", url, "--output", str(output), "--quiet", *more])
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("harbor-backup: ")
        assert not output.exists()
        return code, err

    return attempt


FORGED = "\x1b]0;owned\x07\x1b[2J\nharbor-backup: Everything is protected"


def test_words_of_a_server_cannot_pass_for_ours(harbor, other_harbor, filled, tmp_path):
    harbor.state.set_unhealthy("jobservice", f"down {FORGED}")
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": FORGED}]})
    other_harbor.faults.add(
        Fault(method="PUT", path="/manifests/", times=None, status=418, body=body)
    )
    state = tmp_path / "state"
    for more in ([], ["--json"], ["--verbose"]):
        done = run("backup", harbor.url, state, "--to", other_harbor.url, *more)
        assert done.returncode == 1
        shown = done.stdout + done.stderr
        assert "?]0;owned?" in shown
        assert shown.replace("\n", "").isprintable()
        assert not re.search(r"(?m)^harbor-backup: Everything", shown)
    for path in state.rglob("*.html"):
        assert path.read_text().replace("\n", "").isprintable()


def test_a_login_that_a_server_sends_back_is_nowhere(harbor, other_harbor, filled, tmp_path):
    sent = base64.b64encode(f"{harbor.user}:{harbor.password}".encode()).decode()
    body = json.dumps({"errors": [{"code": "X", "message": f"Basic {sent} {harbor.password}"}]})
    harbor.faults.add(Fault(path="/projects/alpha/repositories", times=None, status=400, body=body))
    state = tmp_path / "state"
    done = run("backup", harbor.url, state, "--to", other_harbor.url, "--verbose", "--json")
    assert done.returncode == 1
    texts = [p.read_text() for p in state.rglob("*") if p.suffix in (".json", ".html")]
    for text in (done.stdout, done.stderr, *texts):
        assert sent not in text
        assert harbor.password not in text
    assert "Basic *** ***" in done.stderr


@pytest.mark.parametrize("url", ["admin:pw/Hush@h", "https://h/?password=Hush", "https://u:Hush"])
def test_a_password_in_a_url_is_nowhere(login, harbor, url, tmp_path):
    for arguments in (
        ("inventory", url, "--output", tmp_path / "x"),
        ("backup", harbor.url, tmp_path / "state", "--to", url, "--json"),
        ("backup", url, tmp_path / "state", "--to", harbor.url, "--verbose"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert "Hush" not in done.stdout + done.stderr


def test_no_answer(login, one_error):
    code, message = one_error(f"http://127.0.0.1:{find_free_port()}")
    assert code == 3
    assert "connection refused" in message


def test_a_server_that_fails(filled, one_error):
    filled.faults.add(Fault(status=503, times=None))
    assert one_error(filled.url)[0] == 3


def test_no_harbor_behind_the_url(plain_registry, login, one_error):
    code, message = one_error(plain_registry.url)
    assert code == 2
    assert "there is no Harbor at " in message


def test_wrong_password(filled, login, one_error):
    login(password="not-it-9")
    code, message = one_error(filled.url)
    assert code == 2
    assert "the login 'admin' was not accepted" in message
    assert "not-it-9" not in message


def test_the_report_says_why_nothing_was_backed_up(filled, other_harbor, login, tmp_path):
    command = ["backup", filled.url, str(tmp_path), "--to", other_harbor.url]
    assert cli.main(command) == 0
    for old in (tmp_path / "reports").iterdir():
        old.unlink()
    login(password="not-it-9")
    assert cli.main(command) == 2
    (report,) = (tmp_path / "reports").glob("*.json")
    assert "was not accepted" in json.loads(report.read_text())["error"]


def test_no_store_begins_for_a_harbor_that_was_not_there(filled, other_harbor, tmp_path):
    """Its URL may be mistyped, and a store is that of one Harbor for ever."""
    other_harbor.faults.add(Fault(path="/api/", status=404, times=None))
    assert cli.main(["backup", other_harbor.url, str(tmp_path / "store")]) == 2
    assert not (tmp_path / "store").exists()
    assert cli.main(["backup", filled.url, str(tmp_path / "store")]) == 0


def test_no_credentials(filled, monkeypatch, one_error):
    monkeypatch.delenv("HARBOR_BACKUP_SOURCE_USER")
    monkeypatch.delenv("HARBOR_BACKUP_SOURCE_PASSWORD")
    code, message = one_error(filled.url)
    assert code == 2
    host = filled.url.partition("://")[2]
    assert (
        "no credentials were given. Set HARBOR_BACKUP_SOURCE_USER and "
        "HARBOR_BACKUP_SOURCE_PASSWORD (or HARBOR_BACKUP_SOURCE_PASSWORD_FILE), or run: "
        f"docker login {host}: "
    ) in message


def test_half_of_the_credentials(filled, monkeypatch, one_error):
    monkeypatch.delenv("HARBOR_BACKUP_SOURCE_PASSWORD")
    code, message = one_error(filled.url)
    assert code == 2
    assert "HARBOR_BACKUP_SOURCE_PASSWORD is not" in message


def test_a_password_in_the_url(filled, one_error):
    code, message = one_error(filled.url.replace("//", "//admin:Harbor12345@"))
    assert code == 2
    assert "leave the credentials out of the URL" in message
    assert "Harbor12345" not in message


def test_a_robot_that_does_not_see_all(filled, login, one_error, output):
    name = filled.create_robot("narrow", ["alpha"])
    login(name, "Robot-12345")
    code, message = one_error(filled.url)
    assert code == 2
    assert "robot:list" in message
    arguments = ["inventory", filled.url, "--output", str(output), "--project", "alpha"]
    assert cli.main(arguments) == 0


def test_a_mistyped_glob(filled, one_error):
    code, message = one_error(filled.url, "--project", "alhpa*")
    assert code == 2
    assert "no project matches 'alhpa*'" in message


def test_an_unhealthy_component(filled, one_error):
    filled.state.set_unhealthy("registry", "no route to host")
    code, message = one_error(filled.url)
    assert code == 3
    assert "registry: no route to host" in message


def test_an_unhealthy_component_that_does_not_matter_is_a_warning(filled, output, capsys):
    filled.state.set_unhealthy("jobservice", "no route to host")
    assert cli.main(["inventory", filled.url, "--output", str(output)]) == 0
    assert "WARNING: Harbor's component jobservice is unhealthy" in capsys.readouterr().err


def test_an_output_that_cannot_be_written(filled, one_error, tmp_path):
    (tmp_path / "file").write_text("")
    output = str(tmp_path / "file" / "below")
    code, message = one_error(filled.url, "--output", output)
    assert code == 2
    assert f"{output} cannot be written: " in message


def test_a_directory_of_the_output_that_is_mistyped_is_not_made(filled, one_error, tmp_path):
    output = tmp_path / "no" / "such" / "x"
    code, message = one_error(filled.url, "--output", str(output))
    assert code == 2
    assert f"the directory {output.parent} is not there. Make it, or correct the name" in message
    assert list(tmp_path.iterdir()) == []
    assert filled.requests.log == []


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_the_example_of_an_inventory_prints_digests_only(filled, output):
    assert cli.main(["inventory", filled.url, "--output", str(output)]) == 0
    (example,) = re.findall(r"jq -r '(.*)'", inventory_command._EXAMPLES)
    printed = subprocess.run(
        ["jq", "-r", example, output], capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines() == [record.digest for record in records_of(output)]


def test_a_disk_that_gets_full(filled, output, capsys, monkeypatch):
    def full(stream, records):
        list(records)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inventory_command, "write_records", full)
    assert cli.main(["inventory", filled.url, "--output", str(output)]) == 1
    assert f"{output} cannot be written: No space left" in capsys.readouterr().err
    assert list(output.parent.glob("*inventory*")) == []


def test_a_missing_ca_file(filled, one_error):
    code, message = one_error(filled.url, "--ca-file", "/nowhere/ca.pem")
    assert code == 2
    assert "there is no file /nowhere/ca.pem" in message


def test_json_wants_stdout_for_itself(filled, capsys):
    assert cli.main(["inventory", filled.url, "--output", "-", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_source_and_destination_are_the_same(filled, tmp_path, capsys):
    url = filled.url
    assert cli.main(["backup", url, str(tmp_path), "--to", url + "/harbor/projects"]) == 2
    assert "are the same registry" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_destination_that_does_not_answer(filled, tmp_path, capsys, no_waiting):
    state = tmp_path / "state"
    url = f"http://127.0.0.1:{find_free_port()}"
    assert cli.main(["backup", filled.url, str(state), "--to", url]) == 3
    assert url in capsys.readouterr().err
    (report,) = (state / "reports").glob("*.json")
    assert url in json.loads(report.read_text())["error"]
    assert not list(state.rglob("snapshot.json"))


def test_the_store_of_another_harbor(filled, other_harbor, tmp_path, capsys):
    state = str(tmp_path / "state")
    fill_small(other_harbor)
    assert cli.main(["backup", other_harbor.url, state, "--to", filled.url]) == 0
    assert cli.main(["backup", filled.url, state, "--to", other_harbor.url]) == 2
    assert "use another one" in capsys.readouterr().err.lower()


# -- for machines, and what is never shown


def test_json_is_one_document(filled, other_harbor, tmp_path, output):
    listed = run("inventory", filled.url, "--output", output, "--json")
    document = json.loads(listed.stdout)
    assert (listed.returncode, document["exit_code"], document["complete"]) == (0, 0, True)
    assert document["projects"] == ["alpha", "beta", "library"]
    assert document["counts"]["digests"] == 5
    assert document["output"] == str(output)

    other_harbor.create_project("alpha")
    other_harbor.state.deny_push("alpha")
    copied = run("backup", filled.url, tmp_path / "state", "--to", other_harbor.url, "--json")
    document = json.loads(copied.stdout)
    assert (copied.returncode, document["exit_code"], document["complete"]) == (1, 1, False)
    assert document["failed"] == len(document["failures"]) == 2
    assert document["copied"] + document["failed"] == sum(
        document["counts"][role] for role in ("artifacts", "children", "attestations")
    )
    assert Path(document["report"].removeprefix("file://")).is_file()

    broken = run("inventory", "http://127.0.0.1/x/y", "--output", output, "--json")
    assert broken.returncode == 2
    document = json.loads(broken.stdout)
    assert document["exit_code"] == 2
    assert document["error"] in broken.stderr


def test_quiet_shows_the_result_only(filled, other_harbor, tmp_path, capsys):
    arguments = ["backup", filled.url, str(tmp_path / "s"), "--to", other_harbor.url, "--quiet"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1


@pytest.mark.parametrize("from_docker", [False, True], ids=["environment", "docker"])
def test_no_secret_is_shown_or_kept(filled, other_harbor, monkeypatch, tmp_path, from_docker):
    secret = "Xq7-unmistakable-Secret"
    robot = filled.create_robot("all", secret=secret)
    if from_docker:
        encoded = base64.b64encode(f"{robot}:{secret}".encode()).decode()
        folder = tmp_path / "docker"
        folder.mkdir()
        host = filled.url.partition("://")[2]
        (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": encoded}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))
        monkeypatch.delenv("HARBOR_BACKUP_SOURCE_USER")
        monkeypatch.delenv("HARBOR_BACKUP_SOURCE_PASSWORD")
    else:
        monkeypatch.setenv("HARBOR_BACKUP_SOURCE_USER", robot)
        monkeypatch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", secret)
    filled.faults.add(Fault(method="GET", path="/blobs/", status=502))
    filled.faults.add(Fault(method="GET", path="/manifests/", reset=True))
    state = tmp_path / "state"
    shown = ""
    for project in ("alpha", "beta"):
        done = run(
            "backup", filled.url, state, "--to", other_harbor.url, "--verbose",
            "--project", project,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        shown += done.stdout + done.stderr
    wrong = run(
        "inventory", filled.url, "--output", tmp_path / "x", "--verbose",
        env=os.environ
        | {"HARBOR_BACKUP_SOURCE_USER": robot, "HARBOR_BACKUP_SOURCE_PASSWORD": secret + "x"},
    )  # fmt: skip
    assert wrong.returncode == 2
    shown += wrong.stdout + wrong.stderr
    kept = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in state.rglob("*")
        if path.is_file()
    )
    assert "Trying again" in shown
    for text in (secret, base64.b64encode(f"{robot}:{secret}".encode()).decode(), "Harbor12345"):
        assert text not in shown
        assert text.encode() not in kept
    assert "Bearer " not in shown
    assert "_state=" not in shown


# -- a terminal


def on_terminal(*arguments: object, **environment: str) -> tuple[int, str, str]:
    """Run the command with a terminal as stderr; return its code, its stdout and what was drawn."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        | {"TERM": "xterm", "COLUMNS": "80"}
        | environment,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while block := os.read(ours, 4096):
            shown += block
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out, shown.decode()


def test_progress_on_a_terminal_is_rows_that_are_drawn_anew(filled, other_harbor, tmp_path):
    filled.generate(2, 4, 40)
    filled.faults.add(Fault(method="GET", path="/blobs/", times=None, delay_seconds=0.05))
    code, out, shown = on_terminal(
        "backup", filled.url, tmp_path / "state", "--to", other_harbor.url, "--workers", "4"
    )
    assert code == 0
    assert out.startswith("Everything is protected: 5 of 5 projects, ")
    assert "\x1b" not in out
    # What is written after a line was erased is a line of its own.
    parts = re.split(r"\n|\x1b\[2K", shown)
    rows = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", part) for part in parts]
    assert any(
        re.match(r"generated-\d +\S+ +\d+ of 20 +\d+\.\d KiB +\d+ kB/s", row) for row in rows
    )
    assert any(re.match(r"\d of 5 projects +\S+ +", row) for row in rows)
    assert "?25" not in shown
    # Lines stay, one for each project: they are followed by none that takes them away.
    lines = [re.match(r"\[\d/5\] ([\w-]+): ", row) for row in rows]
    assert sorted(line[1] for line in lines if line) == [
        "alpha", "beta", "generated-0", "generated-1", "library",
    ]  # fmt: skip
    # Whatever was drawn last is erased.
    assert shown.rstrip("\r").endswith("\x1b[2K")


def test_errors_on_a_terminal_have_a_colour_unless_nobody_wants_one(filled, tmp_path):
    arguments = ("backup", filled.url, tmp_path / "state", "--project", "nobody*")
    code, _, shown = on_terminal(*arguments)
    assert (code, "\x1b[31mharbor-backup: no project matches" in shown) == (2, True)
    code, _, shown = on_terminal(*arguments, NO_COLOR="1")
    assert (code, "\x1b[31m" in shown) == (2, False)


# -- signals


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "sigterm", "sighup"]
)
def test_stopped_it_says_so_and_goes_on_the_next_time(filled, other_harbor, tmp_path, number):
    filled.generate(6, 12, 120)  # more projects than are under way at once
    slow = Fault(method="GET", path="/blobs/", times=40, delay_seconds=0.1)
    silent = Fault(method="GET", path="/blobs/", times=None, delay_seconds=600)
    for fault in (slow, silent):
        filled.faults.add(fault)
    state = tmp_path / "state"
    arguments = ["backup", filled.url, state, "--to", other_harbor.url, "--json"]
    process = start(*arguments, "--workers", "4")
    wait_until(lambda: silent.hits and count_of_manifests(other_harbor) > 7)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)

    assert process.returncode == 130
    document = json.loads(out)
    assert document["exit_code"] == 130
    assert document["interrupted"] is True
    assert "library" in document["missing"]
    assert any(
        re.match(r"project generated-\d: it was listed, but not copied", line)
        for line in document["failures"]
    )
    assert "stopping; " in err
    assert "Traceback" not in err
    only(state / "snapshots", "*/partial.json")

    filled.faults.clear()
    done = run(*arguments)
    assert done.returncode == 0
    # What was there stays.
    assert json.loads(done.stdout)["present"] > 7


def test_a_second_one_at_once_says_which_run_is_on(filled, other_harbor, tmp_path, capsys):
    goes_on = threading.Event()
    held = filled.faults.add(Fault(method="GET", path="/blobs/", times=None, until=goes_on))
    state = tmp_path / "state"
    arguments = ["backup", filled.url, str(state), "--to", other_harbor.url]
    first = start(*arguments)
    wait_until(lambda: held.hits > 0)
    assert cli.main(arguments) == 4
    goes_on.set()
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"the run \S+Z on \S+, begun .* ago, writes to the same dest", message)
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert cli.main(arguments) == 0


def test_a_killed_one_keeps_no_other_from_running(filled, other_harbor, tmp_path):
    silent = filled.faults.add(Fault(method="GET", path="/blobs/", times=None, delay_seconds=600))
    arguments = ["backup", filled.url, str(tmp_path / "state"), "--to", other_harbor.url]
    first = start(*arguments)
    wait_until(lambda: silent.hits > 0)
    first.kill()
    first.communicate(timeout=120)
    filled.faults.clear()
    assert cli.main(arguments) == 0


def test_stopped_while_the_report_is_written_it_says_what_is_kept(
    filled, other_harbor, tmp_path, capsys, monkeypatch
):
    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(backup_command, "finish_run", stopped)
    assert cli.main(["backup", filled.url, str(tmp_path / "s"), "--to", other_harbor.url]) == 130
    shown = capsys.readouterr()
    assert "What was copied stays copied" in shown.out
    assert "nothing was changed" not in shown.err + shown.out


def test_a_repository_that_cannot_be_listed_is_named_and_the_others_are_copied(
    filled, other_harbor, tmp_path, capsys, no_waiting
):
    filled.push("alpha/bad", Image("bad"), "1.0")
    for path in ("/projects/alpha/artifacts", "/alpha/repositories/bad/"):
        filled.faults.add(Fault(path=path, status=500, times=None))
    state = tmp_path / "state"
    assert cli.main(["backup", filled.url, str(state), "--to", other_harbor.url]) == 1
    shown = capsys.readouterr()
    assert "[1/3] FAILED repository alpha/bad: " in shown.err
    assert "2 of 3 projects" in shown.out
    assert other_harbor.state.artifact("alpha/app", "1.0")
    page = only(state / "reports", "*.html").read_text()
    assert "Repositories not listed whole" in page
    output = tmp_path / "inventory.jsonl"
    assert cli.main(["inventory", filled.url, "--output", str(output)]) == 1
    assert not output.exists()
    assert "alpha/app" in output.with_name("inventory.jsonl.partial").read_text()
    assert "NOT everything is listed: 2 of 3 projects" in capsys.readouterr().out


def test_stopped_before_anything_was_begun(filled, output):
    fault = filled.faults.add(Fault(path="/health", delay_seconds=600))
    process = start("inventory", filled.url, "--output", output)
    wait_until(lambda: fault.hits)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.endswith("harbor-backup: stopped; nothing was changed\n")
    assert not output.exists()


@pytest.mark.parametrize("path", ["/blobs/", "/manifests/", "/artifacts"])
def test_stopped_it_waits_for_no_server_that_says_nothing(filled, tmp_path, path):
    silent = filled.faults.add(Fault(method="GET", path=path, times=None, delay_seconds=600))
    process = start("backup", filled.url, tmp_path / "store", "--json")
    wait_until(lambda: silent.hits)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    document = json.loads(out)
    assert document["interrupted"] is True
    assert document["failed"] == 0
    filled.faults.clear()


def test_a_second_signal_ends_it_at_once(filled, other_harbor, tmp_path):
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        for _ in range(4):  # so many that no other is answered at all
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((host, port))
        moved = {"Location": f"http://{host}:{port}/blob"}
        fault = filled.faults.add(
            Fault(method="GET", path="/blobs/", times=None, status=307, headers=moved)
        )
        process = start("backup", filled.url, tmp_path / "state", "--to", other_harbor.url)
        wait_until(lambda: fault.hits)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.endswith("harbor-backup: stopped at once\n")
    filled.faults.clear()


def test_handlers_are_put_back(filled, output):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert cli.main(["inventory", filled.url, "--output", str(output)]) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_ctrl_c_does_not_wait_for_as_long_as_a_server_asks_for(filled, tmp_path):
    fault = filled.faults.add(
        Fault(path="/blobs/", times=None, status=429, headers={"Retry-After": "3600"})
    )
    process = start("backup", filled.url, tmp_path / "store")
    wait_until(lambda: fault.hits)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)  # the server is waited for a minute, and several times
    assert process.returncode == 130


# -- streams that are closed, or full


@pytest.mark.parametrize("streams", ["", ">&-", "2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_gone_stops_no_backup(filled, tmp_path, streams):
    done = in_shell(f"backup {filled.url} {tmp_path}/store --project alpha", streams)
    assert done.returncode == 0
    assert only(tmp_path, "store/snapshots/*/snapshot.json")
    assert "Traceback" not in done.stdout + done.stderr


def test_an_inventory_needs_a_standard_output_to_go_to(filled):
    done = in_shell(f"inventory {filled.url} --output -", ">&-")
    assert done.returncode == cli.EXIT_PERMANENT
    assert done.stderr.strip() == (
        "harbor-backup: the process has no standard output for --output -: give --output a file"
    )


def in_shell(words, streams):
    command = f"{sys.executable} -m airflow_provider_harbor.core.cli {words} {streams}"
    return subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


_INTERRUPTED_IMPORT = """
import os, runpy, signal, sys
module = sys.argv[1]
sys.argv = ["harbor-backup", "backup", "https://127.0.0.1:1", "/nowhere"]
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "airflow_provider_harbor.core." + module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize("module", ["cli.main", "cli.arguments", "cli.backup", "http.connections"])
@pytest.mark.parametrize(
    "way",
    [
        "from airflow_provider_harbor.core.cli.__main__ import run; sys.exit(run())",
        "runpy.run_module('airflow_provider_harbor.core.cli', run_name='__main__')",
    ],
)
def test_ctrl_c_while_modules_are_loaded_ends_it_without_a_trace(module, way):
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_IMPORT + way, module],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (cli.EXIT_INTERRUPTED, "")
