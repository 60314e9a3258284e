"""Doubles and clients for the tests of the double."""

from __future__ import annotations

import pytest

from tests.contract.client import Client
from tests.double import HarborDouble


@pytest.fixture
def harbor():
    with HarborDouble() as harbor:
        harbor.create_project("team")
        yield harbor


@pytest.fixture
def admin(harbor):
    return Client(harbor, harbor.user, harbor.password)
