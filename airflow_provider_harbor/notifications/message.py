"""What a person is told of a run: the verdict first, then the projects, the reasons and the links.

The task ``snapshot`` leaves what is to be said in an XCom, a few hundred bytes of JSON, since what
sends it runs elsewhere (Airflow's DAG processor), where the store may be out of reach.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.sdk.configuration import conf

from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.trail import Attempt
from airflow_provider_harbor.core.texts import one_line
from airflow_provider_harbor.operators.report_link import report_address

# XCom key of what `snapshot` leaves.
NOTICE_KEY = "notice"

_SHOWN_PROJECTS = 10
_SHOWN_REASONS = 5
_LONGEST_SUBJECT = 150
_LONGEST_REASON = 400
_SUBJECT_NAMES = 3

COMPLETE, PARTIAL, FAILED, LATE = "complete", "partial", "failed", "late"


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is told; templates of notifiers know it as ``harbor``.

    :param verdict: ``complete``, ``partial`` (something is not protected, or all is and the run
        has failed), ``failed`` (no backup of this run is known) or ``late`` (no run was complete
        for too long).
    :param subject: One line.
    :param headline: How it ended, in a line.
    :param projects: What is not protected: names, each with when it last was. The first ones only.
    :param more_projects: How many there are besides.
    :param reasons: What happened and what to do, a line each. The first ones only.
    :param more_reasons: How many there are besides.
    :param attempts: How often the run had ended red since it was last green.
    :param harbor_url: Of the Harbor that is backed up; empty where it is unknown.
    :param page_url: Of the report in Airflow's UI; empty where there is none, or where Airflow does
        not know its own address.
    :param report_url: Of the same page in the store; empty where there is none.
    :param run_url: Of the run in Airflow's UI.
    """

    verdict: str
    subject: str
    headline: str
    projects: tuple[str, ...] = ()
    more_projects: int = 0
    reasons: tuple[str, ...] = ()
    more_reasons: int = 0
    attempts: int = 0
    harbor_url: str = ""
    page_url: str = ""
    report_url: str = ""
    run_url: str = ""

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """What is below the headline: names and lines."""
        rows = [
            ("Harbor", [self.harbor_url]),
            ("Not protected", _with_more(self.projects, self.more_projects)),
            ("Why", _with_more(self.reasons, self.more_reasons)),
            ("Report", [self.page_url]),
            ("In the store" if self.page_url else "Report", [self.report_url]),
            ("Run", [self.run_url]),
        ]
        return [(name, lines) for name, lines in rows if any(lines)]

    @property
    def text(self) -> str:
        """All of it as plain text of some lines."""
        lines = [self.headline]
        for name, values in self.rows:
            lines += [f"{name}: {values[0]}"] if len(values) == 1 else [f"{name}:"]
            lines += [f"- {value}" for value in values] if len(values) > 1 else []
        return "\n".join(lines)

    @property
    def html(self) -> str:
        """All of it as HTML; whatever is not this module's own is escaped."""
        rows = "".join(
            f"<tr><td valign=top><b>{name}</b>&nbsp;</td>"
            f"<td>{'<br>'.join(map(_linked, values))}</td></tr>"
            for name, values in self.rows
        )
        return f"<p><b>{html.escape(self.headline)}</b></p><table>{rows}</table>"


def notice_of(
    report: RunReport, report_url: str, failed_tasks: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what is to be said of a run, as the XCom holds it.

    :param report: How the run ended.
    :param report_url: Of its page.
    :param failed_tasks: Ids of tasks that failed although the report has no failure.
    """
    projects, reasons = report.unprotected_lines(), report.failures()
    return {
        "verdict": COMPLETE if report.complete else FAILED if report.error else PARTIAL,
        "title": report.headline,
        "headline": report.summary_line(),
        "names": list(report.unprotected[:_SUBJECT_NAMES]),
        "projects": projects[:_SHOWN_PROJECTS],
        "more_projects": max(len(projects) - _SHOWN_PROJECTS, 0),
        "reasons": [one_line(line, _LONGEST_REASON) for line in reasons[:_SHOWN_REASONS]],
        "more_reasons": max(len(reasons) - _SHOWN_REASONS, 0),
        "failed_tasks": list(failed_tasks[:_SHOWN_REASONS]),
        "attempts": _red_ends(report.attempts),
        "dry_run": report.dry_run,
        "harbor_url": report.harbor_url,
        "report_url": report_url,
    }


def _red_ends(attempts: Sequence[Attempt]) -> int:
    """Return how often a run had ended red since it was last green."""
    return sum(1 for _ in takewhile(lambda attempt: not attempt.complete, reversed(attempts)))


def run_failed(failed_tasks: Sequence[str]) -> str:
    """Return the headline of a run that has failed, and has protected everything.

    :param failed_tasks: Ids of the tasks that failed; empty where that is not known.
    """
    tasks = ", ".join(failed_tasks)
    what = f"task{'s' if len(failed_tasks) > 1 else ''} {tasks}" if tasks else "a task"
    return f"All artifacts are protected, but the run failed: {what} failed"


def message_of(
    notice: Mapping[str, Any] | None,
    *,
    dag_id: str,
    run_id: str,
    has_succeeded: bool,
    failed_task: str = "",
    could_be_read: bool = True,
    is_green_again: bool = False,
) -> Message:
    """Return what is to be said of a run.

    :param notice: What ``snapshot`` has left; None where there is nothing.
    :param dag_id: Of the run.
    :param run_id: Of the run.
    :param has_succeeded: Whether the run is green.
    :param failed_task: Id of a task that failed, if it is known.
    :param could_be_read: Whether it is known that ``snapshot`` has left nothing, where it has.
    :param is_green_again: Whether people know the run as one that has failed.
    """
    found = dict(notice) if notice else _without_report(has_succeeded, could_be_read)
    failed = [str(task) for task in found.get("failed_tasks", ())]
    if not failed and failed_task:
        failed = [failed_task]
    verdict, headline = str(found.get("verdict", FAILED)), str(found.get("headline", ""))
    is_red = not has_succeeded and (verdict == COMPLETE or not notice)
    reasons = tuple(map(str, found.get("reasons", ())))
    if is_red:
        reasons += tuple(f"task {task} failed, its log says why" for task in failed) or (
            "a task failed, its log says why",
        )
    if not has_succeeded and verdict == COMPLETE:
        verdict, headline = PARTIAL, run_failed(failed)
        found["title"] = headline
    names = [str(name) for name in found.get("names", ())]
    return Message(
        verdict=verdict,
        subject=_subject(dag_id, headline, names, found, is_green_again),
        headline=one_line(headline, _LONGEST_REASON),
        projects=tuple(map(str, found.get("projects", ()))),
        more_projects=int(found.get("more_projects", 0)),
        reasons=reasons,
        more_reasons=int(found.get("more_reasons", 0)),
        attempts=int(found.get("attempts", 0)),
        harbor_url=str(found.get("harbor_url", "")),
        page_url=page_url(dag_id, run_id) if found.get("report_url") else "",
        report_url=str(found.get("report_url", "")),
        run_url=run_url(dag_id, run_id),
    )


def _without_report(has_succeeded: bool, could_be_read: bool) -> dict[str, Any]:
    """Return what is known of a run without what `snapshot` has left."""
    if has_succeeded:
        # `snapshot` is green only where everything is protected.
        title, verdict = "The run is green", COMPLETE
        headline = f"{title}. Its report could not be read here: see the run"
    elif could_be_read:
        title, verdict = "NOTHING is known to be protected", FAILED
        headline = f"{title}: there is no report"
    else:
        title, verdict = "The run has FAILED", FAILED
        headline = (
            f"{title}. Its report could not be read here, so that it is not known what is "
            "protected: see the run"
        )
    return {"verdict": verdict, "title": title, "headline": headline}


def _subject(
    dag_id: str,
    headline: str,
    names: Sequence[str],
    notice: Mapping[str, Any],
    is_green_again: bool,
) -> str:
    text = str(notice.get("title") or headline.partition(":")[0])
    if is_green_again:
        text += " now"
    if names:
        more = int(notice.get("more_projects", 0)) + len(notice["projects"]) - len(names)
        text += f" ({', '.join(names)}{f' and {more:,} more' if more > 0 else ''})"
    return one_line(f"{dag_id}: {text}", _LONGEST_SUBJECT)


def run_url(dag_id: str, run_id: str) -> str:
    """Return where Airflow's UI shows a run.

    :param dag_id: Of the run.
    :param run_id: Of the run.
    """
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    path = f"dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
    return f"{base}/{path}" if base else ""


def page_url(dag_id: str, run_id: str) -> str:
    """Return where Airflow's UI shows the report of a run.

    :param dag_id: Of the run.
    :param run_id: Of the run.
    """
    base = urlsplit(conf.get("api", "base_url", fallback="") or "")
    if not base.netloc:
        return ""
    return f"{base.scheme}://{base.netloc}{report_address(dag_id, run_id)}"


def _with_more(lines: Sequence[str], more: int) -> list[str]:
    return [*lines, *([f"and {more:,} more, all in the report"] if more else [])]


def _linked(text: str) -> str:
    shown = html.escape(text)
    return f'<a href="{shown}">{shown}</a>' if text.startswith(("http://", "https://")) else shown
