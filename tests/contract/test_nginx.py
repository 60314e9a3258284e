"""What the nginx before a real Harbor makes of requests, and what it answers itself."""

from __future__ import annotations

import pytest

from tests.contract.client import API, Client, error_of
from tests.double import HarborDouble, Image

REPOSITORY = f"{API}/projects/team/repositories"
ESCAPED_ONCE, ESCAPED_TWICE = "tools%2Fcli", "tools%252Fcli"


@pytest.fixture
def direct():
    """A double that is reached at core itself."""
    with HarborDouble(behind_nginx=False) as harbor:
        harbor.create_project("team")
        harbor.push("team/tools/cli", Image("cli"), "v1")
        yield Client(harbor, harbor.user, harbor.password)


@pytest.mark.parametrize("below", ["", "/artifacts", "/artifacts/v1", "/artifacts/v1/accessories"])
def test_a_slash_that_is_escaped_once_is_no_route(harbor, admin, below):
    harbor.push("team/tools/cli", Image("cli"), "v1")
    assert admin.get(f"{REPOSITORY}/{ESCAPED_TWICE}{below}").status_code == 200
    for escape in ("%2F", "%2f", "/"):
        text = f"path {REPOSITORY}/tools/cli{below} was not found"
        answer = admin.get(f"{REPOSITORY}/tools{escape}cli{below}")
        assert error_of(answer) == (404, "NOT_FOUND", text)


def test_core_itself_takes_slashes_that_are_escaped_once_or_twice(direct):
    for name in (ESCAPED_ONCE, ESCAPED_TWICE):
        assert direct.get(f"{REPOSITORY}/{name}/artifacts/v1").status_code == 200
    assert direct.get(f"{REPOSITORY}/tools/cli/artifacts/v1").status_code == 404


def test_slashes_in_a_row_are_one(admin):
    assert admin.get("//api//v2.0/projects///team").json()["name"] == "team"


@pytest.mark.parametrize("path", ["/v2", "/api", "/service"])
def test_a_path_without_its_last_slash_is_moved_for_good(harbor, admin, path):
    answer = admin.get(path)
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"{harbor.url}{path}/"
    assert answer.headers["Content-Type"] == "text/html"


def test_v2_without_its_slash_is_refused_by_core_itself(direct):
    text = "un-recognized request: GET /v2"
    assert error_of(direct.get("/v2")) == (401, "UNAUTHORIZED", f"{text}: {text}")


def test_whatever_is_not_for_core_is_a_page_of_the_portal(admin):
    for path in ("/", "/harbor/projects", "/harbor/api/v2.0/projects"):
        page = admin.get(path)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")
        assert admin.send("POST", path, data="x").status_code == 405
    for path in ("/v1/search", "/service/notifications/jobs"):
        assert admin.get(path).headers["Content-Type"] == "text/html"
        assert admin.get(path).status_code == 404
    assert admin.get("/api/version").json() == {"version": "v2.0"}
