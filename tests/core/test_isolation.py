"""Core and the command line import, and run, where Airflow is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import airflow_provider_harbor.core

DIRECTORY = Path(airflow_provider_harbor.core.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(DIRECTORY).with_suffix("").parts)
    for path in DIRECTORY.rglob("*.py")
    if path.stem[:2] != "__"
)
# A module that is None in sys.modules cannot be imported.
WITHOUT_AIRFLOW = """\
import sys
for name in ("airflow", "pendulum"):
    sys.modules[name] = None
"""


def run_without_airflow(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_AIRFLOW + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )


def test_there_are_modules():
    assert {"cli.main", "jobs.backup", "harbor.client", "exceptions"} <= set(MODULES)


def test_each_module_imports_alone_and_without_airflow():
    done = run_without_airflow(
        f"""
import importlib
for module in {MODULES}:
    for name in [name for name in sys.modules if name.startswith("airflow_provider_harbor")]:
        del sys.modules[name]
    importlib.import_module("airflow_provider_harbor.core." + module)
    layers = ("hooks", "operators", "sensors", "triggers")
    above = tuple("airflow_provider_harbor." + layer for layer in layers)
    loaded = [name for name in sys.modules if name.startswith(above)]
    assert not loaded, (module, loaded)
"""
    )
    assert done.returncode == 0, done.stderr


def test_the_command_line_runs_without_airflow():
    done = run_without_airflow(
        "from airflow_provider_harbor.core.cli.main import main\nmain(['--version'])\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("harbor-backup ")


def test_rich_is_loaded_only_where_something_is_drawn(tmp_path):
    """It takes a tenth of a second, and every cron job would pay it."""
    done = run_without_airflow(
        "from airflow_provider_harbor.core.cli.main import main\n"
        f"assert main(['snapshots', {str(tmp_path / 'no')!r}]) == 2\n"
        f"assert main(['inventory', 'http://127.0.0.1:1/x/y', '--output', '-']) == 2\n"
        "print('rich' in sys.modules)\n"
    )
    assert done.stdout == "False\n", done.stderr


def test_one_module_knows_what_draws():
    uses = {path.stem for path in DIRECTORY.rglob("*.py") if "from rich" in path.read_text()}
    assert uses == {"screen"}
