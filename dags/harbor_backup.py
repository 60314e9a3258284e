"""The nightly backup of a Harbor. A file to copy into your DAGs folder, and to change."""

from __future__ import annotations

from airflow_provider_harbor.dags import harbor_backup

harbor_backup(
    schedule="30 3 * * *",
    time_zone="UTC",
    source="harbor_default",  # the connection of the Harbor to back up
    store=None,  # a directory or URL; None for `[harbor] store` of airflow.cfg
    # Which complete nights stay: the newest N, and the newest of each of the last N days, weeks,
    # months and years that have any. None keeps all nights, and never deletes.
    retention={
        "keep_last": 7,
        "keep_daily": 14,
        "keep_weekly": 8,
        "keep_monthly": 12,
        "keep_yearly": 3,
    },
    # How much load Harbor gets: so many projects at once, each with `workers` requests at most.
    projects_at_once=4,
    workers=64,
    # An administrator's connection: no robot may read Harbor's configurations. And one whose
    # password seals the secrets among the settings; without it only that they are there is kept.
    configurations_connection=None,
    passphrase_connection=None,
    # Who is told when a run has failed, and when it is green after that: Airflow's notifiers, such
    # as SmtpNotifier(to="registry@example.com"). With any, they can be told as well when the newest
    # complete backup is older than so many hours, such as 26 (that needs Airflow's triggerer).
    notifiers=[],
    tell_always=False,
    deadline_hours=None,
)

# Another Harbor is another call, with an id, a connection and a store of its own:
# harbor_backup("harbor_backup_lab", source="harbor_lab", store="/backup/harbor-lab")
