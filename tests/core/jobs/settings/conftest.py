"""Fixtures of the tests of settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.settings_replay import Service
from tests.core.settings_rig import services


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with services() as running:
        yield running
