"""Fixtures of the operators' tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.double import HarborDouble, Image


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr("airflow_provider_harbor.core.http.attempts._FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr("airflow_provider_harbor.core.http.tries._wait_seconds", lambda *_: 0.0)


@pytest.fixture
def night(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    connect: Callable[..., str],
    store: BackupStore,
) -> HarborDouble:
    """A Harbor whose night is in the store, and a connection `there` to an empty one."""
    from tests.operators.test_restore import PROJECTS, back_up

    store.begin_for(harbor.url)
    for project in PROJECTS:
        harbor.create_project(project)
    harbor.push("team-a/app", Image("app"), "v1")
    connect("harbor_default", harbor)
    connect("there", other_harbor)
    back_up(store)
    return harbor
