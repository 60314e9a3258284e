"""The form that brings something back. A file to copy into your DAGs folder, and to change."""

from __future__ import annotations

from airflow_provider_harbor.dags import harbor_restore

harbor_restore(
    target="harbor_default",  # the connection to restore to; the form can name another
    store=None,  # a directory or URL; None for `[harbor] store` of airflow.cfg
    projects_at_once=4,
    # A connection whose password opens sealed secrets among the settings; and a Variable with those
    # that no backup has (see `harbor-backup settings import --help`).
    passphrase_connection=None,
    secrets_variable=None,
)
