"""What the pages of all reports share: no scripts, nothing from elsewhere.

They go with the reader's light or dark colours, and colour never says anything that words do not
say too.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from airflow_provider_harbor.core.texts import printable

SHORT_DIGEST = len("sha256:") + 12

_STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #1b2230; --soft: #5b6576; --line: #e1e5eb;
  --good: #1a7f4b; --bad: #c02b32; --warn: #a15c00;
  --copied: #1a7f4b; --present: #9fd3b8; --skipped: #e0a43a; --failed: #c02b32;
  --unknown: repeating-linear-gradient(45deg, #9aa5b5 0 5px, #e1e5eb 5px 10px); }
@media (prefers-color-scheme: dark) { :root {
  --page: #12161d; --card: #1b212b; --ink: #e6eaf0; --soft: #9aa5b5; --line: #2c3543;
  --good: #37b577; --bad: #f0737a; --warn: #e0a43a;
  --copied: #37b577; --present: #245c43; --skipped: #c98a1c; --failed: #e5565d;
  --unknown: repeating-linear-gradient(45deg, #5b6576 0 5px, #2c3543 5px 10px); } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 70rem; margin: 0 auto; display: grid; gap: 1rem; }
main > * { min-width: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; padding: 1rem 1.25rem; }
h1, h2, h3, p, dl, dd, ul { margin: 0; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.05rem; margin-bottom: .6rem; }
h3 { font-size: .95rem; margin-top: .9rem; }
code { font: .86em/1.4 ui-monospace, "SF Mono", Menlo, "Liberation Mono", monospace; }
main > header { color: #fff; border: 0; padding: 1.25rem; background: #1a7f4b; }
main > header.bad { background: #b8272e; }
main > header.plan { background: #2f5fb3; }
header p { margin-top: .3rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
  gap: .15rem 1.25rem; }
.facts div { display: flex; gap: .75rem; }
.facts dt { color: var(--soft); flex: 0 0 5.5rem; }
.facts dd, section p { overflow-wrap: anywhere; }
.facts dd { min-width: 0; }
.totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(9.2rem, 45%), 1fr));
  gap: .9rem; }
.totals dt { color: var(--soft); font-size: .88rem; }
.totals dd { font-size: 1.45rem; font-weight: 600; line-height: 1.3; }
.totals small { display: block; color: var(--soft); font-size: .8rem; font-weight: 400; }
.bar { display: flex; gap: 2px; height: .8rem; margin: 1rem 0 .5rem; border-radius: .4rem;
  overflow: hidden; background: var(--line); }
.bar i { min-width: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.25rem; list-style: none; padding: 0; }
.legend b::before { content: ""; display: inline-block; width: .7em; height: .7em;
  border-radius: .2em; margin-right: .45em; background: var(--dot); }
.totals + .legend { margin-top: 1rem; }
.legend b:not([style])::before { display: none; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: .88rem; margin-top: .5rem; }
.scroll { overflow-x: auto; margin: 0 -1.25rem; padding: 0 1.25rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: .82rem; font-weight: 500; color: var(--soft); }
th, td { padding: .32rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; font-weight: 600; white-space: normal;
  overflow-wrap: anywhere; min-width: 9rem; }
th:last-child, td:last-child { padding-right: 0; }
tr:last-child td { border-bottom: 0; }
.n { text-align: right; }
.zero { color: var(--soft); opacity: .55; }
td.good, td.bad, td.warn { color: var(--good); font-weight: 600; }
td.bad { color: var(--bad); }
td.warn { color: var(--warn); }
section.problems { border-left: 4px solid var(--bad); }
.group { color: var(--soft); font-weight: 400; }
ul.findings { list-style: none; padding: 0; }
ul.findings li { overflow-wrap: anywhere; margin-top: .45rem; padding-left: .75rem;
  border-left: 2px solid var(--line); }
ul.findings b { font-weight: 600; }
ul.findings code, ul.findings p { color: var(--soft); }
/* On a phone a row of a table is a card, so that nothing of it is cut off. */
@media (max-width: 40rem) {
  body { padding: .75rem .5rem 2rem; }
  main > * { padding: .85rem .9rem; }
  .scroll { margin: 0; padding: 0; overflow: visible; }
  table, tbody, tr, td { display: block; width: auto; }
  thead { display: none; }
  tr { padding: .55rem 0; border-bottom: 1px solid var(--line); }
  tr:last-child { border-bottom: 0; }
  td, td:first-child { padding: .1rem 0; border: 0; white-space: normal; overflow-wrap: anywhere;
    min-width: 0; text-align: left; }
  td[data-name] { display: flex; justify-content: space-between; gap: 1rem; }
  td[data-name]::before { content: attr(data-name); color: var(--soft); font-weight: 400; }
  td:empty { display: none; }
  td.zero { display: none; }
}
"""


def escape(text: str) -> str:
    """Return a text as a page may hold it: without markup, and without control characters."""
    return html.escape(printable(text))


def document(title: str, parts: Iterable[str], *, style: str = "") -> str:
    """Return a page of some parts, those that are empty left out.

    Args:
        title: Of the page; it is escaped here.
        parts: HTML.
        style: More of its style sheet.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def verdict(kind: str, headline: str, text: str) -> str:
    """Return the head of a page; `kind` is its colour: good, bad or plan."""
    return f'<header class="{kind}"><h1>{escape(headline)}</h1><p>{escape(text)}</p></header>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values, names with a capital."""
    items = "".join(
        f"<div><dt>{name[0].upper()}{name[1:]}</dt><dd>{escape(value)}</dd></div>"
        for name, value in rows
    )
    return f'<dl class="facts">{items}</dl>'


def digest(text: str) -> str:
    """Return a digest, as much as tells it from others; a pointer shows the whole."""
    shown = escape(text)
    return f'<code title="{shown}">{shown[:SHORT_DIGEST]}</code>'
