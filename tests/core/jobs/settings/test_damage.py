"""A document of settings that is damaged: the others come back, and it is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport, State
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


ODD: list[tuple[str, str, Any]] = [
    ("", "users", {"email": "a@example.com"}),
    ("", "users", {"username": 7}),
    ("", "robots", {"name": "r", "permissions": [{"kind": "system"}]}),
    ("", "robots", {"name": "r", "permissions": ["x"]}),
    ("", "registries", {"name": ["x"]}),
    ("", "replications", {"name": "r", "filters": [1.5]}),
    ("", "groups", {"name": "g", "type": None}),
    ("team", "members", {"name": "ann"}),
    ("team", "members", {"name": {"a": None}, "type": "user"}),
    ("team", "immutability", {"tag_selectors": ["x"]}),
    ("team", "webhooks", {"name": "w", "targets": "x"}),
    ("team", "retention", {"rules": 7}),
    ("team", "quota", {"storage": [1]}),
    ("team", "project", {"metadata": -1}),
]


@pytest.mark.parametrize(("scope", "kind", "item"), ODD)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_setting_of_another_form_is_one_finding_and_the_others_come_back(
    new: HarborDouble, tmp_path: Path, scope: str, kind: str, item: Any, dry_run: bool
) -> None:
    # Which is there, and would be no surplus if it could be told.
    Api(new).post("/usergroups", group_name="g", group_type=3)
    values: dict[str, dict[str, Any]] = {
        "": {"labels": [{"name": "everywhere"}]}, "team": PROJECT, "other": PROJECT
    }  # fmt: skip
    is_list = kind not in ("retention", "quota", "project")
    values[scope] = {**values[scope], kind: [item] if is_list else item}
    night = kept_settings(tmp_path, system=values.pop(""), **values)
    report = bring_back(night, new, dry_run=dry_run, delete_surplus=True)
    (line,) = [line for line in report.failures() if "it has another form" in line]
    assert line.startswith("project team: " if scope else kind[:4])
    assert [group["group_name"] for group in Api(new).get("/usergroups")] == ["g"]
    if dry_run:
        assert written(new) == []
    else:
        assert [label["name"] for label in Api(new).get("/labels?scope=g")] == ["everywhere"]
        assert names(new) == ({"other"} if kind == "project" else {"team", "other"})
