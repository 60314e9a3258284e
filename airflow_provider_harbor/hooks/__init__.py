"""Airflow hooks for Harbor."""
