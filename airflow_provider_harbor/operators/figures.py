"""Figures of a run as Airflow's metrics: StatsD or OpenTelemetry, whichever Airflow sends.

They are sent once, when a run is concluded, whatever came of it. Names begin with Airflow's own
prefix, and carry the DAG as a tag, as Airflow's do:

    harbor.backup.complete            gauge    1 when everything is protected, else 0
    harbor.backup.projects            gauge    projects that were to be backed up
    harbor.backup.projects_failed     gauge    of them, those that are not protected
    harbor.backup.digests             gauge    what Harbor holds, attestations excluded
    harbor.backup.size_bytes          gauge    sum of all images
    harbor.backup.digests_copied      counter  sent by this run
    harbor.backup.bytes_copied        counter  sent by this run
    harbor.backup.digests_failed      counter  that this run could not copy
    harbor.backup.duration            timer    from the start of the run to its end
    harbor.backup.last_complete       gauge    when the newest complete backup ended, Unix seconds
    harbor.backup.age                 gauge    how old it is now, in seconds

Where Airflow's metrics have tags there are those of each project too, of 200 at most, those that
failed first, with the tag `project`: harbor.project.protected, .digests, .size_bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from airflow.sdk.configuration import conf
from airflow.sdk.observability.stats import gauge, incr, timing

from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.trail import find_last_complete
from airflow_provider_harbor.core.store.backup_store import BackupStore

log = logging.getLogger(__name__)

# Each project is a line of its own in whatever stores them.
_PROJECTS = 200
_TAGGED = ("statsd_influxdb_enabled", "statsd_datadog_enabled", "otel_on")
# Any of these has Airflow send metrics.
_SENDING = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def send_figures(
    store: BackupStore, report: RunReport, dag_id: str, limited_to: Sequence[str]
) -> None:
    """Send the figures of a run; what goes wrong is logged, and no reason to fail.

    :param store: Where the nights are.
    :param report: How the run ended.
    :param dag_id: Of the run.
    :param limited_to: Names and globs of projects to which the run was limited.
    """
    if not _is_any_on(_SENDING):
        return  # what nobody gets is not worth reading the newest nights for
    try:
        _send_run(report, {"dag_id": dag_id})
        _send_projects(report, {"dag_id": dag_id})
        _send_age(find_last_complete(store, limited_to), {"dag_id": dag_id})
    except (HarborBackupError, OSError, ValueError) as err:
        log.warning("Not all figures could be sent as metrics: %s", err)


def _is_any_on(options: Sequence[str]) -> bool:
    return any(conf.getboolean("metrics", name, fallback=False) for name in options)


def _send_run(report: RunReport, tags: dict[str, str]) -> None:
    counts = report.counts
    gauge("harbor.backup.complete", int(report.complete), tags=tags)
    gauge("harbor.backup.projects", report.expected, tags=tags)
    gauge("harbor.backup.projects_failed", len(report.unprotected), tags=tags)
    gauge("harbor.backup.digests", counts.digests, tags=tags)
    gauge("harbor.backup.size_bytes", counts.size_bytes, tags=tags)
    incr("harbor.backup.digests_copied", report.copied, tags=tags)
    incr("harbor.backup.bytes_copied", report.bytes_copied, tags=tags)
    incr("harbor.backup.digests_failed", report.failed, tags=tags)
    timing("harbor.backup.duration", timedelta(seconds=report.seconds), tags=tags)


def _send_projects(report: RunReport, tags: dict[str, str]) -> None:
    if not _is_any_on(_TAGGED):
        return  # without tags they would all have one name
    failed = set(report.unprotected)
    for name in report.missing[:_PROJECTS]:
        gauge("harbor.project.protected", 0, tags={**tags, "project": name})
    left = max(_PROJECTS - len(report.missing), 0)
    results = sorted(report.projects, key=lambda r: (r.project not in failed, r.project))
    for result in results[:left]:
        own = {**tags, "project": result.project}
        gauge("harbor.project.protected", int(result.ok), tags=own)
        if result.inventory:
            gauge("harbor.project.digests", result.inventory.counts.digests, tags=own)
            gauge("harbor.project.size_bytes", result.inventory.counts.size_bytes, tags=own)


def _send_age(newest: datetime | None, tags: dict[str, str]) -> None:
    if newest is None:
        return  # nothing is said of what is not known
    gauge("harbor.backup.last_complete", newest.timestamp(), tags=tags)
    age = (datetime.now(timezone.utc) - newest).total_seconds()
    gauge("harbor.backup.age", max(age, 0), tags=tags)
