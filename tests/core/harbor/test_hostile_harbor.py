"""Harbor's REST API at servers that are none, or lie: whole lists, or one error that says why."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborProtocolError,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.harbor import pages
from airflow_provider_harbor.core.harbor.client import HarborClient
from tests.core.rig import fast_session, login
from tests.double import Fault, HarborDouble
from tests.double.server import ROBOT_SECRET
from tests.hostile_server import Asked, HostileServer, Said

DIGEST = "sha256:" + "a" * 64
ONE: dict[str, str] = {"X-Total-Count": "1"}
PROJECT = {"project_id": 1, "name": "p"}
API = "/api/v2.0"


@contextmanager
def client_of(say: Callable[[Asked], Said]) -> Iterator[tuple[HarborClient, list[Asked]]]:
    """Run a server, and return a login at it, and the requests that come."""
    with HostileServer(say) as server:
        session = fast_session(server.url)
        with HarborClient(server.url, "admin", "Hush-Hush1", session=session) as client:
            yield client, server.asked


# What each method asks, and what it can read.
CALLS: dict[str, tuple[Callable[[HarborClient], Any], Said]] = {
    "health": (lambda c: c.get_health(), (200, {}, {"status": "healthy", "components": []})),
    "systeminfo": (lambda c: c.get_system_info(), (200, {}, {"harbor_version": "v2.15.2"})),
    "statistics": (lambda c: c.get_statistics(), (200, {}, {"total_project_count": 1})),
    "user": (lambda c: c.get_current_user(), (200, {}, {"sysadmin_flag": True})),
    "quotas": (lambda c: list(c.iter_quota_projects()), (200, ONE, [{"ref": {"name": "p"}}])),
    "projects": (lambda c: list(c.iter_projects()), (200, ONE, [PROJECT])),
    "project": (lambda c: c.get_project("p"), (200, {}, PROJECT)),
    "repositories": (
        lambda c: list(c.iter_repositories("p")),
        (200, ONE, [{"id": 1, "name": "p/a"}]),
    ),
    "repository": (lambda c: c.get_repository("p", "a"), (200, {}, {"id": 1, "name": "p/a"})),
    "artifacts": (
        lambda c: list(c.iter_artifacts("p", "a")),
        (200, ONE, [{"id": 1, "digest": DIGEST}]),
    ),
    "artifact": (lambda c: c.get_artifact("p/a", DIGEST), (200, {}, {"id": 1, "digest": DIGEST})),
    "accessories": (
        lambda c: list(c.iter_accessories("p/a", DIGEST)),
        (200, ONE, [{"digest": DIGEST}]),
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_harbor_says_is_read(call: str) -> None:
    ask, said = CALLS[call]
    with client_of(lambda asked: said) as (client, _sent):
        assert ask(client)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b"[" * 100_000, b"<html>Sign in</html>", b"nul", b"\xff", b"[NaN]", 5, "text", None,
        [5], [[]], [None], {"status": 5, "components": {"a": 1}}, {"total_project_count": "x"},
        [{"ref": "x"}], [{"ref": {"name": [1]}}], [{"resource": 5}], [{"project_id": "1"}],
        [{**PROJECT, "metadata": [1]}], [{**PROJECT, "repo_count": "many"}],
        [{"id": 1, "digest": DIGEST, "size": [1]}], [{"id": 1, "digest": DIGEST, "labels": [1]}],
        [{"id": 1, "digest": DIGEST, "tags": [{"name": {}}]}], [{"id": 1, "name": {}}],
        [{"id": 1, "digest": DIGEST, "references": [{"child_digest": 5}]}],
        [{"id": 10**30, "name": "p/a"}],
    ],
    ids=lambda body: repr(body)[:30],
)  # fmt: skip
def test_a_broken_answer_is_one_error_that_names_the_request(call: str, body: Any) -> None:
    ask, _ = CALLS[call]
    said = None
    with client_of(lambda asked: (200, ONE, body)) as (client, _sent):
        try:
            ask(client)
        except HarborBackupError as err:
            said = err
    if said is not None:  # some of them can be read as something
        assert type(said) is HarborProtocolError
        assert re.match(r"GET http://127\.0\.0\.1:\d+/api/v2\.0/\S+ was answered 200", str(said))
        assert str(said).isprintable()
        assert len(str(said)) < 600


def test_a_page_with_thousands_of_tags_is_read() -> None:
    """It is some MB: more than any other answer of an API has."""
    tags = [{"id": number, "name": f"{number:0120}"} for number in range(12_000)]
    page = [{"id": 1, "digest": DIGEST, "tags": tags}]
    with client_of(lambda asked: (200, ONE, page)) as (client, _sent):
        (artifact,) = client.iter_artifacts("p", "a")
    assert len(artifact.tags) == len(tags)


LISTS = ["quotas", "projects", "repositories", "artifacts", "accessories"]


@pytest.mark.parametrize("call", LISTS)
@pytest.mark.parametrize("count", [None, "", "\xb2", "-1", "1.5", "many", "9" * 99])
def test_a_list_that_nobody_counted_is_none(call: str, count: str | None) -> None:
    ask, (status, _, items) = CALLS[call]
    headers = {} if count is None else {"X-Total-Count": count}
    with (
        client_of(lambda asked: (status, headers, items)) as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"^GET .*has no X-Total-Count"),
    ):
        ask(client)


@pytest.mark.parametrize("call", LISTS)
def test_a_list_that_is_cut_short_is_none(call: str) -> None:
    ask, _ = CALLS[call]
    with (
        client_of(lambda asked: (200, {"X-Total-Count": "3"}, [])) as (client, _sent),
        pytest.raises(UnsettledHarborError, match=r"^GET .*counts 3 more, and lists none"),
    ):
        ask(client)


@pytest.mark.parametrize(
    ("call", "counted"),
    [
        ("projects", lambda first: 150),
        ("projects", lambda first: 10**12),
        ("projects", lambda first: 101 + first),
        ("quotas", lambda first: 10**12),
        ("quotas", lambda first: 101 + first),
    ],
)
def test_a_list_without_an_end_ends(
    monkeypatch: pytest.MonkeyPatch, call: str, counted: Callable[[int], int]
) -> None:
    monkeypatch.setattr(pages, "_PUSHED_MEANWHILE", 1000)

    def say(asked: Asked) -> Said:
        query = parse_qs(urlsplit(asked.path).query)
        found = re.search(r"\[(\d+)~", unquote(asked.path))
        first = int(found[1]) if found else 100 * (int(query.get("page", ["1"])[0]) - 1)
        items = [
            {"project_id": number, "name": f"p{number}", "ref": {"name": f"p{number}"}}
            for number in range(first, first + 100)
        ]
        return 200, {"X-Total-Count": str(counted(first))}, items

    with (
        client_of(say) as (client, sent),
        pytest.raises(HarborProtocolError, match=r"^GET http.*the list has no end"),
    ):
        CALLS[call][0](client)
    assert len(sent) < 30


def test_a_list_that_goes_back_is_an_error() -> None:
    items = [{"project_id": n, "name": f"p{n}"} for n in (2, 1)]
    with (
        client_of(lambda asked: (200, {"X-Total-Count": "2"}, items)) as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"^GET .*not in the order of project_id"),
    ):
        list(client.iter_projects())


# -- names


@pytest.mark.parametrize("name", ["", "a/b", "..", "P", "a b", "a%2fb", "p?x", "{{ x }}"])
def test_a_project_that_is_none_is_not_asked_for(name: str) -> None:
    with client_of(lambda asked: (200, ONE, [])) as (client, sent):
        for call in (
            lambda: client.get_project(name),
            lambda: client.has_project(name),
            lambda: client.create_project(name),
            lambda: list(client.iter_repositories(name)),
            lambda: list(client.iter_artifacts(name, "app")),
            lambda: client.get_repository(name, "app"),
        ):
            with pytest.raises(HarborProtocolError, match="is not the name of a project"):
                call()
    assert sent == []


@pytest.mark.parametrize("name", ["", "../x", "A", "a b", "a%2fb", "p?x", "a//b"])
def test_a_repository_or_reference_that_is_none_is_not_asked_for(name: str) -> None:
    with client_of(lambda asked: (200, ONE, [])) as (client, sent):
        for call in (
            lambda: list(client.iter_artifacts("p", name)),
            lambda: client.get_repository("p", name),
            lambda: client.get_artifact(f"p/{name}", DIGEST),
            lambda: list(client.iter_accessories(f"p/{name}", DIGEST)),
        ):
            with pytest.raises(HarborProtocolError, match="is not the name of a repository"):
                call()
        for call in (
            lambda: client.get_artifact("p/app", f"{name}/.."),
            lambda: list(client.iter_accessories("p/app", f"{name}/..")),
        ):
            with pytest.raises(HarborProtocolError, match="is not a tag or digest"):
                call()
    assert sent == []


def test_an_older_harbor_with_one_bad_name_is_listed_but_for_that() -> None:
    def say(asked: Asked) -> Said:
        path = urlsplit(asked.path).path
        if path == f"{API}/systeminfo":
            return 200, {}, {"harbor_version": "v2.10.0"}
        if path == f"{API}/projects/p/repositories":
            items = [{"id": 1, "name": "p/../../x"}, {"id": 2, "name": "p/good"}]
            return 200, {"X-Total-Count": "2"}, items
        return 200, ONE, [{"id": 1, "digest": DIGEST}]

    with client_of(say) as (client, _sent):
        assert [a.repository for a in client.iter_artifacts("p")] == ["p/good"]


# -- what is created


def creating(status: int, *, is_there: bool, by: str = "GET") -> Callable[[Asked], Said]:
    """Return what answers a POST with a status, and says whether a project is there."""

    def say(asked: Asked) -> Said:
        if asked.method == "POST":
            return status, {}, b""
        if not is_there:
            return 404, {}, {"errors": [{"code": "NOT_FOUND", "message": "project p not found"}]}
        if asked.method == "GET" and by == "HEAD":
            return 403, {}, {"errors": [{"code": "FORBIDDEN", "message": "forbidden"}]}
        return 200, {}, PROJECT

    return say


@pytest.mark.parametrize("status", [200, 202, 204, 304])
def test_a_project_that_is_not_said_to_be_created_is_looked_for(status: int) -> None:
    for by in ("GET", "HEAD"):
        with client_of(creating(status, is_there=True, by=by)) as (client, _sent):
            client.create_project("p")
    with (
        client_of(creating(status, is_there=False)) as (client, _sent),
        pytest.raises(HarborProtocolError, match=rf"^POST .*{status}.*project p is not found"),
    ):
        client.create_project("p")


def test_a_project_that_is_created_is_not_looked_for() -> None:
    with client_of(creating(201, is_there=False)) as (client, sent):
        client.create_project("p")
    assert [asked.method for asked in sent] == ["POST"]


def test_a_page_for_maintenance_is_no_project() -> None:
    page: Said = (200, {"Content-Type": "text/html"}, "<html>Back soon</html>")
    with client_of(lambda asked: page) as (client, _sent):
        with pytest.raises(HarborProtocolError, match="not JSON"):
            client.has_project("p")
        with pytest.raises(HarborProtocolError, match=r"^POST .*project p is not found there"):
            client.create_project("p")


def test_a_project_that_the_login_may_not_read_is_there_all_the_same(harbor: HarborDouble) -> None:
    for name in ("mine", "other"):
        harbor.create_project(name)
    robot = harbor.create_robot("one", ["mine"])
    client = login(harbor, robot, ROBOT_SECRET)
    with pytest.raises(HarborAuthError):
        client.get_project("other")
    assert client.has_project("other")
    assert client.has_project("mine")
    assert not client.has_project("missing")


def test_a_project_is_found_with_one_request(harbor: HarborDouble) -> None:
    client = login(harbor)
    harbor.requests.reset()
    assert client.has_project("library")
    assert harbor.requests.total() == 1


def test_a_harbor_is_still_found_where_its_pages_are_compressed(harbor: HarborDouble) -> None:
    body = gzip.compress(b'{"status": "healthy", "components": []}')
    harbor.faults.add(
        Fault(
            path="/health",
            status=200,
            body=body,
            content_type="application/json",
            headers={"Content-Encoding": "gzip"},
        )
    )
    assert login(harbor).get_health().is_healthy
