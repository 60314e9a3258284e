"""Airflow triggers for Harbor."""
