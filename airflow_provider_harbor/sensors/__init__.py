"""Airflow sensors for Harbor."""
