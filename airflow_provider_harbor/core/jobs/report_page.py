"""The report of a run as one page of HTML: no scripts, nothing from elsewhere.

What is wrong comes first, then every project, then what was left out on purpose. It goes with the
reader's light or dark colours, and colour never says anything that words do not say too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_harbor.core.copy.outcome import UNCHANGED, WORDS, Finding, Status
from airflow_provider_harbor.core.human import (
    human_count,
    human_duration,
    human_size,
)
from airflow_provider_harbor.core.jobs.page import digest, document, escape, facts, verdict
from airflow_provider_harbor.core.jobs.report import Kind, RunReport
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.jobs.totals import NOT_KNOWN

_SHOWN_ARTIFACTS = 20
_SHOWN_NAMES = 5

_LISTED = ("Manifests", "Tags", "Content")
_COLUMNS = (*_LISTED, *(word.capitalize() for word in WORDS.values()), "Sent", "Took")
_PLAN_COLUMNS = (*_LISTED, "To copy", "At most", "To tag", UNCHANGED.capitalize())
# Of the bar, for each project of which nobody knows how many manifests it has.
_UNKNOWN_SHARE = 0.08

# Of the bar, by the words of its parts.
_COLOURS = {
    "to copy": "copied",
    "to tag": "skipped",
    **{word: status.value for status, word in WORDS.items()},
    NOT_KNOWN: "unknown",
}
_REASONS = {
    "changed": "Changed at the destination meanwhile",
    "connection": "No answer",
    "conflict": "In conflict with what the destination holds",
    "deleted-at-source": "Deleted at the source while the run went on",
    "denied": "The destination's login may not do it",
    "denied-at-source": "The source's login may not pull it",
    "digest-mismatch": "Content that is not what its digest says",
    "foreign-layer": "Layers that registries do not hold",
    "immutable": "An immutable tag stands in the way",
    "invalid": "Not accepted by the destination",
    "missing-blob": "Listed by Harbor, but its content is lost",
    "missing-manifest": "Listed by Harbor, but its manifest is lost",
    "newer-tag": "A tag that was left as a newer run has it",
    "not-tried": "Not tried, since something before it failed",
    "policy": "A policy stands in the way",
    "policy-at-source": "A policy of the source stands in the way",
    "proxy-cache": "Cached from another registry",
    "damaged-blob": "Damaged in the store",
    "tag-conflict": "A tag that names something else at the destination",
    "store-denied": "The store denies it",
    "store-full": "The store is full",
    "store-missing": "The store is gone",
    "store-other": "The store cannot be used",
    "store-unreachable": "The store does not answer",
    "quota": "The quota of the destination is used up",
    "rate-limit": "Too many requests",
    "read-only": "The destination is read-only",
    "server-error": "An error of the server",
    "too-large": "Too large for the destination",
    "lease": "Another run took over",
    "unexpected": "A defect of this program",
    "odd-answer": "An answer that is not what it should be",
    "unsettled": "It kept changing while it was listed",
    "wrong-size": "Content whose size is not what its manifest says",
}


def render_page(report: RunReport) -> str:
    """Return the page; whatever is not this module's own is escaped."""
    parts = [
        _verdict(report),
        _problems(report),
        facts(report.facts()),
        _totals(report),
        _settings(report),
        _projects(report),
        _skips(report),
    ]
    return document(f"{report.headline} · {report.harbor_url} · {report.run}", parts)


def _verdict(report: RunReport) -> str:
    kind = "good" if report.complete else "plan" if _is_clean_plan(report) else "bad"
    counts = report.counts
    held = (
        f"{human_count(report.expected, 'project')}, {human_count(counts.records, 'manifest')}, "
        f"{human_size(counts.size_bytes)}"
    )
    if report.error:
        text = report.error
    elif report.unprotected:
        names = ", ".join(report.unprotected[:_SHOWN_NAMES])
        more = len(report.unprotected) - _SHOWN_NAMES
        names += f" and {more:,} more" if more > 0 else ""
        done = "planned" if report.dry_run else report.kind.value.done
        text = (
            f"{len(report.unprotected):,} of {human_count(report.expected, 'project')} "
            f"not {done}, or only in part: {names}"
        )
    elif not report.expected:
        text = "There was no project to do anything for. Check the project filters."
    elif report.dry_run:
        text = f"{held} would be there after a real run."
    else:
        text = f"{held}, at {report.destination}."
        if report.skipped:
            text += (
                f" {human_count(report.skipped, 'manifest')} left out, each for a reason: see "
                "below."
            )
    return verdict(kind, report.headline, text)


def _is_clean_plan(report: RunReport) -> bool:
    return report.dry_run and not report.failures()


def _settings(report: RunReport) -> str:
    """Say what has changed of Harbor's settings, and what of them could not be read."""
    if report.settings is None:
        return ""
    changes, unread = report.settings.change_lines(), report.settings.unread_lines()
    parts = [f"<h2>Settings</h2><p>{escape(report.settings.summary_line())}</p>"]
    if changes:
        text = "\n".join(map(escape, changes))
        parts.append(
            f"<details open><summary>Settings changed</summary><pre>{text}</pre></details>"
        )
    if unread:
        items = "".join(f"<li>{escape(line)}</li>" for line in unread)
        parts.append(f"<details><summary>Not read</summary><ul>{items}</ul></details>")
    return f"<section>{''.join(parts)}</section>"


def _totals(report: RunReport) -> str:
    counts = report.counts
    repositories = human_count(counts.repositories, "repository")
    cells = (
        ("Artifacts", f"{counts.artifacts:,}", f"in {repositories}"),
        ("Children of indexes", f"{counts.children:,}", "one for each platform"),
        ("Accessories", f"{counts.accessories:,}", "signatures, SBOMs"),
        ("Digests", f"{counts.digests:,}", "the sum of these three"),
        ("Attestations", f"{counts.attestations:,}", "of how images were built; no digests here"),
        ("Manifests in all", f"{counts.records:,}", "digests and attestations"),
        ("Tags", f"{counts.tags:,}", ""),
        ("Content", human_size(counts.size_bytes), "sum of all images"),
    )
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, value, note in cells
    )
    return f'<section><dl class="totals">{items}</dl>{_outcome(report)}</section>'


def _outcome(report: RunReport) -> str:
    """Show how the records ended; of a dry run, how they would."""
    totals = report.totals
    sent = f"{human_size(report.bytes_copied)} in {human_count(report.blobs_copied, 'blob')}"
    if report.dry_run:
        sent = f"nothing; a real run sends at most {human_size(report.planned.most_bytes)}"
    bar = "".join(
        f'<i style="flex:{number};background:var(--{_COLOURS[word]})"></i>'
        for word, number in totals.parts.items()
        if number
    )
    legend = "".join(
        f'<li><b style="--dot:var(--{_COLOURS[word]})">{number:,}</b> {word}</li>'
        for word, number in totals.parts.items()
        if number or word != NOT_KNOWN
    )
    note = "Each manifest is one of these."
    if unknown := totals.unknown:
        # A bar that looks full would say that this is all there is.
        share = max(totals.total, 1) * _UNKNOWN_SHARE * (len(totals.unlisted) or 1)
        bar += f'<i style="flex:{share:.2f};background:var(--unknown)"></i>'
        legend += f'<li><b style="--dot:var(--unknown)">?</b> not known: {escape(unknown)}</li>'
        note = "Each manifest that was listed is one of these; the others are in no number here."
    return (
        f'<div class="bar">{bar}</div><ul class="legend">{legend}<li>sent: {sent}</li></ul>'
        f'<p class="note">{note}</p>'
    )


def _problems(report: RunReport) -> str:
    stopped = "".join(
        f"<li><b>{escape(project)}</b><p>{escape(message)}</p></li>"
        for project, message in report.stopped()
    )
    if stopped:
        stopped = f'<h3>Projects that stopped</h3><ul class="findings">{stopped}</ul>'
    gaps = "".join(
        f"<li><b>{escape(gap.repository)}</b><p>{escape(gap.message)}</p></li>"
        for gap in report.gaps[:_SHOWN_ARTIFACTS]
    )
    if gaps:
        more = len(report.gaps) - _SHOWN_ARTIFACTS
        if more > 0:
            gaps += f"<li>and {more:,} more, all in the JSON of this report</li>"
        gaps = f'<h3>Repositories not listed whole</h3><ul class="findings">{gaps}</ul>'
    groups = "".join(_groups(report.findings(Status.FAILED)))
    if not stopped and not gaps and not groups:
        return ""
    title = report.kind.value.missing
    since = _since(report)
    return f'<section class="problems"><h2>{title}</h2>{stopped}{gaps}{groups}{since}</section>'


def _since(report: RunReport) -> str:
    """Say when the projects that are not protected last were."""
    if report.last_protected is None:
        return ""
    lines = report.unprotected_lines()
    items = "".join(f"<li>{escape(line)}</li>" for line in lines[:_SHOWN_ARTIFACTS])
    more = len(lines) - _SHOWN_ARTIFACTS
    if more > 0:
        items += f"<li>and {more:,} more, all in the JSON of this report</li>"
    return f'<h3>When they were last protected</h3><ul class="findings">{items}</ul>'


def _skips(report: RunReport) -> str:
    groups = "".join(_groups(report.findings(Status.SKIPPED)))
    return f"<section><h2>Left out, with a reason</h2>{groups}</section>" if groups else ""


def _groups(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the findings by reason, most frequent first, consequences behind their causes.

    What was said of several is said once.
    """
    by_reason: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_reason[finding.reason].append(finding)

    def rank(item: tuple[str, list[Finding]]) -> tuple[bool, int, str]:
        reason, group = item
        return (reason == "not-tried", -len(group), reason)

    for reason, group in sorted(by_reason.items(), key=rank):
        title = escape(_REASONS.get(reason, reason))
        yield f'<h3>{title} <span class="group">({len(group):,})</span></h3>'
        by_message: dict[str, list[Finding]] = defaultdict(list)
        for finding in group[:_SHOWN_ARTIFACTS]:
            by_message[finding.message].append(finding)
        items = "".join(_item(message, same) for message, same in by_message.items())
        yield f'<ul class="findings">{items}</ul>'
        if len(group) > _SHOWN_ARTIFACTS:
            more = len(group) - _SHOWN_ARTIFACTS
            yield f'<p class="note">and {more:,} more, all in the JSON of this report</p>'


def _item(message: str, findings: Iterable[Finding]) -> str:
    names = "<br>".join(_artifact(finding) for finding in findings)
    return f"<li>{names}<p>{escape(message)}</p></li>"


def _artifact(finding: Finding) -> str:
    tags = ", ".join(finding.tags[:_SHOWN_NAMES])
    more = len(finding.tags) - _SHOWN_NAMES
    tags += f" and {more:,} more" if more > 0 else ""
    name = f"{finding.repository}:{tags}" if tags else f"{finding.repository} ({finding.role})"
    return f"<b>{escape(name)}</b> {digest(finding.digest)}"


def _projects(report: RunReport) -> str:
    """List the projects, those with trouble first."""
    if not report.expected:
        return ""
    columns = _PLAN_COLUMNS if report.dry_run else _COLUMNS
    head = "".join(f'<th class="n">{name}</th>' for name in columns)
    results = sorted(report.projects, key=lambda result: (result.ok, result.project))
    rows = [_row(name, "bad", "no result", [], columns, NOT_KNOWN) for name in report.missing]
    rows += [
        _row(
            r.project,
            *_state(r, report.kind),
            _numbers_of(r),
            columns,
            NOT_KNOWN if r.copy is None and r.error else "",
        )
        for r in results
    ]
    return (
        f'<section><h2>Projects</h2><div class="scroll"><table><thead><tr><th>Project</th>'
        f"<th>State</th>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table></div></section>"
    )


def _row(
    project: str, kind: str, state: str, cells: list[str], columns: Sequence[str], instead: str
) -> str:
    empty = len(columns) - len(cells)
    # On a phone there is no head of the table: each cell says what it is.
    named = zip(columns, cells, strict=False)
    rest = "".join(cell.replace(">", f' data-name="{name}">', 1) for name, cell in named)
    rest += f'<td colspan="{empty}">{instead}</td>' if empty else ""
    return f'<tr><td>{escape(project)}</td><td class="{kind}">{state}</td>{rest}</tr>\n'


def _state(result: ProjectResult, kind: Kind) -> tuple[str, str]:
    if result.error:
        return "bad", f"stopped ({result.stage})"
    if not result.ok:
        return "bad", "incomplete"
    if result.copy is None:
        return "warn", "planned"
    if result.copy.skipped == result.copy.total > 0:
        return "warn", "left out"
    return "good", kind.value.done


def _numbers_of(result: ProjectResult) -> list[str]:
    """Return the cells of a project, as far as it came."""
    cells = []
    if result.inventory:
        counts = result.inventory.counts
        cells += [_cell(counts.records), _cell(counts.tags), _text(human_size(counts.size_bytes))]
    if result.inventory and result.dry_run and result.plan:
        plan = result.plan
        cells += [_cell(plan.to_copy), _text(human_size(plan.most_bytes))]
        cells += [_cell(plan.to_tag), _cell(plan.present)]
    elif result.inventory and result.copy and not result.dry_run:
        copy = result.copy
        cells += [_cell(copy.copied), _cell(copy.present)]
        cells += [_cell(copy.skipped, "warn"), _cell(copy.failed, "bad")]
        cells += [_text(human_size(copy.bytes_copied)), _text(human_duration(copy.seconds))]
    return cells


def _cell(number: int, kind: str = "some") -> str:
    return f'<td class="n {kind if number else "zero"}">{number:,}</td>'


def _text(text: str) -> str:
    return f'<td class="n">{text}</td>'
