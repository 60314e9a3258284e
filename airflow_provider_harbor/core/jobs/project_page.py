"""How one project fares, night by night, as a page; see `overview_page` for its links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.human import human_count, human_size, human_time
from airflow_provider_harbor.core.jobs.overview import Overview, State, read_overview, time_of
from airflow_provider_harbor.core.jobs.overview_page import PROJECT_STATES, page, size_section
from airflow_provider_harbor.core.jobs.page import escape, verdict
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.nights import NOTHING, Night

_SHOWN_NIGHTS = 60
_SHOWN_PROBLEMS = 20
_POINTS = 124


def render_project(
    store: BackupStore, name: str, *, crumbs: Sequence[tuple[str, str]] = ()
) -> str | None:
    """Return the page; None where no night names the project.

    Args:
        store: Where to look.
        name: Of the project.
        crumbs: Names and addresses of the pages above it.

    Raises:
        StoreError: The store cannot be read.
    """
    overview = read_overview(store)
    view = overview.project(name)
    if view is None:
        return None
    number = overview.names.index(name)
    nights = [n for n in overview.counted if n.size_of(number) != NOTHING or number in n.lacking]
    protected = (
        f"last protected {human_time(time_of(view.protected))}"
        if view.protected
        else ("never protected")
    )
    kind = "good" if view.state is State.GOOD else "bad" if view.state is State.BAD else "plan"
    text = (
        f"{PROJECT_STATES[view.state].capitalize()}, {protected}. "
        f"{human_count(view.digests, 'digest')}, {human_size(view.size_bytes)}."
    )
    return page(
        name,
        [
            verdict(kind, name, text),
            _problems(store, name, nights[-1]) if view.state is State.BAD else "",
            _growth(overview, number),
            _nights(nights, number),
        ],
        crumbs,
    )


def _problems(store: BackupStore, name: str, night: Night) -> str:
    """Say why it is not whole, by its result in the newest night that names it."""
    try:
        lines = list(_reasons(store, name, night))
    except HarborBackupError as err:
        lines = [str(err)]
    more = len(lines) - _SHOWN_PROBLEMS
    items = "".join(f"<li><p>{escape(line)}</p></li>" for line in lines[:_SHOWN_PROBLEMS])
    if more > 0:
        items += f"<li>and {more:,} more, all in the report</li>"
    when = human_time(time_of(night))
    return (
        f'<section class="problems"><h2>What happened in the night of {when}</h2>'
        f'<ul class="findings">{items}</ul></section>'
    )


def _reasons(store: BackupStore, name: str, night: Night) -> Iterator[str]:
    result = Results(store.results, night.run).find(name)
    if result is None:
        yield "It left no result: it was not begun, or was stopped on the way."
        return
    if result.error:
        yield result.error
    yield from (str(gap) for gap in result.gaps)
    yield from (str(finding) for finding in result.iter_findings(Status.FAILED))


def _growth(overview: Overview, number: int) -> str:
    nights = overview.counted
    last = len(nights) - 1
    count = min(len(nights), _POINTS)
    if count < 2:
        return ""
    sampled = [nights[at * last // (count - 1)] for at in range(count)]
    sizes = [None if (s := n.size_of(number)) == NOTHING else s for n in sampled]
    if sum(size is not None for size in sizes) < 2:
        return ""
    most = max(size for size in sizes if size is not None)
    label = (
        f"{time_of(sampled[0]):%Y-%m-%d} to {time_of(sampled[-1]):%Y-%m-%d}, at most "
        f"{human_size(most)}"
    )
    return size_section("Size of its images", sizes, label)


def _nights(nights: Sequence[Night], number: int) -> str:
    rows = "".join(_row(night, number) for night in nights[: -_SHOWN_NIGHTS - 1 : -1])
    more = len(nights) - _SHOWN_NIGHTS
    note = f'<p class="note">and {human_count(more, "older night")}</p>' if more > 0 else ""
    return (
        '<section><h2>Nights</h2><div class="scroll"><table class="cards"><thead><tr><th>Began</th>'
        '<th>State</th><th class="n">Digests</th><th class="n">Size</th><th>Report</th></tr>'
        f"</thead><tbody>\n{rows}</tbody></table></div>{note}</section>"
    )


def _row(night: Night, number: int) -> str:
    digests, size = night.digests_of(number), night.size_of(number)
    cells = '<td class="n"></td><td class="n"></td>'
    if size != NOTHING:
        cells = (
            f'<td class="n" data-name="Digests">{digests:,}</td>'
            f'<td class="n" data-name="Size">{human_size(size)}</td>'
        )
    state = '<td class="bad">not whole</td>'
    if size == NOTHING:
        state = '<td class="bad">not listed</td>'
    elif night.is_whole(number):
        state = '<td class="good">protected</td>'
    return (
        f"<tr><td>{human_time(time_of(night))}</td>{state}{cells}"
        f'<td><a href="../reports/{quote(night.key, safe="")}">Report</a></td></tr>\n'
    )
