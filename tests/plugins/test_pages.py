"""The pages of the plugin: who sees them, what they say, and how they look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.browser import Browser, Page, running_browser
from tests.plugins.conftest import DIGEST, HOSTILE, VERIFY_RUN, Pages

pytestmark = pytest.mark.airflow

RUN = "2026-11-24T03-30-00Z.pages_backup.scheduled__24"
LAST_RUN = "2026-11-25T03-30-00Z.pages_backup.scheduled__25"
# Of the store where they have a `{}`.
PATHS = [
    "/",
    "{}/",
    "{}/projects/team",
    f"{{}}/reports/{RUN}",
    "{}/search?q=team",
    "/run?dag_id=pages_backup&run_id=x",
    "/run",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/no/such/page",
]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, pages: Pages) -> str:
    return str(request.param).format(pages.site)


def test_a_stranger_sees_nothing(pages: Pages, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": "_token=x"}):
        answer = pages.get(path, user=None, headers=headers)
        assert answer.status_code in (401, 403)
        assert "harbor.example.com" not in answer.text
    assert pages.get(path, user=None).status_code == 401


def test_who_may_not_see_the_dag_sees_nothing(pages: Pages, path: str) -> None:
    answer = pages.get(path, user="nobody")
    assert answer.status_code == 403
    assert "harbor.example.com" not in answer.text
    assert pages.store.url not in answer.text


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_than_get_tell_a_stranger_nothing(pages: Pages, method: str) -> None:
    for path in ("/", f"{pages.site}/", f"{pages.site}/projects/team", "/no/such/page"):

        def ask(user: str | None, path: str = path) -> requests.Response:
            headers = {"Authorization": f"Bearer {pages.token(user)}"} if user else {}
            url = f"{pages.url}/harbor{path}"
            return requests.request(method, url, headers=headers, timeout=60)

        assert [ask(user).status_code for user in (None, "nobody", "admin")] == [401, 403, 405]
        assert ask("admin").headers["Allow"] == "GET"


@pytest.mark.parametrize("user", ["admin", "reader"])
def test_who_may_see_the_dag_sees_its_store(pages: Pages, user: str) -> None:
    answer = pages.get(f"{pages.site}/", user=user)
    assert answer.status_code == 200
    assert "https://harbor.example.com" in answer.text
    assert "NOT everything is protected" in answer.text
    assert answer.text.count("<li><a class=") == 3


def test_a_cookie_of_the_ui_is_a_login(pages: Pages) -> None:
    cookies = {"_token": pages.token("reader")}
    assert pages.get(f"{pages.site}/", user=None, cookies=cookies).status_code == 200


def test_every_store_of_a_tagged_dag_is_listed_and_no_other(pages: Pages) -> None:
    text = pages.get("/").text
    assert f'href="{pages.site[1:]}/"' in text
    assert "NOT everything is protected" in text
    assert pages.other in text
    assert "there is no backup store at" in text
    assert "/nowhere" not in text


def test_a_store_that_is_not_there_says_so(pages: Pages) -> None:
    from airflow_provider_harbor.plugins.sites import Site

    answer = pages.get(f"/stores/{Site(pages.other).id}/")
    assert answer.status_code == 503
    assert "there is no backup store at" in answer.text
    assert pages.get("/stores/0123456789ab/").status_code == 404


def test_every_page_forbids_scripts_and_what_comes_from_elsewhere(pages: Pages) -> None:
    for path in PATHS:
        policy = pages.get(path.format(pages.site)).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    for path in PATHS[:3]:
        text = pages.get(path.format(pages.site)).text
        assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text)


def test_what_harbor_names_hold_is_escaped(pages: Pages) -> None:
    paths = ["/", f"{pages.site}/", f"{pages.site}/search?q=app:{HOSTILE}"]
    paths += [f"{pages.site}/search?q={HOSTILE}", f"{pages.site}/reports/{HOSTILE}"]
    paths += [f"{pages.site}/projects/{HOSTILE.replace('/', '%2F')}"]
    for path in paths:
        text = pages.get(path).text
        assert "<script" not in text, path
    found = pages.get(f"{pages.site}/search", params={"q": f"app:{HOSTILE}"}).text
    assert "team/app:&lt;script&gt;" in found


def test_a_report_is_served_from_the_store(pages: Pages) -> None:
    answer = pages.get(f"{pages.site}/reports/{RUN}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "the report of 24" in answer.text
    assert 'href="../">Backups</a>' in answer.text


@pytest.mark.parametrize("name", ["..%2F..%2Fstore", "%2e%2e%2fstore.json", "x" * 300])
def test_nothing_but_reports_is_served(pages: Pages, name: str) -> None:
    answer = pages.get(f"{pages.site}/reports/{name}")
    assert answer.status_code == 404
    assert "harbor_url" not in answer.text


def test_a_search_finds_tags_repositories_and_digests_with_what_to_paste(pages: Pages) -> None:
    for text in ("1.0", "app", DIGEST[7:17], f"team/app@{DIGEST}"):
        found = pages.get(f"{pages.site}/search", params={"q": text}).text
        assert "3 nights" in found
        assert "&quot;snapshot&quot;: &quot;2026-11-25T03-30-00Z" in found
        assert "&quot;repositories&quot;: [&quot;team/app&quot;]" in found
        assert "/dags/pages_restore" in found
    assert "nothing to look for" in pages.get(f"{pages.site}/search").text
    nothing = pages.get(f"{pages.site}/search", params={"q": "no-such-thing"}).text
    assert "0 places in 3 nights" in nothing


def test_a_run_leads_to_its_report_or_says_that_there_is_none_yet(pages: Pages) -> None:
    from airflow_provider_harbor.operators.report_link import report_address

    address = report_address("pages_backup", "manual")
    assert address == "/plugin/backups/harbor/run?dag_id=pages_backup&run_id=manual"
    with dag_run("pages_backup", "manual"):
        path = address.removeprefix("/plugin/backups/harbor")
        assert "There is no report of the run manual yet" in pages.get(path).text
        name = "2026-11-25T12-00-00Z.pages_backup.manual"
        again = f"2026-11-25T13-00-00.000000Z.again.{name}"
        for run in (name, again):
            pages.store.snapshots.write_report(run, {}, "<main>")
            answer = pages.get(path)
            assert answer.status_code == 307
            assert answer.headers["Location"] == f"{pages.site[1:]}/reports/{layout.run_key(run)}"
        assert pages.get(f"{path}&of=.verify").status_code == 404
    assert pages.get(path).status_code == 404
    assert pages.get("/run?dag_id=no_such_dag&run_id=manual").status_code == 403


class dag_run:
    """A run of a DAG, until the end of the block."""

    def __init__(self, dag_id: str, run_id: str) -> None:
        self._ids = {"dag_id": dag_id, "run_id": run_id}

    def __enter__(self) -> None:
        from datetime import datetime, timezone

        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        with create_session() as session:
            run = DagRun(
                **self._ids,
                run_after=datetime(2026, 11, 25, 12, tzinfo=timezone.utc),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state="failed",
            )
            session.add(run)

    def __exit__(self, *exc_info: object) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            session.execute(delete(DagRun).filter_by(**self._ids))


def test_airflow_loads_the_plugin_by_its_entry_point() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="airflow.plugins", name="harbor")
    assert found.load().name == "harbor"


def test_loading_the_plugin_imports_none_of_its_pages() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from airflow_provider_harbor.plugins.harbor import HarborPlugin; "
        "print([n for n in sys.modules if n.startswith(('airflow_provider_harbor.core', "
        "'airflow_provider_harbor.plugins.app', 'fastapi', 'obstore'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def opened(browser: Browser, pages: Pages, path: str, **options: Any) -> Page:
    return browser.open(f"{pages.url}{path}", cookies={"_token": pages.token("admin")}, **options)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window_and_none_runs_a_script(
    browser: Browser, pages: Pages, width: int, dark: bool, tmp_path: Path
) -> None:
    paths = ["/", f"{pages.site}/", f"{pages.site}/search?q=app", f"{pages.site}/projects/team"]
    for path in paths:
        page = opened(browser, pages, f"/harbor{path}", width=width, dark=dark)
        assert page.evaluate("document.title") != "Not found"
        assert page.overflow == 0, path
        assert page.refused == []
        assert page.evaluate("document.querySelectorAll('script').length") == 0
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (colour == "rgb(18, 22, 29)") is dark
        page.shoot(tmp_path / "page.png")
    page = opened(browser, pages, f"/harbor{pages.site}/reports/{RUN}", width=width)
    assert any("violates" in text for text in page.refused)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    ("run", "headline"),
    [(LAST_RUN, "NOT everything is protected"), (VERIFY_RUN, "1 damaged thing")],
)
def test_a_report_is_not_wider_than_its_window_and_nothing_is_cut_off(
    browser: Browser, pages: Pages, width: int, run: str, headline: str
) -> None:
    page = opened(browser, pages, f"/harbor{pages.site}/reports/{run}", width=width)
    assert page.evaluate("document.querySelector('h1').textContent") == headline
    assert page.overflow == 0
    beyond = (
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > "
        "innerWidth).map(e => e.textContent)"
    )
    assert page.evaluate(beyond) == []


def test_the_menu_of_the_ui_leads_to_the_page_in_it(browser: Browser, pages: Pages) -> None:
    page = opened(browser, pages, f"/plugin/backups/harbor{pages.site}/")
    heading = "document.querySelector('iframe')?.contentDocument?.querySelector('h1')?.textContent"
    assert page.wait_for(heading) == "NOT everything is protected"


def test_a_store_that_breaks_a_page_hides_no_other(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_harbor.plugins import app

    whole = app.read_overview

    def read(store: Any) -> Any:
        if store.url != pages.store.url:
            raise ZeroDivisionError("something of no known form")
        return whole(store)

    monkeypatch.setattr(app, "read_overview", read)
    monkeypatch.setattr(app, "open_store", BackupStore)
    answer = pages.get("/")
    assert answer.status_code == 200
    assert "https://harbor.example.com" in answer.text
    assert "Something in this store is of no known form" in answer.text
