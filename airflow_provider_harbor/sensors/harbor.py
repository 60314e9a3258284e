"""The sensor: waits for a Harbor that is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.configuration import conf

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    is_passing,
)
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.operators.telling import tells
from airflow_provider_harbor.triggers.harbor import HarborHealthTrigger, check_once

if TYPE_CHECKING:
    from airflow.sdk import Context


class HarborHealthSensor(BaseSensorOperator):
    """Wait until Harbor is there, healthy, and accepts the login; for instance after an upgrade.

    What may pass (nobody answers, an error of the server, an unhealthy component) is waited for.
    What does not (a wrong password, a certificate that does not verify) fails the task at once.

    :param harbor_conn_id: Connection of the Harbor.
    :param deferrable: Whether to wait in the triggerer, where it costs no worker; by default as
        ``[operators] default_deferrable`` says.
    """

    template_fields: Sequence[str] = ("harbor_conn_id",)
    ui_color = "#d9f0e3"

    def __init__(
        self,
        *,
        harbor_conn_id: str = HarborHook.default_conn_name,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harbor_conn_id = harbor_conn_id
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool:
        """Look once."""
        try:
            check_once(HarborHook(self.harbor_conn_id))
        except HarborBackupError as err:
            if not is_passing(err):
                raise
            self.log.info("Not yet: %s", err)
            return False
        return True

    @tells
    def execute(self, context: Context) -> None:
        """Wait, here or in the triggerer."""
        if not self.deferrable:
            super().execute(context)
        elif not self.poke(context):
            self.defer(
                trigger=HarborHealthTrigger(self.harbor_conn_id, self.poke_interval),
                method_name="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )

    @tells
    def execute_complete(self, context: Context, event: dict[str, str]) -> None:
        """End as the trigger says.

        On an error the worker looks itself, so that the task fails with the error as it is, which
        retry policies and callbacks can tell apart.

        :param event: What the trigger fired.
        """
        if event["status"] == "healthy":
            self.log.info("Harbor is healthy")
        elif not self.poke(context):
            raise HarborConfigurationError(f"the triggerer cannot use Harbor: {event['message']}")
