"""The backup itself, without Airflow: it imports and runs where Airflow is not installed.

It has rooms, in this order. Each may import the rooms above it, never those below:

    exceptions, human, texts, locks   for everybody: the error tree; numbers and words for people
    stopping, side_by_side            likewise: having threads stop; many things, several at once
    http                              requests and answers
    oci                               registries and their content
    harbor                            Harbor's REST API, and what is read from it
    settings                          Harbor's settings: read, and written
    store                             the backup store: the only code that writes it
    copy                              from one place to another
    jobs                              what a person or a DAG asks for
    serve                             the store as a read-only registry
    cli                               the command line

Each room's `__init__.py` says what is in it, and what it knows nothing of. Nothing here imports
Airflow, nor the hooks, operators, sensors, triggers and DAGs, which import this package. `ruff`
holds that, and that one room only knows `requests`; a test holds the order.
"""
