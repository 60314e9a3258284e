"""All nights of a store as a page: are they whole, how does each project fare, what grows?

Links are relative to the page's own address, below which are `reports/<run>`, `projects/<name>` and
`search?q=...`. There are no scripts, and nothing comes from elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from airflow_provider_harbor.core.human import (
    human_count,
    human_duration,
    human_moment,
    human_size,
    human_time,
)
from airflow_provider_harbor.core.jobs.last_reports import LOOK_BACK, LastReport
from airflow_provider_harbor.core.jobs.overview import (
    Overview,
    ProjectView,
    State,
    state_of,
    time_of,
)
from airflow_provider_harbor.core.jobs.page import document, escape, facts, verdict
from airflow_provider_harbor.core.jobs.plots import plot
from airflow_provider_harbor.core.store.nights import NOTHING, Night

_SHOWN_NAMES = 5
_SHOWN_NIGHTS = 14
_STATES = {State.GOOD: "complete", State.PARTIAL: "partial", State.BAD: "nothing protected"}
PROJECT_STATES = {
    State.GOOD: "protected",
    State.BAD: "not protected",
    State.GONE: "not backed up any more",
}

STYLE = """
.crumbs { background: none; border: 0; padding: 0 .25rem; }
.crumbs a, a { color: var(--link); }
a { text-decoration: none; }
a:hover { text-decoration: underline; }
header a { color: inherit; text-decoration: underline; }
.nights { display: flex; flex-wrap: wrap; gap: 3px; align-items: flex-end; padding: 0;
  list-style: none; }
.nights a { display: block; width: 9px; height: 24px; border-radius: 2px;
  background: linear-gradient(to top, var(--mark) var(--high), var(--line) var(--high)); }
.nights.few a { width: 22px; height: 34px; }
.nights.many { gap: 2px; }
.nights.many a { width: 6px; height: 13px; border-radius: 1px; }
.nights a:focus, .nights a:hover { outline: 2px solid var(--ink); }
.nights .good, .dot.good { --mark: var(--copied); --high: 100%; }
.nights .warn, .dot.warn { --mark: var(--skipped); --high: 60%; }
.nights .bad, .dot.bad { --mark: var(--failed); --high: 30%; }
.nights .limited { border: 1px dashed var(--soft); }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: .2em;
  background: var(--mark); margin-right: .4em; }
.plot { display: block; width: 100%; min-width: 5rem; height: 1.75rem; }
.plot.large, .large .plot { height: 6rem; }
.plot path { fill: none; stroke: var(--link); stroke-width: 1.5;
  vector-effect: non-scaling-stroke; }
.plot .area { fill: var(--link); stroke: none; opacity: .14; }
td.plots { width: 22%; }
.plot { overflow: visible; }
form { display: flex; gap: .5rem; flex-wrap: wrap; }
input { flex: 1 1 14rem; min-width: 0; font: inherit; padding: .45rem .6rem; color: inherit;
  background: var(--page); border: 1px solid var(--line); border-radius: .35rem; }
button { font: inherit; padding: .45rem 1rem; border: 0; border-radius: .35rem; color: #fff;
  background: #2f5fb3; cursor: pointer; }
td.gone { color: var(--soft); }
pre.values { margin: .5rem 0; padding: .6rem; background: var(--page); border-radius: .35rem;
  border: 1px solid var(--line); white-space: pre-wrap; overflow-wrap: anywhere;
  user-select: all; -webkit-user-select: all; font: .86em/1.45 ui-monospace, monospace; }
details summary { cursor: pointer; color: var(--link); }
.lasts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
.lasts h3 { margin: 0 0 .2rem; }
:root { --link: #2458b0; }
@media (prefers-color-scheme: dark) { :root { --link: #7aa7f5; } }
"""


def render_store(
    overview: Overview, last: Sequence[LastReport], *, crumbs: Sequence[tuple[str, str]] = ()
) -> str:
    """Return the page of a store.

    Args:
        overview: Its nights.
        last: Its last reports of other kinds.
        crumbs: Names and addresses of the pages above it.
    """
    projects = overview.projects()
    return page(
        f"Backups of {overview.harbor_url}",
        [
            _verdict(overview, projects),
            _nights(overview),
            search_form(""),
            _growth(overview),
            _projects(overview, projects),
            _lasts(last),
            _newest(overview),
            facts([("Harbor", overview.harbor_url), ("store", overview.url)]),
        ],
        crumbs,
    )


def render_stores(found: Iterable[tuple[str, str, Overview | str]]) -> str:
    """Return the page of several stores.

    Args:
        found: Of each store its address relative to this page, its name, and its nights, or why
            they cannot be read.
    """
    parts = []
    for href, name, overview in found:
        title = f'<h2><a href="{escape(href)}">{escape(name)}</a></h2>'
        if isinstance(overview, str):
            parts.append(f'<section class="problems">{title}<p>{escape(overview)}</p></section>')
            continue
        kind, headline, text = judge(overview, overview.projects())
        parts.append(
            f'<section>{title}<p><i class="dot {kind}"></i><b>{escape(headline)}</b></p>'
            f"<p>{escape(text)}</p><p>{escape(overview.harbor_url)}</p>"
            f"{_strip(overview, prefix=escape(href))}</section>"
        )
    return page("Backups", parts)


def page(title: str, parts: Iterable[str], crumbs: Sequence[tuple[str, str]] = ()) -> str:
    """Return a page in the style of these, with links to those above it."""
    links = " / ".join(f'<a href="{escape(href)}">{escape(name)}</a>' for name, href in crumbs)
    head = f'<nav class="crumbs">{links}</nav>' if links else ""
    return document(title, [head, *parts], style=STYLE)


def with_crumbs(content: bytes, crumbs: Sequence[tuple[str, str]]) -> bytes:
    """Return the page of a report, as the store has it, with links to the pages above it."""
    links = " / ".join(
        f'<a style="color:inherit" href="{escape(href)}">{escape(name)}</a>'
        for name, href in crumbs
    )
    style = "background:none;border:0;padding:0 .25rem"
    nav = f'<main>\n<nav style="{style}">{links}</nav>'
    return content.replace(b"<main>", nav.encode(), 1) if links else content


def judge(overview: Overview, projects: Sequence[ProjectView]) -> tuple[str, str, str]:
    """Return how a store fares: good or bad, in a few words, and in a sentence or two."""
    newest, complete = overview.judged, overview.newest_complete
    if newest is None:
        return "bad", "No backup has come to its end yet", _unended(overview) + _to_come(overview)
    since = (
        f"The last complete night began {_ago(overview, complete)}."
        if complete
        else ("No night is complete.")
    )
    later = [key for key in overview.unended if key > newest.key]
    if later:
        since += f" {human_count(len(later), 'later run')} going on, or cut short."
    since += _to_come(overview)
    if any(key > newest.key for key in overview.damages):
        return "bad", "The newest night cannot be read", since
    bad = [project.name for project in projects if project.state is State.BAD]
    if bad or not newest.complete:
        lacking = f"Not protected as of the last night: {_names(bad)}. " if bad else ""
        if not bad:
            lacking = f"The newest night, {human_time(time_of(newest))}, is not complete. "
        return "bad", "NOT everything is protected", lacking + since
    if overview.is_late:
        return "bad", "The next backup is overdue", since
    if late := overview.late(projects):
        oldest = min(time_of(project.protected) for project in late if project.protected)
        text = (
            f"Not backed up for too long: {_names([project.name for project in late])}. The oldest "
            f"of their newest backups is of {human_time(oldest)}: later runs were limited to "
            "others. To leave projects out for good, exclude them. "
        )
        return "bad", "The next backup of some projects is overdue", text + since
    count = sum(project.state is State.GOOD for project in projects)
    limit = f" It was limited to {', '.join(newest.limited_to)}." if newest.limited_to else ""
    return (
        "good",
        "Everything is protected",
        f"{human_count(count, 'project')}, {human_size(newest.size_bytes)}. {since}{limit}",
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _to_come(overview: Overview) -> str:
    if not (keys := [night.key for night in overview.to_come]):
        return ""
    return (
        f" Not counted, since the clock of the machine must have been wrong: {_names(keys)} "
        f"{'is' if len(keys) == 1 else 'are'} dated in the future."
    )


def _verdict(overview: Overview, projects: Sequence[ProjectView]) -> str:
    kind, headline, text = judge(overview, projects)
    notes = "".join(
        f"<p>{escape(line)}</p>"
        for line in (
            *(f"A snapshot cannot be read: {why}" for why in overview.damages.values()),
            _unread(overview),
        )
        if line
    )
    return verdict(kind, headline, text) + (
        f'<section class="problems">{notes}</section>' if notes else ""
    )


def _unread(overview: Overview) -> str:
    if not overview.unread:
        return ""
    return (
        f"{human_count(overview.unread, 'older night')} not shown: to read them takes too long. "
        "They are shown after the next backup."
    )


def _unended(overview: Overview) -> str:
    if not overview.unended:
        return "The first run of the backup makes one."
    return f"{human_count(len(overview.unended), 'run')} going on, or cut short."


def _ago(overview: Overview, night: Night) -> str:
    began = time_of(night)
    seconds = (overview.now - began).total_seconds()
    ago = human_duration(seconds) if seconds < 172_800 else f"{int(seconds // 86_400):,} days"
    return f"{human_time(began)}, {ago} ago"


def _nights(overview: Overview) -> str:
    counts = Counter(state_of(night) for night in overview.nights)
    legend = "".join(
        f'<li><i class="dot {state}"></i>{counts[state]:,} {text}</li>'
        for state, text in _STATES.items()
    )
    if overview.damages:
        legend += f"<li>{len(overview.damages):,} not readable</li>"
    if overview.unended:
        legend += f"<li>{len(overview.unended):,} going on, or cut short</li>"
    return (
        f"<section><h2>Nights</h2>{_strip(overview)}"
        f'<ul class="legend">{legend}</ul><p class="note">The oldest first. Each leads to its '
        "report.</p></section>"
    )


def _strip(overview: Overview, prefix: str = "") -> str:
    count = len(overview.nights)
    number = " few" if count <= 31 else " many" if count > 366 else ""
    items = "".join(
        f'<li><a class="{state_of(night)}{" limited" if night.limited_to else ""}" '
        f'href="{prefix}reports/{quote(night.key, safe="")}" title="{escape(_title(night))}">'
        "</a></li>"
        for night in overview.nights
    )
    return f'<ol class="nights{number}">{items}</ol>'


def _title(night: Night) -> str:
    limit = f", limited to {', '.join(night.limited_to)}" if night.limited_to else ""
    return f"{night.started_at[:16].replace('T', ' ')}: {_STATES[state_of(night)]}{limit}"


def search_form(text: str) -> str:
    """Return the form for what is looked for, filled in with a text."""
    return (
        '<section><h2>Find</h2><form action="search" method="get"><input name="q" '
        f'value="{escape(text)}" aria-label="What to look for" '
        'placeholder="a part of a repository, repository:tag, or a digest" required>'
        "<button>Search all nights</button></form></section>"
    )


def _growth(overview: Overview) -> str:
    sampled = [night for night in overview.sampled if not night.limited_to]
    if len(sampled) < 2:
        return ""
    sizes = [night.size_bytes if night.sizes else None for night in sampled]
    first, last = sampled[0], sampled[-1]
    label = (
        f"{human_size(first.size_bytes)} on {_day(first)}, "
        f"{human_size(last.size_bytes)} on {_day(last)}"
    )
    return size_section("Size of all images", sizes, label)


def size_section(title: str, sizes: Sequence[int | None], label: str) -> str:
    """Return a section with sizes as a large plot, and what it shows; `label` is HTML."""
    return (
        f'<section class="large"><h2>{title}</h2>'
        f"{plot(sizes, width=620, height=96, label=label, is_filled=True)}"
        f'<p class="note">{label}</p></section>'
    )


def _projects(overview: Overview, projects: Sequence[ProjectView]) -> str:
    if not projects:
        return ""
    then = overview.grown_since
    since = f"since {_day(then)}" if then else ""
    rows = "".join(_row(project) for project in projects)
    return (
        '<section><h2>Projects</h2><div class="scroll"><table class="cards"><thead><tr>'
        '<th>Project</th><th>State</th><th>Last protected</th><th class="n">Digests</th>'
        f'<th class="n">Size</th><th class="n">Growth {since}</th><th>Size over the nights</th>'
        f"</tr></thead><tbody>\n{rows}</tbody></table></div></section>"
    )


def _row(project: ProjectView) -> str:
    protected = human_time(time_of(project.protected)) if project.protected else "never"
    link = f"projects/{quote(project.name, safe='')}"
    label = f"from {human_size(_first(project.points))} to {human_size(project.size_bytes)}"
    return (
        f'<tr><td><a href="{link}">{escape(project.name)}</a></td>'
        f'<td class="{project.state}">{PROJECT_STATES[project.state]}</td>'
        f'<td data-name="Last protected">{protected}</td>'
        f'<td class="n" data-name="Digests">{project.digests:,}</td>'
        f'<td class="n" data-name="Size">{human_size(project.size_bytes)}</td>'
        f'<td class="n" data-name="Growth">{_grown(project.grown_bytes)}</td>'
        f'<td class="plots">{plot(project.points, label=label)}</td></tr>\n'
    )


def _first(points: Sequence[int | None]) -> int:
    return next((point for point in points if point is not None), 0)


def _grown(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "new"
    if not size_bytes:
        return "none"
    return f"{'+' if size_bytes > 0 else '-'}{human_size(abs(size_bytes))}"


def _lasts(last: Sequence[LastReport]) -> str:
    if not last:
        return ""
    items = "".join(map(_last, last))
    return f'<section><h2>Proof</h2><div class="lasts">{items}</div></section>'


def _last(report: LastReport) -> str:
    if not report.run:
        days = f"{LOOK_BACK.days} days"
        return f'<div><h3>{report.what}</h3><p class="note">None in the last {days}.</p></div>'
    kind = "good" if report.ok else "bad"
    link = f'<a href="reports/{quote(report.run, safe="")}">Report</a>'
    return (
        f'<div><h3><i class="dot {kind}"></i>{report.what}: {"good" if report.ok else "NOT good"}'
        f"</h3><p>{escape(report.summary)}</p>"
        f'<p class="note">{escape(_moment(report.ended_at))} {link}</p></div>'
    )


def _newest(overview: Overview) -> str:
    rows = "".join(map(_night_row, overview.nights[: -_SHOWN_NIGHTS - 1 : -1]))
    if not rows:
        return ""
    return (
        '<section><h2>Newest nights</h2><div class="scroll"><table class="cards"><thead><tr>'
        '<th>Began</th><th>State</th><th class="n">Projects</th><th class="n">Digests</th>'
        f'<th class="n">Size</th><th>Report</th></tr></thead><tbody>\n{rows}</tbody></table></div>'
        "</section>"
    )


def _night_row(night: Night) -> str:
    state = state_of(night)
    digests = sum(number for number in night.digests if number != NOTHING)
    of = len(night.lacking | {n for n, size in enumerate(night.sizes) if size != NOTHING})
    limit = f" (limited to {', '.join(night.limited_to)})" if night.limited_to else ""
    return (
        f"<tr><td>{human_time(time_of(night))}{escape(limit)}</td>"
        f'<td class="{state}">{_STATES[state]}</td>'
        f'<td class="n" data-name="Projects">{night.protected:,} of {of:,}</td>'
        f'<td class="n" data-name="Digests">{digests:,}</td>'
        f'<td class="n" data-name="Size">{human_size(night.size_bytes)}</td>'
        f'<td><a href="reports/{quote(night.key, safe="")}">Report</a></td></tr>\n'
    )


def _day(night: Night) -> str:
    return f"{time_of(night):%Y-%m-%d}"


def _moment(text: str) -> str:
    try:
        return human_moment(text)
    except ValueError:
        return text
