"""The pages: all nights of the stores, their reports, and what is in them.

Who is not logged in gets 401, and who may not see the runs of a DAG that backs up to a store gets
403; Airflow itself protects nothing of a plugin. Pages have no scripts, and load nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Literal
from urllib.parse import quote

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dagrun import DagRun
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response

from airflow_provider_harbor.core.exceptions import HarborBackupError, describe
from airflow_provider_harbor.core.jobs.found_page import render_found, render_message
from airflow_provider_harbor.core.jobs.last_reports import read_last_reports
from airflow_provider_harbor.core.jobs.overview import Overview, read_overview
from airflow_provider_harbor.core.jobs.overview_page import render_store, render_stores, with_crumbs
from airflow_provider_harbor.core.jobs.project_page import render_project
from airflow_provider_harbor.core.jobs.search import search
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.units import run_name
from airflow_provider_harbor.plugins.sites import Site, find_sites, may_read, may_read_dags

log = logging.getLogger(__name__)

# So long a search may take, and so much it may find.
SEARCH_SECONDS = 10.0
SEARCH_MOST = 10_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Without a route of theirs they would be refused before anybody asks who is there.
_REFUSED_METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
_ROLE = "Ask for the right to see the runs of the DAG that makes the backups."


def _visible(user: GetUserDep, session: SessionDep) -> list[Site]:
    """Return the stores that the user may see."""
    sites = find_sites(session)
    allowed = may_read(user, {dag_id for site in sites for dag_id in site.guards})
    found = [site for site in sites if site.guards & allowed]
    if not found and (sites or not may_read_dags(user)):
        raise HTTPException(403, _ROLE)
    return found


Visible = Annotated[list[Site], Depends(_visible)]

# The dependency holds for each page; what only it can say is not said without it either.
app = FastAPI(
    title="Backups of Harbor",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(_visible)],
)


def _page(
    text: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    content = text.encode(errors="replace") if isinstance(text, str) else text
    return HTMLResponse(content, status, headers={**_HEADERS, **(headers or {})})


@app.exception_handler(StarletteHTTPException)
async def _refuse(request: Request, error: StarletteHTTPException) -> Response:
    titles = {401: "You are not logged in", 403: "You may not see this", 404: "Not found"}
    title = titles.get(error.status_code, "It does not work")
    text = render_message(title, [str(error.detail)])
    return _page(text, error.status_code, error.headers)


@app.exception_handler(RequestValidationError)
async def _misunderstand(request: Request, error: RequestValidationError) -> Response:
    return _page(render_message("Not understood", ["The address lacks something."]), 422)


@app.exception_handler(HarborBackupError)
async def _fail(request: Request, error: HarborBackupError) -> Response:
    log.warning("A page of the backups cannot be shown: %s", error)
    return _page(render_message("The store cannot be read", [str(error)]), 503)


@app.get("/")
def show_stores(sites: Visible) -> Response:
    """Show the stores; where there is one only, all of it."""
    if not sites:
        return _page(
            render_message(
                "No backups yet",
                [
                    "No DAG of this Airflow backs up a Harbor, or it has not been read yet.",
                    "A DAG is found by its tag harbor, and by the operators of "
                    "airflow-provider-harbor in it.",
                ],
            )
        )
    if len(sites) == 1:
        return RedirectResponse(f"stores/{sites[0].id}/", 307, headers=_HEADERS)
    return _page(render_stores([(f"stores/{s.id}/", s.shown, _try_to_read(s)) for s in sites]))


def _try_to_read(site: Site) -> Overview | str:
    try:
        return read_overview(open_store(site.address))
    except HarborBackupError as err:
        return str(err)
    except Exception as err:  # what one store holds must not hide the others
        log.exception("A store cannot be shown: %s", site.shown)
        return f"Something in this store is of no known form: {describe(err)}"


def _find(sites: list[Site], site_id: str) -> Site:
    for site in sites:
        if site.id == site_id:
            return site
    raise HTTPException(404, "No DAG whose runs you may see names this store.")


def _open(sites: list[Site], site_id: str) -> BackupStore:
    return open_store(_find(sites, site_id).address)


def _crumbs(sites: list[Site], up: str) -> list[tuple[str, str]]:
    """Return the way up from a page of a store.

    :param up: Address of the store's page, relative to this one; empty where it is that.
    """
    above = [("All stores", f"{up}../../")] if len(sites) > 1 else []
    return [*above, ("Backups", up)] if up else above


@app.get("/stores/{site_id}/")
def show_store(sites: Visible, site_id: str) -> Response:
    """Show all nights of a store, and its projects."""
    store = _open(sites, site_id)
    overview = read_overview(store)
    last = read_last_reports(store, datetime.now(timezone.utc))
    return _page(render_store(overview, last, crumbs=_crumbs(sites, "")))


@app.get("/stores/{site_id}/projects/{name}")
def show_project(sites: Visible, site_id: str, name: str) -> Response:
    """Show how a project fares, night by night."""
    text = render_project(_open(sites, site_id), name, crumbs=_crumbs(sites, "../"))
    if text is None:
        raise HTTPException(404, "No night of this store has a project of that name.")
    return _page(text)


@app.get("/stores/{site_id}/reports/{run}")
def show_report(sites: Visible, site_id: str, run: str) -> Response:
    """Show the report of a run, as it is in the store."""
    content = _open(sites, site_id).snapshots.read_report_page(run)
    if content is None:
        raise HTTPException(404, f"The store has no report of {run}: that comes at its end.")
    return _page(with_crumbs(content, _crumbs(sites, "../")))


@app.get("/stores/{site_id}/search")
def find(request: Request, sites: Visible, site_id: str, q: str = "") -> Response:
    """Look for something in all nights of a store."""
    site = _find(sites, site_id)
    crumbs = _crumbs(sites, "./")
    try:
        store = open_store(site.address)
        found = search(store, q[:500], seconds=SEARCH_SECONDS, most=SEARCH_MOST)
    except HarborBackupError as err:
        return _page(render_found(q, str(err), crumbs=crumbs))
    dag_id = min(site.restores, default="")
    text = render_found(
        q,
        found,
        store="" if dag_id else site.shown,
        restore_dag=dag_id or "harbor_restore",
        restore_href=_address_of(request, dag_id),
        crumbs=crumbs,
    )
    return _page(text)


def _address_of(request: Request, dag_id: str) -> str:
    """Return the address of a DAG; empty in a frame of Airflow's, which no link leads out of."""
    if not dag_id or request.headers.get("Sec-Fetch-Dest") == "iframe":
        return ""
    return f"{request.scope.get('root_path', '').removesuffix('/harbor')}/dags/{quote(dag_id)}"


@app.get("/run")
def show_run(
    sites: Visible,
    user: GetUserDep,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    of: Literal["", ".verify", ".drill"] = "",
) -> Response:
    """Lead to the report of a run of a DAG: this is where the buttons of its tasks lead."""
    mine = [site for site in sites if dag_id in site.backups | site.others]
    if not mine or not may_read(user, {dag_id}):
        raise HTTPException(403, _ROLE)
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if run is None:
        raise HTTPException(404, f"The DAG {dag_id} has no run {run_id} any more.")
    wanted = run_key(f"{run_name({'dag_run': run})}{of}")
    for site in mine:
        if found := _reports_of(open_store(site.address), wanted):
            address = f"stores/{site.id}/reports/{quote(found[-1], safe='')}"
            return RedirectResponse(address, 307, headers=_HEADERS)
    raise HTTPException(
        404,
        f"There is no report of the run {run_id} yet: the last task of the run writes it. A run "
        "that was given another store in its form has its report there.",
    )


def _reports_of(store: BackupStore, run: str) -> list[str]:
    """Return the reports of a run, the newest last: one that was cleared may have another."""
    names = store.snapshots.list_reports(since=run[:10])
    return [name for name in names if name == run or name.endswith(f".again.{run}")]


@app.api_route("/{path:path}", methods=["GET", *_REFUSED_METHODS])
def find_nothing(request: Request, path: str) -> Response:
    """Say that there is no such page, or nothing to do, to those who may know what there is."""
    if request.method in _REFUSED_METHODS:
        raise HTTPException(405, "These pages can be read only: ask with GET.", {"Allow": "GET"})
    raise HTTPException(404, "There is no such page.")
