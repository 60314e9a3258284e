"""The plugin: an entry *Backups* of Airflow's menu, and the pages behind it.

Every process of Airflow loads it, so it imports nothing: the pages come with the first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_harbor.operators.report_link import PAGES, ROUTE, base_path

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LazyApp:
    """An ASGI application that is imported when it is asked for the first time."""

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request."""
        from airflow_provider_harbor.plugins.app import app

        await app(scope, receive, send)


class HarborPlugin(AirflowPlugin):
    """Backups of Harbor, as a page of Airflow's UI."""

    name = "harbor"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": PAGES, "name": "Backups of Harbor"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Backups",
            "href": f"{base_path()}{PAGES}/",
            "destination": "nav",
            "category": "browse",
            "url_route": ROUTE,
        }
    ]
