"""How a run ended: when it may call itself complete, and what a person reads."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status
from airflow_provider_harbor.core.copy.plan import PlanCounts
from airflow_provider_harbor.core.harbor.records import Counts, Gap, Role
from airflow_provider_harbor.core.http.pace_notes import PaceNote
from airflow_provider_harbor.core.jobs.report import Kind, RunReport, build_report
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.store.inventories import InventoryRef

RUN = "manual__2025-11-25"
DIGEST = "sha256:" + "0123456789abcdef" * 4
STARTED = datetime(2025, 11, 25, 1, 0, tzinfo=timezone.utc)
HOSTILE = "<script>alert('x')</script>&\"\x1b[2J\x9b\u202e\ud800"


def finding(**changes: Any) -> Finding:
    made = Finding(
        repository="library/nginx",
        digest=DIGEST,
        tags=("1.25", "latest"),
        status=Status.FAILED,
        reason="quota",
        message="the quota is used up. Raise it, and run it again",
    )
    return replace(made, **changes)


def inventory(project: str = "library", records: int = 10) -> InventoryRef:
    return InventoryRef(
        project=project,
        sha256="0" * 64,
        counts=Counts(
            repositories=1,
            artifacts=records - 3,
            children=1,
            attestations=1,
            accessories=1,
            tags=4,
            digests=records - 1,
            size_bytes=3 * 1024**3,
        ),
        listed_at="2025-11-25T01:00:00.000000+00:00",
    )


def copied(project: str = "library", **numbers: Any) -> CopyReport:
    return CopyReport(
        project=project,
        destination="https://backup.example.com",
        **{"copied": 4, "present": 6, "bytes_copied": 2048, "blobs_copied": 5, **numbers},
    )


def result(project: str = "library", **changes: Any) -> ProjectResult:
    made = ProjectResult(
        project=project, run=RUN, inventory=inventory(project), copy=copied(project)
    )
    return replace(made, **changes)


def report(*results: ProjectResult, expected: list[str] | None = None, **changes: Any) -> RunReport:
    arguments: dict[str, Any] = {
        "harbor_url": "https://harbor.example.com",
        "harbor_version": "v2.15.2",
        "destination": "https://backup.example.com",
        "started_at": STARTED,
        "ended_at": STARTED + timedelta(minutes=4, seconds=12),
    }
    names = [r.project for r in results] if expected is None else expected
    return build_report(RUN, names, results, **(arguments | changes))


FAILED = result(copy=copied(copied=3, failed=1, findings=(finding(),)))
SKIPPED = result(
    copy=copied(
        copied=3,
        skipped=1,
        findings=(finding(status=Status.SKIPPED, reason="proxy-cache", message="it is cached"),),
    )
)
STOPPED = result(inventory=None, copy=None, error="403: grant it", stage="inventory")


@pytest.mark.parametrize(
    "made",
    [
        result(),
        FAILED,
        SKIPPED,
        STOPPED,
        result(copy=None, dry_run=True),
        result(copy=copied(seconds=1.25, tags_set=2, blobs_mounted=3, blobs_present=1)),
        result(
            copy=copied(
                copied=3, failed=1, findings=(finding(tags=(), role=Role.CHILD, message="größe"),)
            ),
            harbor_url="https://harbor.example.com",
            destination="https://backup.example.com",
        ),
    ],
)
def test_results_survive_json(made: ProjectResult) -> None:
    assert ProjectResult.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_result_without_findings_keeps_its_numbers() -> None:
    data = FAILED.to_json(with_findings=False)
    read = ProjectResult.from_json(data)
    assert read.copy is not None
    assert (read.copy.failed, read.copy.findings) == (1, ())
    assert len(json.dumps(data)) < 1500


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"project": "x"},
        FAILED.to_json() | {"copy": {"project": "x"}},
        FAILED.to_json() | {"inventory": 1},
        FAILED.to_json() | {"stage": "nowhere"},
    ],
)
def test_another_shape_is_no_result(broken: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ProjectResult.from_json(broken)


class TestComplete:
    def test_when_every_project_is_done(self) -> None:
        made = report(result("a"), result("b"))
        assert made.complete
        assert made.headline == "Everything is protected"
        assert made.failures() == []

    def test_also_when_something_was_skipped_for_a_reason(self) -> None:
        made = report(SKIPPED)
        assert made.complete
        assert made.skipped == 1

    @pytest.mark.parametrize(
        ("bad", "line"),
        [
            (FAILED, f"library/nginx@{DIGEST} (1.25, latest): the quota is used up"),
            (STOPPED, "project library: 403: grant it"),
            (result(inventory=None), "project library: its result names no inventory"),
            (result(copy=None), "project library: only a dry run"),
            (result(dry_run=True), "project library: only a dry run"),
            (result(copy=copied(present=5)), "accounts for 9 of the 10 manifests"),
            (result(copy=copied(present=7)), "accounts for 11 of the 10 manifests"),
            (
                result(copy=copied(copied=3, failed=1)),
                "1 manifest failed, but its findings give the reasons of 0",
            ),
            (
                result(copy=copied(copied=3, skipped=1)),
                "1 manifest left out, but its findings give the reasons of 0",
            ),
        ],
    )
    def test_not_when_a_project_is_not_done(self, bad: ProjectResult, line: str) -> None:
        made = report(result("fine"), bad)
        assert not made.complete
        assert made.headline == "NOT everything is protected"
        assert made.unprotected == ("library",)
        assert len(made.failures()) == 1
        assert line in made.failures()[0]

    def test_not_when_a_project_left_no_result(self) -> None:
        made = report(result("a"), expected=["c", "a", "b"])
        assert not made.complete
        assert made.missing == ("b", "c")
        assert made.failures()[0].startswith("project b: it left no result")

    def test_not_when_nothing_was_asked_for(self) -> None:
        made = report()
        assert not made.complete
        assert made.failures() == [
            "there was no project to do anything for; check the project filters"
        ]

    def test_never_after_a_dry_run(self) -> None:
        made = report(result(copy=None, dry_run=True), dry_run=True)
        assert not made.complete
        assert made.headline == "Dry run: nothing was copied"
        assert made.failures() == []

    def test_whatever_other_projects_left(self) -> None:
        made = report(result("a"), STOPPED, expected=["a"])
        assert made.complete
        assert [r.project for r in made.projects] == ["a"]


def test_each_record_counts_once() -> None:
    made = report(result("a"), FAILED, replace(SKIPPED, project="c"))
    assert (made.copied, made.present, made.skipped, made.failed) == (10, 18, 1, 1)
    assert made.copied + made.present + made.skipped + made.failed == made.counts.records
    assert made.bytes_copied == 3 * 2048


LISTED = result("listed", copy=None, error="the destination was gone")
GAP = Gap(repository="library/bad", reason="error", message="500. Run the project again")


@pytest.mark.parametrize(
    ("made", "parts", "unknown"),
    [
        (report(result("a"), FAILED), (7, 12, 0, 1, 0), ""),
        (report(SKIPPED), (3, 6, 1, 0, 0), ""),
        # It was listed, and then stopped: nobody knows what became of the ten.
        (report(result("a"), LISTED), (4, 6, 0, 0, 10), ""),
        (report(result("a"), STOPPED), (4, 6, 0, 0, 0), "what 1 project (library) holds"),
        (
            report(result("a"), expected=["a", "d", "c", "e", "b"]),
            (4, 6, 0, 0, 0),
            "what 4 projects (b, c, d and 1 more) hold",
        ),
        (report(result(gaps=(GAP,))), (4, 6, 0, 0, 0), "what 1 repository holds"),
        (
            report(STOPPED, result("a", gaps=(GAP,))),
            (4, 6, 0, 0, 0),
            "what 1 project (library) and 1 repository hold",
        ),
        # It accounts for less than it should, which is an error of its own.
        (report(result(copy=copied(present=1))), (4, 1, 0, 0, 5), ""),
    ],
)
def test_one_sum_adds_up_and_what_is_not_known_is_shown_as_that(
    made: RunReport, parts: tuple[int, ...], unknown: str
) -> None:
    words = ("new", "unchanged", "left out", "failed", "not known")
    assert made.totals.parts == dict(zip(words, parts, strict=True))
    assert sum(parts) == made.counts.records == made.totals.total
    assert made.totals.unknown == unknown
    shown = ", ".join(f"{n:,} {word}" for n, word in zip(parts, words, strict=True) if n)
    text, line = made.to_text(), made.summary_line()
    assert f"{sum(parts)} manifests ({shown})" in line
    assert f"  manifests    {sum(parts)}: {shown}\n" in text
    assert (f"not known is {unknown}" in line) is bool(unknown)
    assert (f"  unknown      {unknown}\n" in text) is bool(unknown)
    page = Page(render_page(made))
    for number, word in zip(parts, words, strict=True):
        if number or word != "not known":
            assert re.search(rf"(?<!\d){number} {word}", page.text)
    assert (f"? not known: {unknown}" in page.text) is bool(unknown)
    # The bar has a part of its own for what is not known: it does not look full.
    bars = re.findall(r"background:var\(--(\w+)\)", render_page(made))
    assert ("unknown" in bars) is bool(unknown or parts[-1])


def test_what_the_manifests_are_adds_up_to_them() -> None:
    text = report(result("a"), result("b")).to_text()
    assert "14 artifacts, 2 children and 2 accessories are 18 digests; and 2 attestations" in text
    assert "  manifests    20: 8 new, 12 unchanged\n" in text
    assert "  projects     2 of 2 protected\n" in text


def test_a_row_of_the_page_adds_up_and_says_what_is_not_known_of_it() -> None:
    html = render_page(report(result("a"), LISTED, expected=["a", "listed", "gone"]))
    rows = {
        name: re.sub(r"<[^>]+>", "|", rest).strip("|")
        for name, rest in re.findall(r"<tr><td>(\w+)</td>(.*)</tr>", html)
    }
    numbers = re.findall(r"(?<=\|)\d+(?=\|)", rows["a"])
    manifests, _tags, *ended = map(int, numbers)
    assert (manifests, sum(ended)) == (10, 10)
    assert re.search(r"\|10\|.*\|not known$", rows["listed"])
    assert rows["gone"].endswith("|not known")


def test_the_order_of_results_does_not_matter() -> None:
    results = [result("b"), FAILED, STOPPED, result("a")]
    assert report(*results[:2], result("a")) == report(result("a"), *results[1::-1])


def test_times_need_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        report(result(), started_at=datetime(2025, 11, 25))


def test_summary_is_one_line_that_says_it_all() -> None:
    assert report(FAILED, result("a")).summary_line() == (
        "NOT everything is protected: 1 of 2 projects, 20 manifests (7 new, 12 unchanged, "
        "1 failed), 4.0 KiB sent, in 4 min 12 s"
    )


def test_a_dry_run_says_what_there_is_to_copy_and_not_what_was() -> None:
    plan = PlanCounts(to_copy=3, to_tag=1, present=6, most_bytes=2048)
    made = report(result(copy=None, dry_run=True, plan=plan), dry_run=True)
    assert made.summary_line() == (
        "Dry run: nothing was copied: 1 of 1 project, 10 manifests (3 to copy, 1 to tag, "
        "6 unchanged), at most 2.0 KiB to send, in 4 min 12 s"
    )
    assert "manifests    10: 3 to copy, 1 to tag, 6 unchanged\n" in made.to_text()
    assert "at most 2.0 KiB" in render_page(made)
    heads = ("Manifests", "Tags", "Content", "To copy", "At most", "To tag", "Unchanged")
    cells = ("10", "4", "3.0 GiB", "3", "2.0 KiB", "1", "6")
    html = render_page(made)
    assert re.findall(r'<th class="n">(.*?)</th>', html) == list(heads)
    assert re.findall(r'<td class="n[^"]*"[^>]*>(.*?)</td>', html) == list(cells)
    assert made.to_json()["planned"] == plan.to_json()


def test_a_dry_run_has_no_numbers_of_a_project_that_it_leaves_out() -> None:
    html = render_page(report(replace(SKIPPED, dry_run=True), dry_run=True))
    assert html.count('<th class="n">') == 7
    assert html.count('<td class="n') == 3
    assert '<td colspan="4">' in html
    assert "it is cached" in html


def test_a_run_that_did_not_begin_says_why_everywhere() -> None:
    why = "the login 'admin' was not accepted"
    made = report(error=why)
    assert not made.complete
    assert made.headline == "NOTHING was backed up"
    assert made.failures() == [why]
    assert f"! {why}" in made.to_text()
    assert "was not accepted" in render_page(made)
    assert not report(error=why, dry_run=True).complete


def test_text_is_short_and_aligned() -> None:
    many = tuple(finding(tags=(f"v{n}",)) for n in range(20))
    text = report(result(copy=copied(copied=0, present=0, failed=10, findings=many[:10]))).to_text()
    lines = text.splitlines()
    assert lines[0] == "NOT everything is protected"
    assert len(lines) <= 16
    assert all(re.match(r"  [a-zH]\w+ {2,}\S", line) for line in lines[1:10])
    assert lines[-1] == "  ! and 5 more, all in the report"


def test_a_finding_names_only_some_of_many_tags() -> None:
    text = str(finding(tags=tuple(f"v{n}" for n in range(9))))
    assert "(v0, v1, v2, v3, v4 and 4 more)" in text


def test_json_has_all_findings_and_the_verdict() -> None:
    data = json.loads(json.dumps(report(FAILED, expected=["library", "b"]).to_json()))
    assert data["complete"] is False
    assert data["missing"] == ["b"]
    assert data["started_at"] == "2025-11-25T01:00:00+00:00"
    assert data["projects"][0]["copy"]["findings"][0]["digest"] == DIGEST


def test_a_restore_has_words_of_its_own() -> None:
    made = report(result(), kind=Kind.RESTORE, snapshot="2025-11-24")
    html = render_page(made)
    assert made.headline == "Everything is restored"
    assert "protected" not in html + made.to_text()
    assert ">restored<" in html
    assert "2025-11-24" in html


class Page(HTMLParser):
    """A page as a strict reader sees it: every tag closed, and what is in it."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


class TestPage:
    @pytest.mark.parametrize(
        "made",
        [
            report(result("a"), FAILED, expected=["a", "library", "gone"]),
            report(SKIPPED),
            report(STOPPED),
            report(result(copy=None, dry_run=True), dry_run=True),
            report(),
        ],
    )
    def test_is_well_formed_and_needs_nothing_else(self, made: RunReport) -> None:
        html = render_page(made)
        page = Page(html)
        assert page.open == []
        assert made.headline in page.text
        assert not {"script", "link", "img", "iframe"} & set(page.tags)
        assert not {"src", "href"} & {name for name, _ in page.attributes}
        assert "url(" not in html
        assert "@import" not in html

    def test_says_what_happened_where_and_what_to_do(self) -> None:
        page = Page(render_page(report(FAILED, expected=["library", "gone"])))
        assert "library/nginx:1.25, latest" in page.text
        assert "sha256:0123456789ab" in page.text
        assert ("title", DIGEST) in page.attributes
        assert "the quota is used up. Raise it, and run it again" in page.text
        assert "it left no result" in page.text

    def test_says_the_same_thing_once(self) -> None:
        findings = tuple(finding(tags=(f"v{n}",)) for n in range(4))
        page = Page(render_page(report(result(copy=copied(copied=0, failed=4, findings=findings)))))
        assert page.text.count("the quota is used up. Raise it") == 1
        assert all(f"library/nginx:v{n}" in page.text for n in range(4))

    def test_stays_small_when_everything_failed(self) -> None:
        findings = tuple(finding(tags=(f"v{n}",), message=f"message {n}") for n in range(10_000))
        ref = inventory(records=10_000)
        bad = result(
            inventory=ref,
            copy=CopyReport(project="library", destination="x", failed=10_000, findings=findings),
        )
        html = render_page(report(bad))
        assert len(html) < 30_000
        assert "and 9,980 more" in html

    def test_escapes_whatever_comes_from_elsewhere(self) -> None:
        hostile = finding(repository=HOSTILE, tags=(HOSTILE,), reason=HOSTILE, message=HOSTILE)
        skipped = replace(hostile, status=Status.SKIPPED)
        bad = result(
            HOSTILE, copy=copied(copied=2, failed=1, skipped=1, findings=(hostile, skipped))
        )
        made = report(
            bad,
            replace(STOPPED, error=HOSTILE),
            expected=[HOSTILE, "library", HOSTILE + "2"],
            harbor_url=HOSTILE,
            harbor_version=HOSTILE,
            destination=HOSTILE,
        )
        html = render_page(replace(made, run=HOSTILE))
        assert "<script" not in html
        assert "&amp;&quot;?[2J" in html
        assert html.replace("\n", "").isprintable()
        assert Page(html).open == []


# -- the pace


def test_the_report_says_in_a_line_how_much_each_server_got_at_once() -> None:
    notes = [
        PaceNote(process="a", origin="https://harbor.example.com", most=37, pauses=3),
        PaceNote(process="a", origin="https://backup.example.com", most=8),
    ]
    later = [replace(notes[0], most=40)]
    made = report(
        result(copy=copied(pace=tuple(notes))), result("other", copy=copied("other", pace=later))
    )
    line = "https://harbor.example.com: at most 40 requests at once; asked to slow down 3 times"
    assert line in made.to_text()
    assert line in render_page(made)
    assert made.to_json()["pace"] == {
        "https://backup.example.com": "at most 8 requests at once",
        "https://harbor.example.com": "at most 40 requests at once; asked to slow down 3 times",
    }


def test_a_result_keeps_the_pace() -> None:
    made = copied(pace=(PaceNote(process="a", origin="https://a", most=5, pauses=1, breaks=2),))
    assert CopyReport.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_run_without_copies_has_no_pace() -> None:
    assert report(result(copy=None)).to_json()["pace"] == {}
