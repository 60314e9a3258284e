"""Backup stores by their addresses, with credentials from Airflow's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store.addresses import split_connection
from airflow_provider_harbor.core.store.aws import options_of_session
from airflow_provider_harbor.core.store.backup_store import BackupStore

if TYPE_CHECKING:
    from airflow.sdk import Connection


def open_store(url: str | None = None, *, conn_id: str | None = None) -> BackupStore:
    """Return the store at an address.

    :param url: A directory, or ``s3://conn_id@bucket/prefix``, where ``conn_id`` is a connection of
        type ``aws`` whose credentials, region and ``endpoint_url`` are used. Without ``conn_id@``,
        and for ``gs://`` and ``az://``, the environment of the worker has the credentials. By
        default the store of ``[harbor] store``.
    :param conn_id: Connection to use in place of the one in the URL, which must be of S3 then.
    :raises HarborConfigurationError: It is no address of a store, or the connection cannot be used.
    """
    url = str(url or conf.get_mandatory_value("harbor", "store"))
    named, address = split_connection(url)
    if conn_id and not address.lower().startswith("s3://"):
        raise HarborConfigurationError(
            f"the connection {conn_id!r} is for a store on S3, and this one is elsewhere: leave it "
            "out"
        )
    conn_id = conn_id or named
    return BackupStore(address, **(_aws_options(conn_id) if conn_id else {}))


def _aws_options(conn_id: str) -> dict[str, Any]:
    connection = _find_connection(conn_id)
    if connection.conn_type != "aws":
        raise HarborConfigurationError(
            f"the connection {conn_id!r} of the store is of type {connection.conn_type!r}, not aws"
        )
    try:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    except ImportError as err:
        raise HarborConfigurationError(
            f"the store names the connection {conn_id!r}, which needs Airflow's provider for AWS: "
            "pip install 'airflow-provider-harbor[s3]'"
        ) from err
    hook = AwsBaseHook(aws_conn_id=conn_id, client_type="s3")
    try:
        return options_of_session(
            hook.get_session(), hook.conn_config.get_service_endpoint_url("s3")
        )
    except ValueError as err:
        raise HarborConfigurationError(
            f"the connection {conn_id!r} of the store has no credentials, and none are found where "
            "AWS looks for them"
        ) from err


def _find_connection(conn_id: str) -> Connection:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as err:
        raise HarborConfigurationError(
            f"there is no connection {conn_id!r}, which the store names: create it in the UI "
            "(Admin, Connections, type Amazon Web Services), or correct the name"
        ) from err
