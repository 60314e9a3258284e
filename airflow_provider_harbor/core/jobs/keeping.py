"""Keep the report of a run in its store, where that can be written."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from airflow_provider_harbor.core.exceptions import StoreError
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

log = logging.getLogger(__name__)


class KeptReport(Protocol):
    """What of a report is kept."""

    @property
    def run(self) -> str:
        """Name of the run, and of its report."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""


class Report(KeptReport, Protocol):
    """How a run ended, whatever it was for."""

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""

    @property
    def is_interrupted(self) -> bool:
        """Whether it was told to stop."""

    def to_text(self) -> str:
        """Return it as aligned lines."""


def keep_report(store: BackupStore, report: KeptReport, page: str) -> str:
    """Keep a report.

    Args:
        store: Where.
        report: What is kept as JSON.
        page: The same as HTML.

    Returns:
        The URL of its page; empty where the store cannot be written, which is logged.
    """
    try:
        store.snapshots.write_report(report.run, report.to_json(), page)
    except StoreError as err:
        log.warning("The report is not kept: %s", err)
        return ""
    return store.files.url_of(layout.report(report.run, "html"))
