"""Any settings: brought to an empty Harbor, kept, brought to another one, kept, are the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.nights import SettingsNight
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings.steps import Stage
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.settings.form import dump_item, sorted_items
from airflow_provider_harbor.core.settings.kinds import kind_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument
from tests.core.rig import login
from tests.double import HarborDouble, Image
from tests.double.permissions import grantable
from tests.double.rest_projects import SEVERITIES
from tests.double.rest_webhooks import EVENTS

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=6)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=12)
FLAGS = st.sampled_from(("true", "false"))
CRONS = st.sampled_from(("0 0 0 * * *", "0 30 2 * * 1", "0 0 */6 * * *"))
KNOWN = grantable((2, 15, 2))


def items(key: str, of: st.SearchStrategy[dict[str, Any]], most: int = 3) -> Any:
    return st.lists(of, max_size=most, unique_by=lambda item: item[key].lower())


def without_zeros(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if value not in ("", None, False, [], {}, 0)}


def fields(**each: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(each).map(without_zeros)


@st.composite
def permissions(draw: st.DrawFn, kind: str, namespace: str) -> dict[str, Any]:
    pairs = draw(
        st.lists(st.sampled_from(sorted(KNOWN[kind])), min_size=1, max_size=5, unique=True)
    )
    access = [{"resource": resource, "action": action} for resource, action in pairs]
    access.sort(key=dump_item)
    return {"kind": kind, "namespace": namespace, "access": access}


SELECTORS = st.lists(
    fields(
        kind=st.just("doublestar"),
        decoration=st.sampled_from(("matches", "excludes")),
        pattern=WORDS,
        extras=st.sampled_from(("", '{"untagged":true}')),
    ),
    min_size=1,
    max_size=2,
)
SCOPE = st.fixed_dictionaries({
    "repository": st.lists(
        fields(kind=st.just("doublestar"), decoration=st.just("repoMatches"), pattern=WORDS),
        min_size=1, max_size=1,
    )
})  # fmt: skip
RULES = st.lists(
    fields(
        action=st.just("retain"),
        template=st.just("latestPushedK"),
        params=st.fixed_dictionaries({"latestPushedK": st.integers(0, 9)}),
        disabled=st.booleans(),
        tag_selectors=SELECTORS,
        scope_selectors=SCOPE,
    ),
    max_size=3,
    unique_by=repr,
)
LABELS = items("name", fields(name=WORDS, description=WORDS, color=st.just("#123456")))
WEBHOOKS = items(
    "name",
    fields(
        name=NAMES,
        description=st.one_of(st.just(""), WORDS),
        enabled=st.booleans(),
        event_types=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=4, unique=True),
        targets=st.lists(
            fields(
                type=st.just("http"),
                address=st.just("https://example.com/hook"),
                skip_cert_verify=st.booleans(),
                payload_format=st.sampled_from(("Default", "CloudEvents")),
            ),
            min_size=1,
            max_size=2,
        ),
    ),
)
USERS = ("ann", "bob", "eve")
ROLES = st.sampled_from(("projectAdmin", "developer", "guest", "maintainer", "limitedGuest"))


def robots(kind: str, namespace: str) -> Any:
    return items(
        "name",
        fields(
            name=NAMES,
            description=st.one_of(st.just(""), WORDS),
            disable=st.booleans(),
            duration=st.sampled_from((-1, 1, 90)),
            permissions=permissions(kind, namespace).map(lambda row: [row]),
        ),
    )


@st.composite
def projects(draw: st.DrawFn, name: str) -> dict[str, Any]:
    members = draw(st.dictionaries(st.sampled_from((*USERS, "admin")), ROLES))
    trigger = draw(st.one_of(st.just({}), CRONS.map(lambda cron: {"settings": {"cron": cron}})))
    policy = {"algorithm": "or", "rules": draw(RULES), "trigger": {"kind": "Schedule", **trigger}}
    own = {
        "metadata": {
            "public": draw(FLAGS),
            **draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "severity": st.sampled_from(SEVERITIES),
                        "auto_scan": FLAGS,
                        "prevent_vul": FLAGS,
                        "reuse_sys_cve_allowlist": FLAGS,
                    },
                )
            ),
        },
        "cve_allowlist": without_zeros({"items": sorted(draw(st.sets(NAMES, max_size=3)))}),
    }
    return {
        "project": without_zeros(own),
        "quota": {"storage": draw(st.one_of(st.just(-1), st.integers(1, 10**12)))},
        "members": [
            {"type": "user", "name": user, "role": role} for user, role in sorted(members.items())
        ],
        "labels": draw(LABELS),
        "robots": draw(robots("project", name)),
        "retention": without_zeros(policy) if draw(st.booleans()) else None,
        "immutability": draw(
            st.lists(
                fields(
                    action=st.just("immutable"),
                    template=st.just("immutable_template"),
                    disabled=st.booleans(),
                    tag_selectors=SELECTORS,
                    scope_selectors=SCOPE,
                ),
                max_size=2,
                unique_by=lambda rule: repr((rule["tag_selectors"], rule["scope_selectors"])),
            )
        ),
        "webhooks": draw(WEBHOOKS),
        "preheat-policies": [],
    }


@st.composite
def harbors(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """All settings of a Harbor, by scope."""
    users = [
        {"username": name, "email": f"{name}@example.com", "realname": name.title()}
        for name in USERS
    ]
    system = {
        "configurations": {
            "token_expiration": draw(st.integers(1, 600)),
            "session_timeout": draw(st.integers(1, 600)),
            "banner_message": draw(WORDS),
            "robot_name_prefix": draw(st.sampled_from(("robot$", "bot_", "r+"))),
            "self_registration": draw(st.booleans()),
        },
        "users": users,
        "groups": draw(items("name", fields(name=NAMES, type=st.sampled_from(("oidc", "http"))))),
        "labels": draw(LABELS),
        "robots": draw(robots("system", "/")),
        "garbage-collection": draw(
            st.one_of(
                st.none(),
                fields(
                    type=st.just("Custom"),
                    cron=CRONS,
                    parameters=fields(delete_untagged=st.booleans(), workers=st.integers(1, 5)),
                ),
            )
        ),
    }
    names = draw(st.lists(st.sampled_from(("team", "42", "a-b.c")), max_size=2, unique=True))
    return {"": system, **{name: draw(projects(name)) for name in names}}


def import_to(harbor: HarborDouble, store: BackupStore, night: NightSettings) -> ImportReport:
    secrets = {f"users/{name}": "Password-1234" for name in USERS}
    found = SettingsNight(key="made", settings=night)
    results: list[ImportReport] = []
    for stages in ((Stage.BEFORE,), (Stage.AFTER,)):
        with login(harbor) as client:
            wanted = SettingsImport(
                store=store, night=found, given=GivenSecrets(secrets), stages=stages
            )
            results.append(import_settings(client, wanted, on_secret=lambda key, secret: None))
            assert results[-1].failures() == []
        for name in night.projects:
            if stages == (Stage.BEFORE,) and name != "library":
                harbor.push(f"{name}/app", Image("app"), "1.0")
    return results[-1]


def export_of(harbor: HarborDouble, path: Path) -> tuple[BackupStore, NightSettings]:
    store = BackupStore(path)
    store.begin_for(harbor.url)
    with login(harbor) as client:
        return store, export_settings(client, store, "night").night


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate], derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(harbors())
def test_any_settings_come_back_byte_for_byte_and_twice_is_once(
    wanted: dict[str, dict[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as directory, HarborDouble() as one, HarborDouble() as other:
        root = Path(directory)
        made = BackupStore(root / "made")
        names = {
            scope: made.settings.write(SettingsDocument(scope=scope, values=values))
            for scope, values in wanted.items()
        }
        import_to(one, made, NightSettings(system=names.pop(""), projects=names))
        store, first = export_of(one, root / "one")
        # What was asked for is what is there: all of it, but for what was not said.
        for scope, values in wanted.items():
            there = store.settings.read(first.sha256_of(scope)).values
            for kind, value in values.items():
                if kind == "configurations":
                    assert value.items() <= there[kind].items()
                else:
                    assert there[kind] == sorted_by_name(value), (scope, kind)
        import_to(other, store, first)
        _, second = export_of(other, root / "other")
        assert (second.system, second.projects) == (first.system, first.projects)
        other.requests.reset()
        import_to(other, store, first)
        writes = [e for e in other.requests.log if e[0] != "GET" and e[1].startswith("/api/")]
        assert writes == []


def sorted_by_name(value: Any) -> Any:
    """Return a list in the order of documents, which is that of keys."""
    if not isinstance(value, list) or not value:
        return value
    if "tag_selectors" in value[0]:
        return sorted_items(kind_of("project", "immutability"), value)
    if "type" in value[0]:
        return sorted(value, key=lambda item: (item["type"], item["name"]))
    return sorted(value, key=lambda item: str(item.get("name", item.get("username"))))
