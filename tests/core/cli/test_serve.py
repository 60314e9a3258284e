"""`harbor-backup serve` as a process: what it says, when it refuses, and how it stops."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests
import trustme

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from tests.core.night import OTHER, REPOSITORY, Night
from tests.ports import find_free_port

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "airflow_provider_harbor.core.cli", "serve"]
ANYWHERE = ["--listen", "127.0.0.1:0"]


class Process:
    """The command, running; what it says is in a file, so that no pipe fills up."""

    def __init__(
        self, directory: Path, *arguments: object, command: Sequence[str] = COMMAND
    ) -> None:
        self._out, self._err = directory / "serve.out", directory / "serve.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, *map(str, arguments)], stdout=out, stderr=err, cwd=ROOT
            )

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def out(self) -> str:
        return self._out.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until it says something."""
        deadline = time.monotonic() + 120
        while not (found := re.search(pattern, self.err)):
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                raise AssertionError(f"exit code {ended}: {self.out}{self.err}")
            time.sleep(0.01)
        return found

    def url(self) -> str:
        return self.wait_for(r"serving \S+ at (https?://\S+), read-only")[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=120)


@contextmanager
def running(directory: Path, *arguments: object, **options: Any) -> Iterator[Process]:
    process = Process(directory, *arguments, **options)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait(timeout=120)


def serve_after(code: str) -> list[str]:
    """Return a command that serves when some code has been run."""
    end = "from airflow_provider_harbor.core.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", f"import sys\n{code}\n{end}", "serve"]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run, in this process, what does not begin to serve; returns exit code and stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        try:
            exit_code = cli.main(["serve", *map(str, arguments)])
        except SystemExit as end:
            exit_code = int(end.code or 0)
        shown = capsys.readouterr()
        assert shown.out == ""
        return exit_code, shown.err

    return run


Refused = Callable[..., tuple[int, str]]


# -- serving


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_stops_on_a_signal(night: Night, tmp_path: Path, number: int):
    with running(tmp_path, night.path, *ANYWHERE) as process:
        url = process.url()
        manifest = requests.get(f"{url}/v2/{REPOSITORY}/manifests/1.0", timeout=120)
        assert manifest.content == night.contents["image"].manifest
        assert process.stop(number) == 0
        key = find_snapshot(night.store).key
        lines = process.err.splitlines()
        assert lines[1].startswith(f"snapshot {key} of http://127.0.0.1")
        assert lines[2].startswith("3 repositories, 9 tags, 18 manifests, 29 blobs; read in ")
        assert lines[3] == f"serving {key} at {url}, read-only; Ctrl-C stops it"
        assert lines[4] == "stopping; what is on its way ends first"
        assert len(lines) == 5
        size = len(manifest.content)
        assert process.out == f"Stopped, after 1 request and {size} B\n"
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/v2/", timeout=120)


def test_the_end_can_be_a_document(night: Night, tmp_path: Path):
    with running(tmp_path, night.path, *ANYWHERE, "--json") as process:
        url = process.url()
        requests.get(f"{url}/v2/", timeout=120)
        assert process.stop() == 0
        document = json.loads(process.out)
        assert (document["exit_code"], document["url"], document["requests"]) == (0, url, 1)


def test_it_runs_where_uvicorn_is_on_its_own(night: Night, tmp_path: Path):
    """Without uvloop and httptools, which the extra does not name: slower, and the same."""
    command = serve_after("for name in ('uvloop', 'httptools'): sys.modules[name] = None")
    with running(tmp_path, night.path, *ANYWHERE, command=command) as process:
        url = f"{process.url()}/v2/{REPOSITORY}"
        for digest, blob in night.contents["image"].blobs.items():
            assert requests.get(f"{url}/blobs/{digest}", timeout=120).content == blob
        assert process.stop() == 0


def test_an_open_connection_does_not_keep_it(night: Night, tmp_path: Path):
    command = serve_after(
        "from airflow_provider_harbor.core.serve import server\n"
        "server._IDLE_SECONDS = server._GRACE_SECONDS = 600"
    )
    served = running(tmp_path, night.path, *ANYWHERE, command=command)
    with served as process, requests.Session() as session:
        session.get(f"{process.url()}/v2/", timeout=120)
        assert process.stop() == 0


def test_what_is_on_its_way_ends_first(night: Night, tmp_path: Path):
    layer = next(d for d, b in night.contents["image"].blobs.items() if len(b) > 1_000_000)
    with running(tmp_path, night.path, *ANYWHERE) as process:
        url = f"{process.url()}/v2/{REPOSITORY}/blobs/{layer}"
        with requests.get(url, stream=True, timeout=120) as answer:
            process.process.send_signal(signal.SIGTERM)
            process.wait_for("stopping")
            assert answer.raw.read() == night.contents["image"].blobs[layer]
        assert process.process.wait(timeout=120) == 0


def test_the_log_of_who_asked_comes_with_verbose(night: Night, tmp_path: Path):
    with running(tmp_path, night.path, *ANYWHERE, "--verbose") as process:
        url = process.url()
        requests.get(f"{url}/v2/{REPOSITORY}/tags/list?n=1", timeout=120)
        requests.get(f"{url}/v2/%1b%5b31m%0aserving/tags/list", timeout=120)
        process.wait_for(rf'127\.0\.0\.1 - "GET /v2/{REPOSITORY}/tags/list\?n=1" 200, \d+ bytes')
        process.wait_for(r'"GET /v2/%1B%5B31m%0Aserving/tags/list" 404')
        assert process.stop() == 0
        assert "\x1b" not in process.err


def test_quiet_is_quiet(night: Night, tmp_path: Path):
    port = find_free_port()
    arguments = [night.path, "--quiet", "--listen", f"127.0.0.1:{port}"]
    with running(tmp_path, *arguments) as process:
        deadline = time.monotonic() + 120
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/v2/", timeout=120)
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        # Half a request, as of a client that speaks TLS: no reason to say anything.
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        assert process.stop() == 0
        assert process.err == ""


def test_any_night_can_be_served(own_night: Night, tmp_path: Path):
    """The older one is partial: it has its name said, and what is not whole in it."""
    store = own_night.store
    key = find_snapshot(store).key
    data = json.loads((own_night.path / "snapshots" / key / "snapshot.json").read_text())
    data["complete"] = data["projects"]["team"]["ok"] = False
    data["projects"]["library"] = data["projects"].pop("library")
    older = own_night.path / "snapshots" / "2001-01-01"
    older.mkdir()
    (older / "partial.json").write_text(json.dumps(data | {"run": "2001-01-01"}))
    arguments = [own_night.path, *ANYWHERE, "--snapshot", "2001-01-01"]
    with running(tmp_path, *arguments) as process:
        answer = requests.get(f"{process.url()}/v2/{OTHER}/tags/list", timeout=120)
        assert answer.json()["tags"] == ["1.0.0"]
        assert "serving 2001-01-01 at " in process.err
        assert "warning: the snapshot is partial" in process.err
        assert "(not whole: team)" in process.err


def test_what_cannot_be_served_is_said(own_night: Night, tmp_path: Path):
    (contents,) = (own_night.path / "contents" / "team").iterdir()
    contents.unlink()
    image = own_night.contents["image"]
    own_night.file_of(image.digest).unlink()
    with running(tmp_path, own_night.path, *ANYWHERE) as process:
        url = process.url()
        assert "warning: project team is not served: " in process.err
        answer = requests.get(f"{url}/v2/{REPOSITORY}/manifests/1.0", timeout=120)
        assert answer.status_code == 404
        process.wait_for(rf"ERROR: {REPOSITORY}@{image.digest} cannot be served: ")
        assert "Traceback" not in process.err


# -- TLS and logins


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    value = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    path.write_text(f"alice:{value}\n")
    return path


def test_others_get_in_by_tls_and_a_login(night: Night, tmp_path: Path, users: Path):
    authority = trustme.CA()
    ca, pem = tmp_path / "ca.pem", tmp_path / "both.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    arguments = ["--listen", "0.0.0.0:0", "--certfile", pem, "--htpasswd", users, "--verbose"]
    with running(tmp_path, night.path, *arguments) as process:
        url = process.url().replace("0.0.0.0", "localhost")
        assert url.startswith("https://")
        options = {"verify": str(ca), "timeout": 20}
        assert requests.get(f"{url}/v2/", **options).status_code == 401
        answer = requests.get(f"{url}/v2/", auth=("alice", "secret"), **options)
        assert answer.status_code == 200
        layer, blob = list(night.contents["image"].blobs.items())[1]
        address = f"{url}/v2/{REPOSITORY}/blobs/{layer}"
        assert requests.get(address, auth=("alice", "secret"), **options).content == blob
        process.wait_for(r'127\.0\.0\.1 alice "GET /v2/" 200')
        began = time.monotonic()
        assert process.stop() == 0
        # Nobody is waited for who does not say goodbye: that would be 30 s.
        assert time.monotonic() - began < 25
        assert "secret" not in process.err


def test_so_many_words_open_it(night: Night, tmp_path: Path):
    arguments = ["--listen", "0.0.0.0:0", "--without-tls", "--without-login"]
    with running(tmp_path, night.path, *arguments) as process:
        url = process.url().replace("0.0.0.0", "127.0.0.1")
        assert requests.get(f"{url}/v2/", timeout=120).ok


# -- refusals: one sentence, and nothing was begun


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "0.0.0.0:0"], "a certificate (--certfile, --keyfile), or --without-tls"),
        (["--listen", "0.0.0.0:0", "--without-tls"], "logins (--htpasswd), or --without-login"),
        (["--listen", "nonsense"], "Write HOST:PORT"),
        (["--certfile", "none.pem"], "the certificate cannot be read: none.pem: No such file"),
        (["--keyfile", "none.pem"], "--keyfile needs --certfile"),
        (["--htpasswd", "none"], "the file of logins cannot be read: none: No such file"),
        (["--snapshot", "1999"], "has no snapshot '1999'"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    night: Night, refused: Refused, arguments: list[str], words: str
):
    options = arguments if "--listen" in arguments else [*ANYWHERE, *arguments]
    exit_code, err = refused(night.path, *options, "--quiet")
    assert exit_code == 2
    assert words in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_named(night: Night, refused: Refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        exit_code, err = refused(night.path, "--listen", f"127.0.0.1:{port}", "--quiet")
    assert (exit_code, err.count("\n")) == (2, 1)
    assert f"something listens on 127.0.0.1:{port} already" in err


def test_no_store_is_named(tmp_path: Path, refused: Refused):
    exit_code, err = refused(tmp_path, *ANYWHERE, "--quiet")
    assert exit_code == 2
    assert "there is no backup store at" in err


def test_contradictions_are_refused(night: Night, refused: Refused):
    exit_code, err = refused(night.path, "--without-tls", "--certfile", "x")
    assert exit_code == 2
    assert "not allowed with argument" in err


@pytest.mark.parametrize("module", ["starlette", "uvicorn", "bcrypt"])
def test_without_the_extra_it_says_what_to_install(night: Night, module: str):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from airflow_provider_harbor.core.cli.main import main\n"
        f"sys.exit(main(['serve', {str(night.path)!r}, '--quiet']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"harbor-backup: serve needs the package {module}, which is not installed: "
        "pip install 'airflow-provider-harbor[serve]'\n"
    )


def test_the_other_commands_need_none_of_it(night: Night):
    code = (
        "import sys\nfor name in ('starlette', 'uvicorn', 'bcrypt'): sys.modules[name] = None\n"
        "from airflow_provider_harbor.core.cli.main import main\n"
        f"sys.exit(main(['ls', {str(night.path)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode == 0
