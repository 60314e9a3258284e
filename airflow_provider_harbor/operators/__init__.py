"""Airflow operators for Harbor."""
