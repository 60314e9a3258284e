"""`harbor-backup export`, and the programs that read what it makes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import main as cli
from tests.core.night import OTHER, REPOSITORY, Night, layout_entries, run_program
from tests.go_programs import require_go_program
from tests.registry_server import PlainRegistry, require_program

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        exit_code = cli.main(["export", *map(str, arguments)])
        shown = capsys.readouterr()
        return exit_code, shown.out, shown.err

    return run


@pytest.fixture(scope="session")
def exported(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as a layout of copies, which readers may do with as they like."""
    directory = tmp_path_factory.mktemp("exported") / "app"
    arguments = [night.path, REPOSITORY, directory, "--copy", "--quiet"]
    assert cli.main(["export", *map(str, arguments)]) == 0
    return directory


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


# -- what people see


def test_it_says_what_was_exported_and_how_to_read_it(night: Night, tmp_path: Path, run: Run):
    directory = tmp_path / "chart"
    exit_code, out, err = run(night.path, OTHER, directory)
    assert exit_code == 0
    assert out.startswith(f"{OTHER} is in {directory}: 1 manifest, 1 tag, ")
    assert "3 files (3 linked, 0 copied)" in out
    assert f"skopeo inspect --raw oci:{directory}:1.0.0" in out
    assert "snapshot " in err


def test_the_document_says_the_same(night: Night, tmp_path: Path, run: Run):
    exit_code, out, _ = run(night.path, OTHER, tmp_path / "chart", "--json", "--quiet")
    document = json.loads(out)
    assert (exit_code, document["exit_code"], document["tags"]) == (0, 0, ["1.0.0"])
    assert (document["linked"], document["copied"], document["failures"]) == (3, 0, [])
    assert document["repository"] == OTHER


def test_damage_is_named_on_stderr_and_the_exit_code_is_1(
    own_night: Night, tmp_path: Path, run: Run
):
    untagged = own_night.contents["untagged"]
    own_night.file_of(list(untagged.blobs)[-1]).unlink()
    exit_code, out, err = run(own_night.path, REPOSITORY, tmp_path / "app", "--quiet")
    assert exit_code == 1
    assert f"FAILED {untagged.digest}: " in err
    assert "NOT exported: 1 artifact" in out


def test_nothing_whole_is_said(own_night: Night, tmp_path: Path, run: Run):
    shutil.rmtree(own_night.path / "blobs")
    exit_code, out, _ = run(own_night.path, OTHER, tmp_path / "chart", "--quiet")
    assert exit_code == 1
    assert out.startswith(f"Nothing of {OTHER} could be exported")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["library/deep/ap"], "The nearest of 1 repository there: library/deep/app"),
        ([REPOSITORY, "--tag", "9"], "has no tag '9'"),
        ([REPOSITORY, "--snapshot", "1999"], "has no snapshot '1999'"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    night: Night, tmp_path: Path, run: Run, arguments: list[str], words: str
):
    repository, *options = arguments
    exit_code, out, err = run(night.path, repository, tmp_path / "app", "--quiet", *options)
    assert (exit_code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_directory_that_is_not_empty_is_refused(night: Night, tmp_path: Path, run: Run):
    (tmp_path / "mine").write_text("")
    exit_code, _, err = run(night.path, OTHER, tmp_path, "--quiet")
    assert exit_code == 2
    assert f"{tmp_path} is not empty" in err


def test_links_that_lead_in_a_circle_are_refused(night: Night, tmp_path: Path, run: Run):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    exit_code, _, err = run(night.path, OTHER, tmp_path / "a", "--quiet")
    assert exit_code == 2
    assert "is not a directory" in err


def test_a_link_that_leads_nowhere_is_refused(night: Night, tmp_path: Path, run: Run):
    (tmp_path / "link").symlink_to(tmp_path / "not there")
    exit_code, _, err = run(night.path, OTHER, tmp_path / "link", "--quiet")
    assert exit_code == 2
    assert "is a link to a directory that is not there" in err


# -- what reads it


def test_skopeo_reads_it(night: Night, exported: Path):
    skopeo = require_program("skopeo")
    for tag, name in (("1.0", "image"), ("2.0", "index")):
        raw = run_program([skopeo, "inspect", "--raw", f"oci:{exported}:{tag}"])
        assert digest_of(raw) == night.contents[name].digest


def test_skopeo_copies_it_to_a_registry(
    night: Night, exported: Path, plain_registry: PlainRegistry
):
    skopeo = require_program("skopeo")
    target = plain_registry.url.replace("http:", "docker:") + "/app:2.0"
    run_program(
        [
            *(skopeo, "--insecure-policy", "copy", "--all", "--preserve-digests"),
            *("--dest-tls-verify=false", f"oci:{exported}:2.0", target),
        ]
    )
    raw = run_program([skopeo, "inspect", "--raw", "--tls-verify=false", target])
    assert digest_of(raw) == night.contents["index"].digest


def test_oras_reads_it_with_referrers(night: Night, exported: Path):
    oras = require_go_program("oras")
    for tag, name in (("1.0", "image"), ("2.0", "index"), ("old", "docker"), ("nested", "nested")):
        raw = run_program([oras, "manifest", "fetch", "--oci-layout", f"{exported}:{tag}"])
        assert digest_of(raw) == night.contents[name].digest
    found = run_program([oras, "discover", "--oci-layout", f"{exported}:2.0"])
    assert night.contents["sbom"].digest in found
    assert night.contents["sbom of sbom"].digest in found


def test_regctl_copies_it_with_referrers(
    night: Night, exported: Path, tmp_path: Path, plain_registry: PlainRegistry
):
    regctl = require_go_program("regctl")
    environment = {"REGCTL_CONFIG": str(tmp_path / "regctl.json")}
    host = plain_registry.url.removeprefix("http://")
    run_program([regctl, "registry", "set", host, "--tls", "disabled"], **environment)
    for tag, name in (("1.0", "image"), ("2.0", "index"), ("old", "docker"), ("nested", "nested")):
        target = f"{host}/app:{tag}"
        source = f"ocidir://{exported}:{tag}"
        run_program([regctl, "image", "copy", "--referrers", source, target], **environment)
        digest = run_program([regctl, "image", "digest", target], **environment).strip()
        assert digest == night.contents[name].digest
    listed = run_program([regctl, "artifact", "list", f"{host}/app:2.0"], **environment)
    assert night.contents["sbom"].digest in listed


@pytest.mark.parametrize(("tag", "name"), [("1.0.0", "chart"), ("2.0", "index")])
def test_crane_pushes_an_export_of_one_tag(
    night: Night, tmp_path: Path, plain_registry: PlainRegistry, tag: str, name: str
):
    crane = require_go_program("crane")
    repository = OTHER if name == "chart" else REPOSITORY
    directory = tmp_path / "one"
    arguments = [night.path, repository, directory, "--tag", tag, "--copy", "--quiet"]
    assert cli.main(["export", *map(str, arguments)]) == 0
    if len(layout_entries(directory)) > 1:  # crane takes a layout of one entry: leave its referrers
        index = json.loads((directory / "index.json").read_text())
        index["manifests"] = index["manifests"][:1]
        (directory / "index.json").write_text(json.dumps(index))
    target = plain_registry.url.removeprefix("http://") + "/app:1"
    run_program([crane, "push", "--insecure", directory, target])
    digest = run_program([crane, "digest", "--insecure", target]).strip()
    assert digest == night.contents[name].digest


def test_readers_change_nothing_of_a_linked_export(
    night: Night, tmp_path: Path, plain_registry: PlainRegistry
):
    """Its files are the pool's own: who writes into one of them changes all nights."""
    directory = tmp_path / "linked"
    assert cli.main(["export", str(night.path), REPOSITORY, str(directory), "--quiet"]) == 0
    before = state_of(directory)
    host = plain_registry.url.removeprefix("http://")
    environment = {"REGCTL_CONFIG": str(tmp_path / "regctl.json")}
    regctl, oras = require_go_program("regctl"), require_go_program("oras")
    skopeo = require_program("skopeo")
    run_program([regctl, "registry", "set", host, "--tls", "disabled"], **environment)
    source = f"ocidir://{directory}:1.0"
    run_program([regctl, "image", "copy", "--referrers", source, f"{host}/r:1"], **environment)
    to = ["--to-plain-http", f"{host}/o:1"]
    run_program([oras, "cp", "-r", "--from-oci-layout", f"{directory}:2.0", *to])
    run_program(
        [
            *(skopeo, "--insecure-policy", "copy", "--dest-tls-verify=false"),
            *(f"oci:{directory}:1.0", f"docker://{host}/s:1"),
        ]
    )
    assert state_of(directory) == before


def state_of(directory: Path) -> dict[Path, tuple[int, int, int, bytes]]:
    found = {}
    for path in directory.rglob("*"):
        if path.is_file():
            status = path.stat()
            found[path] = (status.st_ino, status.st_mtime_ns, status.st_mode, path.read_bytes())
    return found
