"""Answers that Harbor never gives are no empty settings, and no two settings have one key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_harbor.core.harbor.settings_kinds import kind_of
from airflow_provider_harbor.core.harbor.settings_reader import read_settings
from tests.core.rig import login
from tests.core.settings_rig import ANY, Api, seed, services, tags
from tests.double import HarborDouble
from tests.double.faults import Fault


@pytest.fixture(scope="module")
def seeded() -> Iterator[HarborDouble]:
    with services() as service, HarborDouble() as harbor:
        seed(harbor, service.url)
        yield harbor


@pytest.mark.parametrize(
    ("path", "scope", "kind"),
    [
        ("/configurations", "", "configurations"),
        ("/system/CVEAllowlist", "", "cve-allowlist"),
        ("/system/gc/schedule", "", "garbage-collection"),
        ("/system/purgeaudit/schedule", "", "purge-audit"),
        ("/system/scanAll/schedule", "", "scan-all"),
        ("/projects/team/metadatas/", "team", "project"),
        ("/retentions/", "team", "retention"),
    ],
)
def test_an_answer_without_what_each_harbor_gives_is_a_finding(
    seeded: HarborDouble, path: str, scope: str, kind: str
) -> None:
    seeded.faults.add(
        Fault(
            method="GET", path=path, status=200, body="{}", content_type="application/json",
            times=None,
        )
    )  # fmt: skip
    try:
        with login(seeded) as client:
            found = read_settings(client, include=["team"])
    finally:
        seeded.faults.clear()
    (unread,) = found.unread
    assert (unread.scope, unread.kind, unread.failed) == (scope, kind, True)
    assert "has no field" in unread.reason


def test_a_schedule_that_is_none_is_no_finding() -> None:
    with HarborDouble() as harbor, login(harbor) as client:
        found = read_settings(client)
    assert found.unread == ()
    assert found.values["", "garbage-collection"] is None


def test_rules_of_immutability_that_differ_have_different_keys(seeded: HarborDouble) -> None:
    kind = kind_of("team", "immutability")
    rules = [
        {"tag_selectors": selectors, "scope_selectors": ANY}
        for selectors in (
            tags("x, matches y"),
            tags("x") + tags("y"),
            tags('x" in "y'),
            tags("x in repository y"),
            tags("x", extras="a") + tags("y"),
            tags("x") + tags("y", extras="a"),
            tags("{a,b}"),
            tags(""),
            [],
        )
    ]
    assert len({kind.key_of(rule) for rule in rules}) == len(rules)
    # What is plain is read as it is.
    assert kind.key_of({"tag_selectors": tags("v*"), "scope_selectors": ANY}) == (
        "tags matches v* in repository repoMatches **"
    )


def test_rules_that_look_alike_are_all_read() -> None:
    with HarborDouble() as harbor, login(harbor) as client:
        api = Api(harbor)
        api.post("/projects", project_name="team")
        for selectors in (tags("x, matches y"), tags("x") + tags("y")):
            api.post(
                "/projects/team/immutabletagrules", action="immutable",
                template="immutable_template", tag_selectors=selectors, scope_selectors=ANY,
            )  # fmt: skip
        assert len(read_settings(client).values["team", "immutability"]) == 2
