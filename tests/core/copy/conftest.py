"""Fixtures of the tests of copying: every kind of place, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.http import attempts
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import Backup, reach, registry_login

KINDS = ("directory", "s3", "harbor", "harbor as a plain registry", "plain registry")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(attempts, "_FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place of each kind, empty. With `backup`, a store is that which has the inventories."""
    if kind == "directory":
        opened: Place = StorePlace(BackupStore(tmp_path / "store"))
    elif kind == "s3":
        server = request.getfixturevalue("s3")
        opened = StorePlace(BackupStore(f"s3://{server.new_bucket()}/a/prefix", **server.options))
    elif kind == "harbor":
        opened = reach(request.getfixturevalue("other_harbor"))
    elif kind == "plain registry":
        opened = reach(request.getfixturevalue("plain_registry"))
    else:
        double = request.getfixturevalue("other_harbor")
        for project in ("p", "q", "library"):
            double.create_project(project) if not double.state.project(project) else None
        opened = PlainRegistryPlace(registry_login(double))
    yield opened
    opened.close()


@pytest.fixture
def to_place(backup: Backup, place: Place) -> Backup:
    """The same as `backup`; where the place is a store, its lists are there, too."""
    if isinstance(place, StorePlace):
        backup.store = place.store
    return backup
