"""Fixtures of the tests of notifications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.post_office import PostOffice, running_post_office


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    """A mail server and a webhook, with Airflow's connections to them."""
    with running_post_office() as running:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", running.smtp)
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", running.webhook)
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
        yield running
