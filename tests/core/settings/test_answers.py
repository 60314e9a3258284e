"""Answers that Harbor never gives are no empty settings, and no two settings have one key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_harbor.core.settings.kinds import kind_of
from airflow_provider_harbor.core.settings.reader import read_settings
from tests.core.rig import login
from tests.core.settings_rig import ANY, READER, Api, robot, seed, services, tags
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


# -- a schedule that Harbor does not show, for want of a scanner


def schedule_and_lose_the_scanner(harbor: HarborDouble, url: str) -> None:
    api = Api(harbor)
    number = api.post("/scanners", name="s", url=url)
    api.put("/system/scanAll/schedule", schedule={"type": "Daily", "cron": "0 0 3 * * *"})
    api.delete(f"/scanners/{number}")


def test_a_schedule_that_harbor_does_not_show_is_not_said_to_be_none() -> None:
    with services() as service, HarborDouble() as harbor, login(harbor) as client:
        schedule_and_lose_the_scanner(harbor, service.url)
        found = read_settings(client)
        assert ("", "scan-all") not in found.values
        (note,) = found.unread
        assert note.reason.startswith("there is one, and Harbor does not show it")
        assert (note.kind, note.failed, note.denied) == ("scan-all", False, False)


def test_who_may_not_list_the_schedules_does_not_know_whether_there_is_one() -> None:
    with HarborDouble() as harbor:
        who = robot(harbor, READER["system"], READER["project"])
        more = robot(harbor, f"{READER['system']} jobservice-monitor:list", "", name="more")
        for name, kinds in ((who, {"configurations", "scan-all"}), (more, {"configurations"})):
            with login(harbor, *name) as client:
                found = read_settings(client, include=["nobody"])
            assert {note.kind for note in found.unread} == kinds
            assert (("", "scan-all") in found.values) == ("scan-all" not in kinds)
        harbor.faults.add(Fault(path="/schedules", status=200, body="{}", times=None))
        with login(harbor, *more) as client:
            found = read_settings(client, include=["nobody"])
        assert "nobody can tell whether there is one" in found.unread[-1].reason


# -- nonsense


@pytest.mark.parametrize(
    ("path", "kind", "bodies"),
    [
        (
            "/retentions/",
            "retention",
            (
                '{"algorithm": "or", "rules": {}}',
                '{"algorithm": "or", "rules": "x"}',
                '{"algorithm": "or", "trigger": []}',
                '{"algorithm": "or", "trigger": {"settings": 0}}',
                '{"algorithm": null}',
                '{"algorithm": "or", "rules": [], "scope": {"level": "project", "ref": 99}}',
            ),
        ),
        (
            "/metadatas/",
            "project",
            ('{"public": {}}', '{"public": null}', '{"public": "true", "severity": [1]}'),
        ),
        (
            "/configurations",
            "configurations",
            ('{"auth_mode": {}}', '{"auth_mode": "db_auth"}', '{"auth_mode": {"value": 7}}'),
        ),
        ("/system/CVEAllowlist", "cve-allowlist", ('{"items": {}}', '{"items": "CVE-1"}')),
        ("/system/gc/schedule", "garbage-collection", ('{"schedule": ""}', '{"schedule": []}')),
        (
            "/quotas",
            "quota",
            ('[{"ref": {"name": "team"}, "hard": {"storage": "7"}}]',),
        ),
    ],
)
def test_nonsense_is_a_finding_and_not_nothing(
    seeded: HarborDouble, path: str, kind: str, bodies: tuple[str, ...]
) -> None:
    for body in bodies:
        seeded.faults.add(
            Fault(
                method="GET", path=path, status=200, body=body, times=None,
                headers={"X-Total-Count": "1"}, content_type="application/json",
            )
        )  # fmt: skip
        try:
            with login(seeded) as client:
                found = read_settings(client, include=["team"])
        finally:
            seeded.faults.clear()
        (unread,) = [each for each in found.unread if each.kind == kind]
        assert unread.failed, body
        assert (unread.scope, kind) not in found.values


def test_a_policy_that_a_project_names_in_no_way_known_is_a_finding(seeded: HarborDouble) -> None:
    team = seeded.state.project("team")
    assert team is not None
    number = team.metadata["retention_id"]
    team.metadata["retention_id"] = "seven"
    try:
        with login(seeded) as client:
            found = read_settings(client, include=["team"])
    finally:
        team.metadata["retention_id"] = number
    (unread,) = found.unread
    assert (unread.scope, unread.kind, unread.failed) == ("team", "retention", True)
    assert ("team", "retention") not in found.values
