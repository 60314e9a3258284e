"""The backup itself, without Airflow: it imports and runs where Airflow is not installed.

    cli                             the command `harbor-backup`
    transfer, check                 copy a plan; prove the login and what it sees
    inventory, plan, store, report  what Harbor holds; what to copy; the files; how a run ended
    harbor, registry                Harbor's REST API; the OCI distribution API
    tokens                          the tokens of a registry
    transport                       HTTP: the only module that knows `requests`
    records, models, manifest       inventory records; Harbor's values; OCI content
    statuses, exceptions            an error status as an exception; the error tree

Import rule: each line may import the lines below it, never those above, and nothing here imports
Airflow or the hooks, operators, sensors, triggers and DAGs, which import this package. `ruff`
enforces it (TID251 in pyproject.toml).
"""
