"""Wait for Harbor without taking a worker: a DAG of the tests."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_harbor.sensors.harbor import HarborHealthSensor

with DAG("wait_for_harbor", schedule=None):
    HarborHealthSensor(task_id="wait", deferrable=True, poke_interval=0.5, timeout=120)
