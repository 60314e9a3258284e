"""Open a registry as a place, after finding out of which kind it is."""

from __future__ import annotations

from typing import Any

from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import HarborPlace, RegistryPlace
from airflow_provider_harbor.core.exceptions import HarborProtocolError, HarborStatusError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.oci.registry import RegistryClient


def open_registry(
    url: str,
    user: str = "",
    password: str = "",
    *,
    verify: bool | str = True,
    timeout_seconds: float = 60,
    login_advice: str = "",
) -> RegistryPlace:
    """Return a registry to copy to, and make sure that it takes the login. The caller closes it.

    Raises:
        HarborConnectionError: Nobody answers.
        HarborProtocolError: Neither a Harbor nor a registry answers.
        HarborAuthError: The login is not accepted.
        HarborRouteError: A proxy before a Harbor changes paths.
    """
    options: dict[str, Any] = {
        "verify": verify,
        "timeout_seconds": timeout_seconds,
        "login_advice": login_advice,
    }
    registry = RegistryClient(url, user, password, **options)
    client = HarborClient(url, user, password, **options)
    try:
        client.ping()
    except (HarborProtocolError, HarborStatusError):
        # No Harbor. Whether it is a registry at all is told by its own API.
        registry.ping()
        return PlainRegistryPlace(registry)
    registry.ping()
    _ = client.system_info  # proves the login
    client.check_paths()
    return HarborPlace(client, registry)
