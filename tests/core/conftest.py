"""Fixtures of the core's tests: logins at the doubles, and what tests copy with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_harbor.core.oci import referrers
from tests.core.night import Night, make_night
from tests.core.rig import Backup, login, registry_login
from tests.double import HarborDouble, Image
from tests.registry_server import PlainRegistry


@pytest.fixture(autouse=True)
def short_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes lists of referrers here, so that nobody is waited for."""
    monkeypatch.setattr(referrers, "_MOMENT_SECONDS", 0.0)


@pytest.fixture
def plain_registry(tmp_path: Path) -> Iterator[PlainRegistry]:
    """An empty plain registry, running."""
    directory = tmp_path / "registry"
    directory.mkdir()
    with PlainRegistry(directory) as registry:
        yield registry


@pytest.fixture
def backup(harbor: HarborDouble, tmp_path: Path) -> Iterator[Backup]:
    """A login at `harbor`, and a store."""
    with login(harbor) as client, registry_login(harbor) as registry:
        yield Backup(client, registry, tmp_path / "store")


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A store with a night, for tests that do not change it."""
    return make_night(tmp_path_factory.mktemp("night") / "store")


@pytest.fixture
def own_night(night: Night, tmp_path: Path) -> Night:
    """A copy of it, which a test may damage."""
    path = tmp_path / "own-store"
    shutil.copytree(night.path, path)
    return Night(path, night.contents)


@pytest.fixture(params=["harbor", "plain registry"])
def target(
    request: pytest.FixtureRequest, other_harbor: HarborDouble
) -> HarborDouble | PlainRegistry:
    """Each kind of destination, empty."""
    if request.param == "harbor":
        return other_harbor
    registry: PlainRegistry = request.getfixturevalue("plain_registry")
    return registry


@pytest.fixture
def good_and_bad(harbor: HarborDouble, backup: Backup) -> None:
    """A Harbor with two projects of an image each, good and bad, and a store that is begun."""
    for name in ("good", "bad"):
        harbor.create_project(name)
        harbor.push(f"{name}/app", Image(name), "1")
    backup.store.begin_for(harbor.url)
