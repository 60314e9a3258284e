from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.night import Night
from tests.core.serve.running import Served, serving


@pytest.fixture(scope="package")
def served(night: Night) -> Iterator[Served]:
    """The night, served to everybody on this machine; its Harbor is gone."""
    with serving(night.store) as running:
        yield running
