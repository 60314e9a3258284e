"""The trigger: waits in the triggerer, where waiting costs no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_harbor.core.exceptions import HarborBackupError, is_passing
from airflow_provider_harbor.hooks.harbor import HarborHook


class HarborHealthTrigger(BaseTrigger):
    """Wait until a Harbor is healthy and accepts the login.

    Fires ``{"status": "healthy"}``, or ``{"status": "error", "message": ...}`` on a problem that
    waiting does not mend (a wrong password, a certificate that does not verify). It is kept in
    Airflow's database, and holds the connection's id only.

    :param harbor_conn_id: Connection of the Harbor.
    :param poke_interval: Seconds between two looks.
    """

    def __init__(self, harbor_conn_id: str, poke_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.harbor_conn_id = harbor_conn_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"harbor_conn_id": self.harbor_conn_id, "poke_interval": self.poke_interval},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look now and then; fire once."""
        while True:
            try:
                # In a thread, since the clients block. The hook is a new one each time: somebody
                # may change the connection meanwhile.
                await asyncio.to_thread(check_once, HarborHook(self.harbor_conn_id))
            except HarborBackupError as err:
                if not is_passing(err):
                    yield _event(status="error", message=str(err))
                    return
                self.log.info("Not yet: %s", err)
                await asyncio.sleep(self.poke_interval)
            else:
                yield _event(status="healthy")
                return


def _event(**payload: str) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]


def check_once(hook: HarborHook) -> None:
    """Check a Harbor with connections of its own.

    :param hook: Where to look.
    """
    with closing(hook.get_conn()):
        status = hook.check()
    hook.log.info("Harbor %s at %s is healthy", status.harbor_version, status.url)
