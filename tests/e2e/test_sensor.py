"""The sensor in a real triggerer."""

from __future__ import annotations

import pytest

from .conftest import Site

pytestmark = pytest.mark.e2e

DAG_ID = "wait_for_harbor"


def test_a_deferred_sensor_goes_on_when_harbor_is_healthy(site: Site) -> None:
    site.source.state.set_unhealthy("database")
    try:
        site.api.wait_for_dag(DAG_ID)
        run_id = site.api.trigger(DAG_ID)
        asked = site.source.requests.total()

        def waits_in_the_triggerer() -> bool:
            (instance,) = site.api.get_task_instances(DAG_ID, run_id)
            # A look is two requests here. The first one is the worker's, the others are not.
            return instance["state"] == "deferred" and site.source.requests.total() > asked + 4

        site.api.wait_until(waits_in_the_triggerer, "a deferred sensor")
    finally:
        site.source.state.set_healthy()

    assert site.api.wait_for_run(DAG_ID, run_id)["state"] == "success"
