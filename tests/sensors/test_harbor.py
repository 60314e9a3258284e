from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, TaskDeferred
from airflow.triggers.base import TriggerEvent

from airflow_provider_harbor.core.exceptions import HarborAuthError
from airflow_provider_harbor.operators.telling import HarborTaskFailed
from airflow_provider_harbor.sensors.harbor import HarborHealthSensor
from airflow_provider_harbor.triggers.harbor import HarborHealthTrigger
from tests.double import Fault, HarborDouble

Connect = Callable[..., str]
CONTEXT: Any = {}


@pytest.fixture
def conn_id(harbor: HarborDouble, connect: Connect) -> str:
    return connect("some_harbor", harbor)


def sensor(conn_id: str, **more: Any) -> HarborHealthSensor:
    known = {"poke_interval": 0.01, "timeout": 60, "deferrable": False}
    return HarborHealthSensor(task_id="wait", harbor_conn_id=conn_id, **(known | more))


def mend_after(harbor: HarborDouble, looks: int) -> None:
    """Let the Harbor be healthy again after so many looks at its health."""
    harbor.state.set_unhealthy("registry")
    harbor.faults.add(
        Fault(path="/health", skip=looks, callback=lambda _: harbor.state.set_healthy())
    )


# -- in a worker


def test_healthy_at_once(conn_id: str) -> None:
    assert sensor(conn_id).poke(CONTEXT) is True


def test_unhealthy_is_waited_for(harbor: HarborDouble, conn_id: str) -> None:
    mend_after(harbor, 2)
    sensor(conn_id).execute(CONTEXT)

    assert not harbor.state.unhealthy


def test_nobody_answers_is_waited_for(harbor: HarborDouble, conn_id: str) -> None:
    harbor.stop()
    assert sensor(conn_id).poke(CONTEXT) is False


def test_error_of_the_server_is_waited_for(harbor: HarborDouble, conn_id: str) -> None:
    harbor.faults.add(Fault(path="/ping", status=501, times=None))
    assert sensor(conn_id).poke(CONTEXT) is False


def test_wrong_login_is_not_waited_for(harbor: HarborDouble, connect: Connect) -> None:
    conn_id = connect("some_harbor", harbor, password="Wrong12345")
    with pytest.raises(HarborTaskFailed) as caught:
        sensor(conn_id).execute(CONTEXT)
    assert isinstance(caught.value.error, HarborAuthError)


def test_waiting_has_an_end(harbor: HarborDouble, conn_id: str) -> None:
    harbor.state.set_unhealthy("registry")
    with pytest.raises(AirflowSensorTimeout):
        sensor(conn_id, timeout=0.05).execute(CONTEXT)


# -- deferred


@pytest.mark.parametrize("setting", ["True", "False"])
def test_deferrable_as_the_setting_says(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    assert HarborHealthSensor(task_id="wait").deferrable is (setting == "True")


def test_healthy_at_once_is_not_deferred(conn_id: str) -> None:
    sensor(conn_id, deferrable=True).execute(CONTEXT)


def test_unhealthy_is_deferred(harbor: HarborDouble, conn_id: str) -> None:
    harbor.state.set_unhealthy("registry")
    with pytest.raises(TaskDeferred) as caught:
        sensor(conn_id, deferrable=True, timeout=30).execute(CONTEXT)

    assert isinstance(caught.value.trigger, HarborHealthTrigger)
    assert caught.value.method_name == "execute_complete"
    assert caught.value.timeout == timedelta(seconds=30)


def test_resumed_when_healthy(conn_id: str) -> None:
    sensor(conn_id).execute_complete(CONTEXT, {"status": "healthy"})


def test_resumed_with_an_error_fails_with_the_error_itself(
    harbor: HarborDouble, connect: Connect
) -> None:
    conn_id = connect("some_harbor", harbor, password="Wrong12345")
    with pytest.raises(HarborTaskFailed) as caught:
        sensor(conn_id).execute_complete(CONTEXT, {"status": "error", "message": "no"})
    assert isinstance(caught.value.error, HarborAuthError)


def test_resumed_with_an_error_of_the_triggerer_only(harbor: HarborDouble, conn_id: str) -> None:
    harbor.state.set_unhealthy("registry")
    with pytest.raises(HarborTaskFailed, match="the triggerer cannot use Harbor: no CA"):
        sensor(conn_id).execute_complete(CONTEXT, {"status": "error", "message": "no CA"})


# -- the trigger


def fire(conn_id: str) -> TriggerEvent:
    async def first() -> TriggerEvent:
        async for event in HarborHealthTrigger(conn_id, 0.01).run():
            return event
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(first(), timeout=30))


def test_trigger_waits(harbor: HarborDouble, conn_id: str) -> None:
    mend_after(harbor, 2)
    assert fire(conn_id).payload == {"status": "healthy"}


def test_trigger_sees_a_connection_that_was_mended(harbor: HarborDouble, connect: Connect) -> None:
    nobody = HarborDouble().start()
    nobody.stop()
    conn_id = connect("some_harbor", nobody)

    async def mend() -> None:
        await asyncio.sleep(0.5)
        connect("some_harbor", harbor)

    async def both() -> Any:
        mending = asyncio.create_task(mend())
        async for event in HarborHealthTrigger(conn_id, 0.01).run():
            await mending
            return event.payload

    assert asyncio.run(asyncio.wait_for(both(), timeout=30)) == {"status": "healthy"}


def test_trigger_fires_an_error_that_does_not_pass(harbor: HarborDouble, connect: Connect) -> None:
    conn_id = connect("some_harbor", harbor, password="Wrong12345")
    event = fire(conn_id).payload

    assert event["status"] == "error"
    assert "admin" in event["message"]
    assert "Wrong12345" not in event["message"]


def test_trigger_without_a_connection() -> None:
    assert "no connection 'nowhere'" in fire("nowhere").payload["message"]


def test_trigger_leaves_the_loop_free(harbor: HarborDouble, conn_id: str) -> None:
    harbor.faults.add(Fault(path="/ping", delay_seconds=2))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def both() -> None:
        ticking = asyncio.create_task(tick())
        async for _ in HarborHealthTrigger(conn_id, 0.01).run():
            ticking.cancel()
            return

    asyncio.run(both())
    assert ticks > 10


def test_trigger_is_kept_without_credentials(conn_id: str) -> None:
    path, arguments = HarborHealthTrigger(conn_id, 5.0).serialize()

    assert path == "airflow_provider_harbor.triggers.harbor.HarborHealthTrigger"
    assert arguments == {"harbor_conn_id": conn_id, "poke_interval": 5.0}
    assert HarborHealthTrigger(**arguments).serialize() == (path, arguments)
