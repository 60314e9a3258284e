"""The report of a verification as one page of HTML: damages first, then what was looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_harbor.core.human import human_duration, human_size
from airflow_provider_harbor.core.jobs.page import digest, document, escape, facts, verdict
from airflow_provider_harbor.core.jobs.verification.report import (
    TITLES,
    Damage,
    Kind,
    Stage,
    Use,
    VerifyReport,
)
from airflow_provider_harbor.core.oci.names import is_digest

_SHOWN_DAMAGES = 50
_SHOWN_USES = 5
_COLUMNS = ("Question", "State", "Looked at", "Bytes", "Took")


def render_verify_page(report: VerifyReport) -> str:
    """Return the page; whatever is not this module's own is escaped."""
    repaired = [damage for damage in report.damages if damage.repaired]
    parts = [
        _verdict(report),
        _damages("What is damaged", report.left, is_problem=True),
        facts(report.facts()),
        _stages(report.stages),
        _damages("What was damaged, and is repaired", repaired),
        _lines("What was not looked at", report.not_looked_at),
        _lines("Worth knowing", report.notes),
    ]
    return document(f"{report.headline} · {report.store_url} · {report.run}", parts)


def _verdict(report: VerifyReport) -> str:
    if report.left:
        repairable = sum(damage.remedy.startswith("can be ") for damage in report.left)
        text = f"{repairable:,} of them can be repaired: run it again with repair switched on."
    elif report.stopped:
        text = "; ".join(f"{stage.name}: {stage.error}" for stage in report.stopped)
    else:
        text = "; ".join(stage.what for stage in report.stages if stage.what) + "."
    return verdict("good" if report.ok else "bad", report.headline, text)


def _damages(title: str, damages: Sequence[Damage], *, is_problem: bool = False) -> str:
    if not damages:
        return ""
    groups = "".join(_groups(damages))
    kind = ' class="problems"' if is_problem else ""
    return f"<section{kind}><h2>{title}</h2>{groups}</section>"


def _groups(damages: Iterable[Damage]) -> Iterator[str]:
    by_kind: dict[Kind, list[Damage]] = defaultdict(list)
    for damage in damages:
        by_kind[damage.kind].append(damage)
    for kind, group in by_kind.items():
        items = "".join(map(_item, group[:_SHOWN_DAMAGES]))
        yield f'<h3>{TITLES[kind]} <span class="group">({len(group):,})</span></h3>'
        yield f'<ul class="findings">{items}</ul>'
        if len(group) > _SHOWN_DAMAGES:
            more = len(group) - _SHOWN_DAMAGES
            yield f'<p class="note">and {more:,} more, all in the JSON of this report</p>'


def _item(damage: Damage) -> str:
    thing = f"<b>{escape(damage.thing)}</b>"
    if is_digest(damage.thing):
        what = "manifest" if damage.is_manifest else "blob"
        size = f", {human_size(damage.size_bytes)}" if damage.size_bytes else ""
        thing = f"<b>{what}{size}</b> {digest(damage.thing)}"
    uses = "".join(f"<p>{_use(use)}</p>" for use in damage.uses[:_SHOWN_USES])
    if damage.uses_in_all > _SHOWN_USES:
        uses += f"<p>and {damage.uses_in_all - _SHOWN_USES:,} more artifacts</p>"
    remedy = f"<p><b>{escape(damage.remedy)}</b></p>" if damage.remedy else ""
    return f"<li>{thing}<p>{escape(damage.message)}</p>{uses}{remedy}</li>"


def _use(use: Use) -> str:
    return f"used by {escape(str(use))} {digest(use.digest)}"


def _stages(stages: Iterable[Stage]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = "".join(map(_stage, stages))
    return (
        f'<section><h2>What was looked at</h2><div class="scroll"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{rows}</tbody></table></div></section>"
    )


def _stage(stage: Stage) -> str:
    state = '<td class="bad">stopped</td>' if stage.error else '<td class="good">to its end</td>'
    what = escape(stage.what) + (f"<br>{escape(stage.error)}" if stage.error else "")
    size = human_size(stage.checked_bytes) if stage.checked_bytes else ""
    return (
        f'<tr><td>{stage.name}</td>{state}<td style="white-space:normal">{what}</td>'
        f'<td class="n" data-name="Bytes">{size}</td>'
        f'<td class="n" data-name="Took">{human_duration(stage.seconds)}</td></tr>\n'
    )


def _lines(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(_capital(line))}</li>" for line in lines)
    return f'<section><h2>{title}</h2><ul class="findings">{items}</ul></section>'


def _capital(line: str) -> str:
    return line[:1].upper() + line[1:]
