from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborConfigurationError,
    HarborConnectionError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.http import rate
from airflow_provider_harbor.core.http.pace import default_pace
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.operators.units import (
    BackupInterruptedError,
    Heartbeat,
    as_flag,
    as_patterns,
    combined,
    do_each,
    make_units,
    raise_if_incomplete,
    set_pace,
)

NAMES = [f"project-{number:02}" for number in range(10)]


def test_a_unit_for_each_project_where_they_fit() -> None:
    assert make_units(NAMES, 10) == [{"name": name, "projects": [name]} for name in NAMES]


@pytest.mark.parametrize("max_units", range(1, 12))
def test_units_hold_each_project_once_and_in_order(max_units: int) -> None:
    units = make_units(NAMES, max_units)

    assert [name for unit in units for name in unit["projects"]] == NAMES
    assert len(units) <= max_units
    assert len({unit["name"] for unit in units}) == len(units)


def test_a_unit_of_several_is_named_by_its_ends() -> None:
    assert [unit["name"] for unit in make_units(NAMES, 2)] == [
        "project-00 to project-04 (5)",
        "project-05 to project-09 (5)",
    ]


def test_names_fit_into_airflow() -> None:
    long = ["a" * 255, "b" * 255]
    assert all(len(unit["name"]) <= 250 for n in (1, 2) for unit in make_units(long, n))


def test_no_projects_no_units() -> None:
    assert make_units([], 10) == []


def test_no_units_are_wanted() -> None:
    with pytest.raises(ValueError, match="max_units"):
        make_units(NAMES, 0)


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        (None, []),
        ("", []),
        ("team-*", ["team-*"]),
        ("team-a, team-b\nlibrary", ["team-a", "team-b", "library"]),
        (["team-a ", "", "team-b"], ["team-a", "team-b"]),
    ],
)
def test_patterns_from_a_form_or_a_template(value: Any, patterns: list[str]) -> None:
    assert as_patterns(value) == patterns


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("False", False), (" true", True)])
def test_flags_from_a_form_or_a_template(value: Any, flag: bool) -> None:
    assert as_flag(value) is flag


def test_flag_that_is_none() -> None:
    with pytest.raises(HarborConfigurationError, match="'perhaps' is neither true nor false"):
        as_flag("perhaps")


def test_one_failure_does_not_stop_the_others() -> None:
    def step(project: str) -> str:
        if project == "b":
            raise HarborProtocolError("no b")
        return project.upper()

    results, errors = do_each(["a", "b", "c"], step)

    assert results == ["A", "C"]
    assert list(errors) == ["b"]


def test_the_error_of_a_single_project_stays_what_it_is() -> None:
    error = HarborProtocolError("no b")

    assert combined({"b": error}, {"name": "b", "projects": ["b"]}) is error


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ({"a": HarborProtocolError("x")}, BackupIncompleteError),
        ({"a": HarborProtocolError("x"), "b": HarborConnectionError("y")}, BackupInterruptedError),
        ({"a": OSError("disk full")}, BackupInterruptedError),
        ({"a": BackupInterruptedError("x", []), "b": ValueError()}, BackupInterruptedError),
    ],
)
def test_errors_of_a_unit_of_several(errors: dict[str, Exception], kind: type) -> None:
    error = combined(errors, {"name": "all", "projects": ["a", "b", "c"]})

    assert type(error) is kind
    assert f"{len(errors)} of the 3 projects" in str(error)
    assert all(f"project {name}\n" in str(error) for name in errors)


def _result(*reasons: str) -> ProjectResult:
    findings = tuple(
        Finding(
            repository="a/app",
            digest=f"sha256:{number:064}",
            status=Status.FAILED,
            reason=reason,
            message=f"because of {reason}",
        )
        for number, reason in enumerate(reasons)
    )
    report = CopyReport(
        project="a", destination="d", copied=1, failed=len(reasons), findings=findings
    )
    return ProjectResult(project="a", run="r", copy=report)


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (["missing-blob"], BackupIncompleteError),
        (["connection"], BackupInterruptedError),
        (["missing-blob", "server-error"], BackupInterruptedError),
        # What was not tried shares the fate of what it needs.
        (["missing-blob", "not-tried"], BackupIncompleteError),
    ],
)
def test_failed_artifacts_are_tried_again_where_that_may_help(
    reasons: list[str], kind: type
) -> None:
    with pytest.raises(BackupIncompleteError) as caught:
        raise_if_incomplete(_result(*reasons))

    assert type(caught.value) is kind
    assert f"project a: {len(reasons)} of {len(reasons) + 1} digests" in str(caught.value)
    assert "because of " + reasons[0] in str(caught.value)


def test_nothing_failed() -> None:
    raise_if_incomplete(_result())
    raise_if_incomplete(ProjectResult(project="a", run="r", dry_run=True))


class Lines(list[str]):
    def info(self, text: str, *args: object) -> None:
        self.append(text % args)


def test_heartbeat_is_quiet_at_first() -> None:
    lines = Lines()
    Heartbeat(lines, "team-a")("1 of 2")

    assert lines == []


def test_heartbeat_names_the_project() -> None:
    lines = Lines()
    beat = Heartbeat(lines, "team-a", seconds=0)
    beat("1 of 2")
    Heartbeat(lines, seconds=0)("100 listed")

    assert lines == ["team-a: 1 of 2", "100 listed"]


@pytest.mark.parametrize(
    ("limit", "shares", "expected"),
    [(None, 4, None), ("", 4, None), (100, 4, 25e6), ("10", 1, 10e6), (0.5, 2, 250e3)],
)
def test_a_limit_is_divided_among_the_tasks_that_run_at_once(
    limit: Any, shares: int, expected: float | None
) -> None:
    try:
        set_pace(16, limit, shares)
        assert rate._limit.bytes_per_second == expected
        assert default_pace().host("https://a")._window._ceiling == 16
    finally:
        set_pace(64, None, 1)


@pytest.mark.parametrize("limit", [0, -5, "fast", "nan", [5], 0.0001])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(HarborConfigurationError, match="the limit is"):
        set_pace(16, limit, 4)
    assert rate._limit.bytes_per_second is None
