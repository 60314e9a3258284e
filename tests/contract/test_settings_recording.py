"""The double answers each recorded request about settings as the real Harbor did."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.contract.settings_replay import (
    Service,
    SettingsReplayer,
    load_settings,
    load_settings_scenario,
)
from tests.double import HarborDouble

EXCHANGES = load_settings()


@contextmanager
def seeded_replayer() -> Iterator[SettingsReplayer]:
    scanner = load_settings_scenario()["scanner"]
    with HarborDouble(behind_nginx=False) as harbor, Service(scanner) as service:
        replayer = SettingsReplayer(harbor.url, harbor.user, harbor.password, service.url)
        replayer.seed()
        yield replayer


def test_all_recorded_exchanges_are_answered_as_harbor_answered_them():
    assert len(EXCHANGES) == 250
    assert len({exchange["name"] for exchange in EXCHANGES}) == 250
    with seeded_replayer() as replayer:
        report = [
            f"{exchange['name']}: {difference}"
            for exchange in EXCHANGES
            for difference in replayer.replay_settings(exchange)
        ]
    assert not report, "\n".join(report)


def tampered(name: str, *path: str | int, value: Any) -> tuple[str, tuple[str | int, ...], Any]:
    return name, path, value


# Each is one value of one recorded answer that is another one, or gone where it is None.
TAMPERED = [
    tampered("configurations [admin]", "body", "robot_name_prefix", "value", value="robot"),
    tampered("configurations [admin]", "body", "auth_mode", "editable", value=None),
    tampered("configurations bogus mode [admin]", "body", "errors", 0, "message", value="bad"),
    tampered("users [admin]", "body", 0, "sysadmin_flag", value=True),
    tampered("user [anonymous]", "status", value=401),
    tampered("create project [admin]", "headers", "location", value="/api/v2.0/projects/<uuid>"),
    tampered("project after update [admin]", "body", "metadata", "severity", value="bogus"),
    tampered("members after changes [admin]", "headers", "x-total-count", value="4"),
    tampered("robot after update [admin]", "body", "permissions", 0, "access", value=[]),
    tampered("artifacts with labels [admin]", "body", 0, "labels", 1, "name", value="hs-global"),
    tampered("retention after update [admin]", "body", "trigger", "settings", "cron", value=""),
    tampered("immutability [admin]", "body", 0, "disabled", value=False),
    tampered("registries [admin]", "body", 0, "url", value="<service>/"),
    tampered("registries [admin]", "body", 1, "credential", "type", value="basic"),
    tampered("replications [admin]", "body", 0, "src_registry", "name", value="Local"),
    tampered("preheat instance after update [admin]", "body", "setup_timestamp", value="<int>"),
    tampered("scanners [admin]", "body", 0, "uuid", value="<int>"),
    tampered("garbage collection schedule when none [admin]", "headers", value={}),
    tampered("all schedules [admin]", "body", 0, "vendor_type", value="RETENTION"),
    tampered("no scan all schedule [admin]", "cookies", value=[]),
]


def test_an_answer_that_differs_from_the_recording_is_reported():
    """All at once, since each exchange builds on those before it."""
    exchanges = copy.deepcopy(EXCHANGES)
    by_name = {exchange["name"]: exchange for exchange in exchanges}
    for name, path, value in TAMPERED:
        place = by_name[name]["answer"]
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
    with seeded_replayer() as replayer:
        reports = {exchange["name"]: replayer.replay_settings(exchange) for exchange in exchanges}
    reported = {name for name, report in reports.items() if report}
    assert reported == {name for name, _, _ in TAMPERED}
    # Two values of one answer are two differences.
    assert {name: len(reports[name]) for name in reported} == {
        name: sum(each == name for each, _, _ in TAMPERED) for name in reported
    }
