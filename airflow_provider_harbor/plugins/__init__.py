"""Pages of Airflow's UI.

harbor    what Airflow loads at its start: an entry of the menu, and nothing that costs time
app       the pages, with their login and rights
sites     which stores the DAGs back up to, and who may see them
"""
