"""Labels on artifacts come back as what they were, or are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.outcome import State
from airflow_provider_harbor.core.jobs.settings.wanted import ARTIFACT_LABELS
from tests.core.rig import Backup, login, registry_login
from tests.core.settings_rig import Api, bring_back, titles, written
from tests.double import HarborDouble, Image

KINDS = ["project", "labels", ARTIFACT_LABELS]


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    with HarborDouble() as harbor:
        yield harbor


def label_id(api: Api, scope: str, name: str) -> int:
    where = "scope=g" if scope == "g" else "scope=p&project_id=2"
    return int(next(each["id"] for each in api.get(f"/labels?{where}") if each["name"] == name))


def labels_of(harbor: HarborDouble, digest: str) -> list[tuple[str, str]]:
    path = f"/projects/team/repositories/app/artifacts/{digest}?with_label=true"
    labels = Api(harbor).get(path).get("labels") or ()
    return sorted((each["scope"], each["name"]) for each in labels)


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """A night with a label of a project, one of all, and two of one name, on four images."""
    with HarborDouble() as harbor:
        api = Api(harbor)
        api.post("/projects", project_name="team")
        for name in ("both", "global"):
            api.post("/labels", name=name, scope="g", color="#000000")
        for name in ("both", "own"):
            api.post("/labels", name=name, scope="p", project_id=2, color="#000000")
        for tag, labels in (
            ("1", [("p", "own"), ("g", "global")]),
            ("2", [("g", "both")]),
            ("3", [("p", "both")]),
            ("4", [("p", "both"), ("g", "both")]),
        ):
            image = harbor.push("team/app", Image(tag), tag)
            for scope, name in labels:
                api.post(
                    f"/projects/team/repositories/app/artifacts/{image.digest}/labels",
                    id=label_id(api, scope, name),
                )
        with login(harbor) as client, registry_login(harbor) as registry:
            backup = Backup(client, registry, tmp_path / "store")
            backup.store.begin_for(harbor.url)
            export_settings(client, backup.store, "night-1")
            assert backup.run(backup.itself).complete
    return {"store": backup.store, "night": find_night(backup.store)}


def test_a_label_of_which_nobody_knows_which_it_was_is_told_and_not_guessed(
    made: dict[str, Any], new: HarborDouble
) -> None:
    digests = [Image(tag).digest for tag in "1234"]
    plan = bring_back(made, new, dry_run=True, kinds=KINDS)
    Api(new).post("/projects", project_name="team")
    for tag in "1234":
        new.push("team/app", Image(tag), tag)

    report = bring_back(made, new, kinds=KINDS)

    for each in (plan, report):
        cannot = titles(each, State.CANNOT)
        why = cannot["team 2 other labels on artifacts"]
        assert "both is one of the project and one of all projects" in why
        assert all(f"team/app@{digest[:19]}" in why for digest in digests[1:3])
        assert "4 labels on artifacts" in "\n".join(each.lines())
    assert [labels_of(new, digest) for digest in digests] == [
        [("g", "global"), ("p", "own")],
        [],
        [],
        [("g", "both"), ("p", "both")],
    ]
    # Once somebody has put them there, all is done.
    api = Api(new)
    for digest, scope in zip(digests[1:3], "gp", strict=True):
        path = f"/projects/team/repositories/app/artifacts/{digest}/labels"
        api.post(path, id=label_id(api, scope, "both"))
    assert not bring_back(made, new, kinds=KINDS).failures()
    assert written(new) == []


def test_a_label_is_that_of_the_night_whatever_has_its_name_there(
    made: dict[str, Any], new: HarborDouble
) -> None:
    api = Api(new)
    api.post("/projects", project_name="team")
    api.post("/labels", name="own", scope="g", color="#000000")
    api.post("/labels", name="global", scope="p", project_id=2, color="#000000")
    image = new.push("team/app", Image("1"), "1")
    bring_back(made, new, kinds=KINDS)
    assert labels_of(new, image.digest) == [("g", "global"), ("p", "own")]
