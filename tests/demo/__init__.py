"""`make demo` and `make ui`: the nightly backup of a sample Harbor, in a real Airflow."""
