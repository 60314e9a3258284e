"""Proof that backups can be read. A file to copy into your DAGs folder, and to change."""

from __future__ import annotations

from airflow_provider_harbor.dags import harbor_verify

harbor_verify(
    schedule="30 6 * * *",  # after the backup
    time_zone="UTC",
    source="harbor_default",  # the connection of the Harbor; None to ask it nothing
    store=None,  # a directory or URL; None for `[harbor] store` of airflow.cfg
    parts=28,  # every byte of the store was read after so many nights
    drill_target=None,  # the connection of a Harbor in which projects may be made and deleted
    drill_project="backup-drill",
    drill_day=6,  # Sunday
)
