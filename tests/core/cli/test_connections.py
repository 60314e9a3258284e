"""How both ends are reached: certificates and logins are given for each end of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from airflow_provider_harbor.core.cli import main as cli
from tests.core.rig import fill_small
from tests.double import HarborDouble

from .conftest import Command, Done


class Tls:
    """A Harbor with a certificate of its own CA, and the CA's file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.ca_file, certfile, keyfile = (folder / name for name in ("ca", "cert", "key"))
        authority.cert_pem.write_to_path(self.ca_file)
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(certfile, append=True)
        certificate.private_key_pem.write_to_path(keyfile)
        self.harbor = HarborDouble(certfile=certfile, keyfile=keyfile)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tls, Tls]]:
    """Two of them, whose authorities do not know each other; the first one has content."""
    folder = tmp_path_factory.mktemp("tls")
    source, target = Tls(folder / "source"), Tls(folder / "target")
    with source.harbor, target.harbor:
        fill_small(source.harbor)
        yield source, target


WRONG = "certificate does not verify"


def test_one_server_takes_the_plain_options(
    ends: tuple[Tls, Tls], command: Command, tmp_path: Path
) -> None:
    source, target = ends

    def listed(*more: object) -> Done:
        return command("inventory", source.harbor.url, "--output", tmp_path / "x", "--quiet", *more)

    assert listed("--ca-file", source.ca_file).code == 0
    for more in ((), ("--ca-file", target.ca_file)):
        done = listed(*more)
        assert (done.code, WRONG in done.error) == (2, True)
    done = listed("--insecure")
    assert done.code == 0
    assert done.err == "harbor-backup: warning: --insecure: nobody checks who answers\n"


def test_each_end_of_a_backup_has_its_own_certificates(
    ends: tuple[Tls, Tls], command: Command, kept: Path
) -> None:
    source, target = ends
    trusted = {"--ca-file": source.ca_file, "--to-ca-file": target.ca_file}

    def back_up(options: dict[str, Path]) -> Done:
        given = [each for pair in options.items() for each in pair]
        return command("backup", source.harbor.url, kept, "--to", target.harbor.url, *given)

    for lacking, end in (("--ca-file", source), ("--to-ca-file", target)):
        done = back_up({name: path for name, path in trusted.items() if name != lacking})
        assert done.code == 2
        assert WRONG in done.error
        assert end.harbor.url in done.error
    assert back_up(trusted).code == 0


def test_trusting_whoever_answers_at_one_end_trusts_nobody_at_the_other(
    ends: tuple[Tls, Tls], command: Command, kept: Path
) -> None:
    source, target = ends
    arguments = ("backup", source.harbor.url, kept, "--to", target.harbor.url)
    done = command(*arguments, "--insecure")
    assert done.code == 2
    assert f"{target.harbor.url}" in done.err.splitlines()[-1]
    done = command(*arguments, "--to-insecure")
    assert done.code == 2
    assert f"{source.harbor.url}" in done.err.splitlines()[-1]
    done = command(*arguments, "--insecure", "--to-insecure", "--quiet")
    assert done.code == 0
    assert done.err == (
        "harbor-backup: warning: --insecure and --to-insecure: nobody checks who answers\n"
    )


def test_restore_and_verify_reach_each_end_likewise(
    ends: tuple[Tls, Tls], command: Command, kept: Path
) -> None:
    source, target = ends
    ours, theirs = ("--ca-file", source.ca_file), ("--ca-file", target.ca_file)
    assert command("backup", source.harbor.url, kept, *ours).code == 0
    assert command("restore", kept, target.harbor.url).code == 2
    assert command("restore", kept, target.harbor.url, *theirs).code == 0
    mirror = ("restore", kept, source.harbor.url, *ours, "--from", target.harbor.url)
    assert command(*mirror).code == 2
    assert command(*mirror, "--from-ca-file", target.ca_file).code == 0
    both = ("verify", kept, "--source", source.harbor.url, "--mirror", target.harbor.url)
    assert command(*both, "--source-ca-file", source.ca_file).code == 2
    done = command(*both, "--source-ca-file", source.ca_file, "--mirror-ca-file", target.ca_file)
    assert done.code == 0


def test_a_file_of_certificates_that_is_not_there_is_named_with_its_option(
    ends: tuple[Tls, Tls], command: Command, kept: Path
) -> None:
    source, target = ends
    done = command(
        "backup", source.harbor.url, kept, "--to", target.harbor.url, "--to-ca-file", "/no/ca"
    )
    assert (done.code, done.error) == (2, "--to-ca-file: there is no file /no/ca")


# -- logins


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for end in ("SOURCE", "DESTINATION"):
        for name in ("USER", "PASSWORD"):
            monkeypatch.delenv(f"HARBOR_BACKUP_{end}_{name}")


@pytest.fixture
def robots(
    filled: HarborDouble, other_harbor: HarborDouble, tmp_path: Path
) -> list[tuple[str, Path]]:
    """A robot at each end, and the file that has its secret."""
    made = []
    for number, harbor in enumerate((filled, other_harbor)):
        path = tmp_path / f"secret-{number}"
        path.write_text(f"Secret-of-{number}\n")
        path.chmod(0o600)
        made.append((harbor.create_robot(f"r{number}", secret=f"Secret-of-{number}"), path))
    return made


def test_each_end_has_a_login_of_its_own(
    robots: list[tuple[str, Path]],
    filled: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    nobody: None,
) -> None:
    (user, secret), (to_user, to_secret) = robots
    options = ["--user", user, "--password-file", secret]
    to_options = ["--to-user", to_user, "--to-password-file", to_secret]
    arguments = (
        "backup",
        filled.url,
        kept,
        "--to",
        other_harbor.url,
        "--project",
        "alpha",
        "--dry-run",
    )
    done = command(*arguments, *options, *to_options)
    assert done.code == 0, done.err
    assert "Secret-of" not in done.err + done.out
    # Exchanged, neither end takes them.
    done = command(*arguments, *options, "--to-user", user, "--to-password-file", secret)
    assert done.code == 2
    assert f"the login '{user}' was not accepted" in done.error
    assert other_harbor.url in done.error


@pytest.mark.parametrize("end", ["SOURCE", "DESTINATION"])
def test_a_login_that_is_lacking_is_told_by_its_variables_and_docker_login(
    filled: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"HARBOR_BACKUP_{end}_{name}")
    done = command("backup", filled.url, kept, "--to", other_harbor.url)
    assert done.code == 2
    harbor = filled if end == "SOURCE" else other_harbor
    assert (
        f"no credentials were given. Set HARBOR_BACKUP_{end}_USER and HARBOR_BACKUP_{end}_PASSWORD "
        f"(or HARBOR_BACKUP_{end}_PASSWORD_FILE), or run: docker login "
        f"{harbor.url.partition('://')[2]}"
    ) in done.error


@pytest.mark.parametrize("end", ["SOURCE", "DESTINATION"])
def test_a_wrong_password_says_at_each_end_what_is_special_about_robots(
    filled: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    monkeypatch.setenv(f"HARBOR_BACKUP_{end}_PASSWORD", "not-it-9")
    done = command("backup", filled.url, kept, "--to", other_harbor.url)
    assert done.code == 2
    assert "Check name and password (of a robot: the whole name with its prefix" in done.error
    assert "not-it-9" not in done.err + done.out


def test_every_command_that_reaches_a_server_takes_its_login(
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = {
        "backup": ["", "to-"],
        "restore": ["", "from-"],
        "verify": ["source-", "mirror-"],
        "drill": [""],
        "inventory": [""],
        "settings export": [""],
        "settings diff": [""],
        "settings import": [""],
    }
    for words, begins in expected.items():
        with pytest.raises(SystemExit):
            cli.main([*words.split(), "--help"])
        shown = capsys.readouterr().out
        options = set(re.findall(r"(?m)^  --([a-z-]+)", shown))
        for begin in begins:
            for name in ("user", "password-file", "ca-file", "insecure"):
                assert begin + name in options, (words, begin + name)


@pytest.mark.parametrize("what", ["nothing", "a key"])
def test_a_file_without_certificates_is_named(
    ends: tuple[Tls, Tls], command: Command, kept: Path, tmp_path: Path, what: str
) -> None:
    source, _ = ends
    file = tmp_path / "ca.pem"
    file.write_bytes(source.ca_file.with_name("key").read_bytes() if what == "a key" else b"")
    done = command("backup", source.harbor.url, kept, "--ca-file", file)
    assert done.code == 2
    assert done.error.startswith(f"the file {file} has no certificates of a CA in the form PEM")


@pytest.mark.parametrize(
    ("words", "server"),
    [
        (("backup", "https://127.0.0.1:1", "/nowhere"), "to"),
        (("restore", "/nowhere", "https://127.0.0.1:1"), "from"),
        (("verify", "/nowhere"), "source"),
        (("verify", "/nowhere"), "mirror"),
    ],
)
@pytest.mark.parametrize("option", [("ca-file", "x"), ("user", "x")])
def test_how_to_reach_a_server_that_is_not_given_is_refused(
    command: Command, words: tuple[str, ...], server: str, option: tuple[str, ...]
) -> None:
    name, *value = option
    done = command(*words, f"--{server}-{name}", *value)
    assert (done.code, done.error) == (
        2,
        f"--{server}-{name} is given, and --{server} is not. Give --{server} URL, or leave "
        f"--{server}-{name} out",
    )
