"""Back up a Harbor container registry: an Apache Airflow provider and a command line."""

__version__ = "0.1.0"
