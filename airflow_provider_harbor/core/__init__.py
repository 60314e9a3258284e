"""The backup itself, without Airflow: it imports and runs where Airflow is not installed.

    cli, commands, progress, credentials    the command `harbor-backup`
    backup                                  the steps of a run: list, copy, conclude
    transfer, blobs, referrers, failures    carry out a copy plan; what a failure means
    destination, check, giving_up           where copies go; prove login and sight; when to stop
    store, leases, storage                  the backup store, its format, its leases; atomic files
    report, report_page, results            how a run ended, for people; how a project did
    inventory, listing, plan                walk a project; what has to be copied, in which order
    harbor, pages, registry, blob_reader    Harbor's REST API; the OCI distribution API
    registry_answers, tokens                what a registry's answers mean; how to log in to it
    transport, attempts, locks              HTTP as the clients use it; trying again
    answers, statuses                       what comes back, within bounds; what an error means
    connections, connection_errors          sending one request; why there was no answer
    patience, echoes                        how long to wait; taking a login out of what comes back
    records, models, manifest, human        inventory records; Harbor's values; OCI content
    urls, names                             URLs of registries; names that may be part of a path
    texts                                   words of others, made fit to be shown
    exceptions                              the error tree

Import rule: each line may import the lines below it, never those above, and nothing here imports
Airflow or the hooks, operators, sensors, triggers and DAGs, which import this package. `ruff`
enforces the latter (TID251 in pyproject.toml), a test the former. Only the modules from transport
down to patience know `requests`.
"""
