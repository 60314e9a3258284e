"""Fixtures of the tests of walks: small batches, and a Harbor of each kind of version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_harbor.core.harbor import batches, inventory
from tests.core.harbor.walks import VERSIONS
from tests.double import HarborDouble


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has four artifacts at most, and is listed after the one before it."""
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 4)
    monkeypatch.setattr(inventory, "BATCHES", 1)


@pytest.fixture(params=VERSIONS)
def harbor(request: pytest.FixtureRequest) -> Iterator[HarborDouble]:
    with HarborDouble(version=request.param) as double:
        double.create_project("p")
        yield double


@pytest.fixture
def newest() -> Iterator[HarborDouble]:
    with HarborDouble() as double:
        double.create_project("p")
        yield double
