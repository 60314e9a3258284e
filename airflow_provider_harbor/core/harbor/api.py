"""Harbor's REST API (`/api/v2.0`): requests, and what is answered as it is.

What a backup needs of projects and artifacts, `client` makes values of. Settings come and go as the
objects that they are: a field that nobody here knows is kept, too.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.harbor.clock import Clock
from airflow_provider_harbor.core.harbor.models import read_object
from airflow_provider_harbor.core.harbor.pages import Counted, PagedLists
from airflow_provider_harbor.core.http.answers import LIST_BYTES, Answer
from airflow_provider_harbor.core.http.transport import Client, HttpSession, basic_authorization
from airflow_provider_harbor.core.texts import shown

API = "/api/v2.0"
# Without it a purely numeric project name is read as an id. Source: swagger.yaml, isResourceName.
BY_NAME = {"X-Is-Resource-Name": "true"}
MAX_PAGE_SIZE = 100


class HarborApi(Client):
    """A login at the REST API of one Harbor. May be shared by threads.

    Args:
        session: The transport.
        user: A user's or robot's name; empty for no login.
        password: Its password or secret.
        page_size: Items for each page, 1 to 100.

    Attributes:
        page_size: Items for each page.
        clock: What time it is there.
    """

    def __init__(self, session: HttpSession, user: str, password: str, page_size: int) -> None:
        if not 1 <= page_size <= MAX_PAGE_SIZE:
            # Harbor takes 0 for "all at once", and answers 422 above 100.
            raise ValueError(f"page_size is {page_size}, not 1 to {MAX_PAGE_SIZE}")
        super().__init__(session, user)
        self._authorization = basic_authorization(user, password) if user else None
        self.page_size = page_size
        self._lists = PagedLists(functools.partial(self._ask, headers=BY_NAME), page_size)
        self.clock = Clock()

    def list_settings(
        self, path: str, params: Mapping[str, str], id_field: str = "id"
    ) -> Counted[Mapping[str, Any]]:
        """Return all items of a list, each once, and how many of them Harbor counts.

        Args:
            path: Of the list.
            params: More of the query.
            id_field: What tells an item from all others; one without it is told by all it has.

        Raises:
            UnsettledHarborError: It kept changing.
        """

        def id_of(item: Mapping[str, Any]) -> Hashable:
            found = item.get(id_field)
            return found if isinstance(found, (int, str)) else json.dumps(item, sort_keys=True)

        return self._lists.list_counted(path, params, read_object, id_of)

    def iter_project_settings(self) -> Iterator[Mapping[str, Any]]:
        """Yield every project that the login sees, by id, as Harbor answers it, with all it has.

        Raises:
            HarborProtocolError: One has no name, or no id.
        """
        return self._lists.iter_keyset(
            "/projects",
            "project_id",
            _read_named_project,
            lambda project: int(project["project_id"]),
            params={"with_detail": "true"},
        )

    def get_setting(
        self, path: str, *, field: str = "", may_be_none: bool = True
    ) -> Mapping[str, Any]:
        """Return one object; an empty one where the answer has no body, which says "none".

        Args:
            path: Where it is.
            field: One that each such object has, so that no other answer passes for an empty one.
            may_be_none: Whether there may be none.

        Raises:
            HarborProtocolError: It is another answer.
        """
        answer = self._ask(path, headers=BY_NAME)
        is_none = not answer.content.strip()
        found: Mapping[str, Any] = {} if is_none else answer.read(read_object)
        if field and field not in found and not (is_none and may_be_none):
            raise HarborProtocolError(f"the answer has no field {field!r}, which each Harbor gives")
        return found

    def write_setting(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Send an object, once: what Harbor refuses with 500 it refuses each time."""
        return self._send(method, path, headers=BY_NAME, json_body=body, repeatable=False)

    def delete(self, path: str) -> None:
        """Delete what is at a path of the API, see `paths`."""
        self._send("DELETE", path, headers=BY_NAME)

    # -- requests

    def _send(self, method: str, path: str, **kwargs: Any) -> Answer:
        answer = self._session.request(
            method, API + path, authorization=self._authorization, **kwargs
        )
        self.clock.hear(answer.headers)
        return answer

    def _ask(self, path: str, **kwargs: Any) -> Answer:
        return self._send("GET", path, limit_bytes=LIST_BYTES, **kwargs)


def _read_named_project(data: object) -> Mapping[str, Any]:
    """Return an item of the list of projects; what the settings of one need is in it."""
    project = read_object(data)
    number, name = project.get("project_id"), project.get("name")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(name, str):
        raise HarborProtocolError(f"a project has no name, or no id: {shown(project)}")
    return project
