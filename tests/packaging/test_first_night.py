"""A reader of the README: its lines are pasted into a shell beside a fresh Airflow.

It needs no network: the packages of this environment are those that the fresh Airflow has.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documentation import README, code_blocks, robot_access
from tests.double import HarborDouble, Image

pytestmark = pytest.mark.e2e


@dataclass
class Machine:
    """A user's machine with an Airflow, and nothing of this project."""

    home: Path
    site_packages: Path

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.home / 'venv/bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "NO_PROXY": "127.0.0.1,localhost",
            # What would ask a registry of packages fails instead.
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to switch it off by a variable
            "PIP_NO_COMPILE": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def start(self, script: str, cwd: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=cwd,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def paste(machine: Machine, script: str, cwd: Path) -> str:
    """Run lines in a shell, and return what they print; they must go well."""
    running = machine.start(script, cwd)
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 0, f"{script}\n{output}"
    return output


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An environment of its own, with all packages of this one but this project."""
    existing = tmp_path / "existing"
    existing.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        mine = entry.name.startswith(("airflow_provider_harbor", "__editable__"))
        if not mine and entry.suffix != ".pth":
            (existing / entry.name).symlink_to(entry)
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv/bin/python"
    for name, module in (("airflow", "airflow.__main__"), ("pip", "pip._internal.cli.main")):
        program = tmp_path / "venv/bin" / name
        program.write_text(f"#!{python}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        program.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = tmp_path / "venv/lib" / version / "site-packages"
    (site_packages / "existing.pth").write_text(f"{existing}\n")
    return Machine(tmp_path, site_packages)


def fill_in(lines: str, values: dict[str, str]) -> str:
    """Put a reader's own values in the place of the README's; each has to be there."""
    for example, value in values.items():
        assert example in lines
        lines = lines.replace(example, value)
    return lines


def test_the_lines_of_the_readme_lead_from_the_clone_to_a_green_night(
    machine: Machine, sdist: Path, harbor: HarborDouble
) -> None:
    digest = harbor.push("library/nginx", Image("nginx"), "1.27").digest
    permissions = [
        {"kind": "system", "namespace": "/", "access": robot_access("system")},
        {"kind": "project", "namespace": "*", "access": robot_access("project")},
    ]
    robot = harbor.state.create_robot("backup", permissions, secret="Robot-12345")
    lines = code_blocks(README, "bash")
    install = next(i for i, block in enumerate(lines) if block.startswith("export"))
    store = machine.home / "store"
    mine = {
        "/backup/harbor": str(store),
        '"host": "harbor.example.com", "port": 443': (
            f'"schema": "http", "host": "127.0.0.1", "port": {harbor.url.rpartition(":")[2]}'
        ),
        "robot$backup": robot.name,
        '"..."': json.dumps("Robot-12345"),
    }

    # The fresh Airflow gets its database while the package is made and installed.
    migration = machine.start("airflow db migrate", machine.home)
    installed = paste(machine, "\n".join(lines[:install]), sdist)
    migrated, _ = migration.communicate(timeout=300)
    assert migration.returncode == 0, migrated
    night = paste(machine, fill_in("\n".join(lines[install:]), mine), sdist)

    # pip has added this package, and moved no other one.
    assert "Successfully installed airflow-provider-harbor" in installed
    added = {p.name for p in machine.site_packages.iterdir() if p.suffix != ".pth"}
    assert {name.partition("-")[0] for name in added} == {"airflow_provider_harbor"}
    assert "Everything is protected" in night
    (snapshot,) = store.glob("snapshots/*/snapshot.json")
    assert list(json.loads(snapshot.read_text())["projects"]) == ["library"]
    assert (store / "blobs/sha256" / digest.removeprefix("sha256:")).is_file()
    assert "Robot-12345" not in night
