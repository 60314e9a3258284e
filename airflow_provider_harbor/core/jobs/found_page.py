"""What was found in the nights of a store as a page, and what to type to get it back.

Airflow's trigger form takes no values from a link (tried with 3.3.2), but it has a field for all of
them at once, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.overview_page import page, search_form
from airflow_provider_harbor.core.jobs.page import digest, escape
from airflow_provider_harbor.core.jobs.search import Found, Sighting

_SHOWN = 100


def render_found(
    text: str,
    found: Found | str,
    *,
    store: str = "",
    restore_dag: str = "harbor_restore",
    restore_href: str = "",
    crumbs: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page.

    Args:
        text: What was looked for.
        found: What was found; or why nothing could be looked for.
        store: Address of the store, for the form; empty where the form has it already.
        restore_dag: Id of the DAG that restores.
        restore_href: Address of that DAG; empty where a link cannot lead there.
        crumbs: Names and addresses of the pages above it.
    """
    parts = [search_form(text)]
    if isinstance(found, str):
        parts.append(f'<section class="problems"><p>{escape(found)}</p></section>')
        return page("Find", parts, crumbs)
    parts.append(_summary(found))
    items = "".join(_item(sighting, store) for sighting in found.sightings[:_SHOWN])
    if items:
        parts.append(f'<section><h2>Found</h2><ul class="findings">{items}</ul></section>')
        parts.append(_how(restore_dag, restore_href))
    return page(f"Find {text}", parts, crumbs)


def _summary(found: Found) -> str:
    places = human_count(len(found.sightings), "place")
    lines = [f"{places} in {human_count(found.searched, 'night')}."]
    if len(found.sightings) > _SHOWN:
        lines.append(f"The first {_SHOWN} are shown: look for more of the name.")
    if found.is_full:
        lines.append("There is more, which was left out: look for more of the name.")
    if found.is_cut_short:
        lines.append(
            "The time was up before all nights were searched: older ones may have more. The "
            "command harbor-backup find has no such limit."
        )
    if found.damages:
        lines.append(f"{human_count(len(found.damages), 'list')} could not be read:")
        lines += found.damages[:_SHOWN]
    kind = ' class="problems"' if found.is_cut_short or found.is_full or found.damages else ""
    return f"<section{kind}>{''.join(f'<p>{escape(line)}</p>' for line in lines)}</section>"


def _item(sighting: Sighting, store: str) -> str:
    match = sighting.match
    name = f"{match.repository}:{match.tag}" if match.tag else match.repository
    shown = f"<b>{escape(name)}</b> {digest(match.digest) if match.digest else ''}"
    if match.layer:
        shown += f" by its layer {digest(match.layer)}"
    nights = f"{_night(sighting.first)} to {_night(sighting.last)}"
    if sighting.first == sighting.last:
        nights = _night(sighting.last)
    gone = "" if sighting.is_in_newest else ", <b>gone since</b>"
    pairs = restore_values(sighting, store).items()
    lines = (f'  "{name}": {json.dumps(value)}' for name, value in pairs)
    values = "{\n" + ",\n".join(map(escape, lines)) + "\n}"
    return (
        f"<li>{shown}<p>{human_count(sighting.snapshots, 'night')}: {nights}{gone}</p>"
        f"<details><summary>Restore it</summary>"
        f'<pre class="values">{values}</pre></details></li>'
    )


def restore_values(sighting: Sighting, store: str = "") -> dict[str, object]:
    """Return what the form of `harbor_restore` needs to bring back what was found.

    Args:
        sighting: What was found.
        store: Address of the store; empty where the form has it already.
    """
    match = sighting.match
    values: dict[str, object] = {
        "snapshot": sighting.last,
        "projects": [match.repository.partition("/")[0]],
        "repositories": [match.repository],
    }
    if match.tag:
        values["tags"] = [match.tag]
    if store:
        values["store"] = store
    return values


def _night(key: str) -> str:
    day, _, rest = key.partition("T")
    return escape(f"{day} {rest[:2]}:{rest[3:5]}" if rest else key)


def _how(dag_id: str, href: str) -> str:
    name = f"<b>{escape(dag_id)}</b>"
    if href:
        name = f'<a href="{escape(href)}">{escape(dag_id)}</a>'
    return (
        "<section><h2>To get it back</h2><p>Open <i>Restore it</i> and copy the values: a click "
        f"selects them all. Open the DAG {name}, choose <b>Trigger</b>, open <b>Advanced "
        "Options</b>, and paste them into <b>Configuration JSON</b> in place of what is there. The "
        "form has them then: look at it, and trigger. An untagged artifact comes back with its "
        "repository.</p></section>"
    )


def render_message(
    title: str, lines: Iterable[str], *, crumbs: Sequence[tuple[str, str]] = ()
) -> str:
    """Return a page that says why there is nothing else to be seen."""
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return page(
        title, [f'<section class="problems"><h2>{escape(title)}</h2>{text}</section>'], crumbs
    )
