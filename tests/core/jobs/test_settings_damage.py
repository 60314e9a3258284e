"""A document of settings that is damaged: the others come back, and it is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings_outcome import ImportReport, State
from airflow_provider_harbor.core.store.settings_files import NightSettings
from tests.core.settings_rig import Api, bring_back, kept_settings, titles, written
from tests.double import HarborDouble

PROJECT = {"project": {"metadata": {"public": "true"}}, "labels": [{"name": "own"}]}


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    with HarborDouble() as harbor:
        yield harbor


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    system = {"labels": [{"name": "everywhere"}], "configurations": {"read_only": True}}
    return kept_settings(tmp_path, system=system, team=PROJECT, other=PROJECT)


def path_of(made: dict[str, Any], scope: str) -> Path:
    root = Path(made["store"].url.removeprefix("file://").removeprefix("file:"))
    return root / f"settings/{made['night'].settings.sha256_of(scope)}.json"


def names(harbor: HarborDouble) -> set[str]:
    return {project["name"] for project in Api(harbor).get("/projects")} - {"library"}


def damage(report: ImportReport) -> dict[str, str]:
    return {t: why for t, why in titles(report, State.CANNOT).items() if "all settings" in t}


@pytest.mark.parametrize("how", ["changed", "cut", "empty", "gone"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_damaged_project_is_named_and_the_others_come_back(
    new: HarborDouble, made: dict[str, Any], how: str, dry_run: bool
) -> None:
    path = path_of(made, "team")
    content = path.read_text()
    changed = {"changed": content.replace("own", "0wn"), "cut": content[:-9], "empty": ""}
    path.unlink() if how == "gone" else path.write_text(changed[how])
    report = bring_back(made, new, {"team/robots/ci": "a", "robots/x": "b"}, dry_run=dry_run)
    (title,) = damage(report)
    assert title == "team all settings"
    assert "damaged: " in damage(report)[title]
    assert [line for line in report.failures() if "project team: all settings: damaged" in line]
    assert report.unused == ("robots/x",)  # of what is damaged nobody can tell
    if dry_run:
        assert written(new) == []
        return
    assert names(new) == {"other"}
    assert [label["name"] for label in Api(new).get("/labels?scope=g")] == ["everywhere"]
    # Else it could not be mended any more.
    assert not Api(new).get("/configurations")["read_only"]["value"]


def test_a_damaged_system_is_named_and_projects_come_back(
    new: HarborDouble, made: dict[str, Any]
) -> None:
    path_of(made, "").write_text("{}")
    report = bring_back(made, new)
    assert list(damage(report)) == ["all settings of the system"]
    assert names(new) == {"team", "other"}


@pytest.mark.parametrize(
    ("scope", "options"),
    [
        ("", {"projects": ["team"]}),
        ("", {"kinds": ["project", "quota"]}),
        ("team", {"kinds": ["configurations"]}),
        ("team", {"projects": ["other"]}),
    ],
)
def test_damage_of_what_is_not_meant_does_not_matter(
    new: HarborDouble, made: dict[str, Any], scope: str, options: dict[str, Any]
) -> None:
    path_of(made, scope).unlink()
    report = bring_back(made, new, **options)
    assert report.failures() == []
    assert written(new)


def test_a_document_of_another_project_is_damage(new: HarborDouble, made: dict[str, Any]) -> None:
    night: NightSettings = made["night"].settings
    night.projects["team"] = night.projects["other"]  # type: ignore[index]
    report = bring_back(made, new)
    assert "is that of the project other" in damage(report)["team all settings"]
    assert names(new) == {"other"}
