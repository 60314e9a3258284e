"""Whether a login may bring settings back at all: found out before anything is read or written."""

from __future__ import annotations

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConfigurationError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient

_NO_ADMINISTRATOR = (
    "the login {user!r} is no administrator of {url}, so it can bring no settings back. Nothing "
    "was changed. Give the login of a system administrator"
)
_READS_ONLY = (
    "the robot {user!r} may create nothing at {url}, or may not tell what it may, so it can bring "
    "no settings back. Nothing was changed. Give the login of a system administrator"
)


def require_rights(client: HarborClient) -> None:
    """Make sure that a login is a system administrator's, or a robot's that may create something.

    What such a robot may not write is found out on the way, and is one finding each.

    Raises:
        HarborConfigurationError: It is neither.
        HarborProtocolError: Harbor does not say whose login it is.
    """
    user = client.get_current_user()
    if user is None:
        if not _may_create(client):
            raise HarborConfigurationError(_READS_ONLY.format(user=client.user, url=client.url))
        return
    if not user.get("username"):
        raise HarborProtocolError(f"{client.url} does not say whose login {client.user!r} is")
    # The second one is of those whom a directory makes administrators.
    if user.get("sysadmin_flag") is not True and user.get("admin_role_in_auth") is not True:
        raise HarborConfigurationError(_NO_ADMINISTRATOR.format(user=client.user, url=client.url))


def _may_create(client: HarborClient) -> bool:
    try:
        permissions = client.find_own_permissions()
    except HarborAuthError:
        return False
    return any(
        access.get("action") == "create"
        for permission in permissions or ()
        for access in permission.get("access") or ()
        if access.get("resource") not in ("repository", "artifact", "tag", "scan", "sbom")
    )
