from __future__ import annotations

import configparser
import email
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import build


def files_of(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_the_sdist_has_all_that_a_clone_has(clone: Path, sdist: Path) -> None:
    lacking = {name for name in files_of(clone) if not (sdist / name).is_file()}

    assert lacking == set()
    # setup.cfg gets a section of the builder.
    differing = {n for n in files_of(clone) if (clone / n).read_bytes() != (sdist / n).read_bytes()}
    assert differing <= {"setup.cfg"}


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, made from the sdist."""
    directory = tmp_path_factory.mktemp("wheel")
    return zipfile.ZipFile(directory / build("wheel", sdist, directory))


def test_the_wheel_has_the_whole_package_and_nothing_else(
    clone: Path, wheel: zipfile.ZipFile
) -> None:
    package = {
        str(path.relative_to(clone))
        for path in (clone / "airflow_provider_harbor").rglob("*")
        # The linter's rules of a room are for those who change it.
        if path.is_file() and path.name != "ruff.toml"
    }

    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == package


def test_the_wheel_says_what_it_is_and_what_it_needs(wheel: zipfile.ZipFile) -> None:
    (path,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(wheel.read(path))

    assert metadata["Name"] == "airflow-provider-harbor"
    assert set(metadata.get_all("Provides-Extra", [])) == {"s3", "secrets", "serve", "test"}
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert "apache-airflow>=3.3" in needed
    assert metadata.get_payload().startswith("# airflow-provider-harbor")
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_the_wheel_has_the_command_and_is_found_by_airflow(wheel: zipfile.ZipFile) -> None:
    (path,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    points = configparser.ConfigParser()
    points.read_string(wheel.read(path).decode())

    assert dict(points["console_scripts"]) == {
        "harbor-backup": "airflow_provider_harbor.core.cli.__main__:run"
    }
    assert list(points["apache_airflow_provider"]) == ["provider_info"]
