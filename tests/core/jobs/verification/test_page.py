"""The page of a verification: what is damaged first, and nothing that others wrote as markup."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from airflow_provider_harbor.core.jobs.drill_report import DrillReport, render_drill_page
from airflow_provider_harbor.core.jobs.verification.page import render_verify_page
from airflow_provider_harbor.core.jobs.verification.report import (
    Damage,
    Kind,
    Part,
    Stage,
    Use,
    VerifyReport,
)

MOMENT = datetime(2026, 11, 25, 6, 30, tzinfo=timezone.utc)
DIGEST = f"sha256:{'ab' * 32}"
WHOLE = VerifyReport(
    run="2026-11-25.verify",
    store_url="file:///backup",
    harbor_url="https://harbor.example.com",
    started_at=MOMENT,
    ended_at=MOMENT,
    snapshots=("2026-11-24", "2026-11-25"),
    part=Part(number=3, of=28),
    stages=(Stage(name="structure", what="2 snapshots"),),
)


def damage(number: int = 0) -> Damage:
    uses = tuple(
        Use(
            repository=f"<b>team/{n}",
            digest=DIGEST,
            tags=("<i>",),
            first="a",
            last="b",
            snapshots=2,
        )
        for n in range(9)
    )
    return Damage(
        kind=Kind.MISSING,
        where="file:///backup",
        thing=f"sha256:{number:064x}",
        message="it is <script>gone",
        size_bytes=2048,
        uses=uses,
        uses_in_all=9,
        remedy="can be repaired from <there>",
    )


def test_nothing_that_others_wrote_is_markup() -> None:
    page = render_verify_page(replace(WHOLE, damages=(damage(),), notes=("<u>",)))
    for text in ("<script>", "<b>team", "<i>", "<there>", "<u>"):
        assert text not in page
    assert "&lt;script&gt;gone" in page


def test_what_is_damaged_comes_first_and_is_not_all_of_it() -> None:
    page = render_verify_page(replace(WHOLE, damages=tuple(map(damage, range(60)))))
    assert '<header class="bad"><h1>60 damaged things</h1><p>60 of them can be repaired' in page
    assert page.index("What is damaged") < page.index("What was looked at")
    assert "Content that is gone from the store" in page
    assert "and 10 more, all in the JSON of this report" in page
    assert "and 4 more artifacts" in page


def test_what_was_repaired_is_green_and_said() -> None:
    done = replace(damage(), repaired=True, remedy="repaired from there")
    page = render_verify_page(replace(WHOLE, damages=(done,)))
    assert '<header class="good"><h1>Whole again: 1 damaged thing repaired</h1>' in page
    assert "What was damaged, and is repaired" in page
    assert 'class="problems"' not in page


def test_what_stopped_is_red_and_said() -> None:
    stopped = Stage(name="source", what="3 manifests", error="no answer")
    report = replace(WHOLE, stages=(*WHOLE.stages, stopped), not_looked_at=("the rest",))
    page = render_verify_page(report)
    assert '<header class="bad"><h1>NOT everything could be looked at</h1>' in page
    assert "source: no answer" in page
    assert "<li>The rest</li>" in page
    assert report.failures() == ["source: stopped before its end: no answer"]


def test_the_page_of_a_drill() -> None:
    report = DrillReport(
        run="2026-11-25.drill",
        store_url="file:///backup",
        url="https://harbor.example.com",
        project="drill",
        snapshot="2026-11-25",
        seed=4711,
        started_at=MOMENT,
        ended_at=MOMENT,
        repositories=("team/<app>",),
        of_repositories=3,
    )
    page = render_drill_page(report)
    assert '<header class="good">' in page
    assert "4711" in page
    assert "team/&lt;app&gt;" in page
    page = render_drill_page(replace(report, failures=("<b>bad",), left="delete it"))
    assert '<header class="bad">' in page
    assert page.index("delete it") < page.index("&lt;b&gt;bad")
