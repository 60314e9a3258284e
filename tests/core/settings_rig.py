"""A Harbor with settings of every kind, and what tests of settings share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.nights import SettingsNight
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport, State
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument
from tests.contract.settings_replay import Service
from tests.core.rig import login
from tests.double import HarborDouble
from tests.double.content import Image

SCANNER = {
    "scanner": {"name": "Stand-in", "vendor": "Nobody", "version": "1"},
    "capabilities": [
        {"type": "vulnerability", "consumes_mime_types": [], "produces_mime_types": []}
    ],
}
# What must never be seen, in clear, of what is written.
SECRETS = {
    "registry": "Seeded-registry-1",
    "scanner": "Seeded-scanner-1",
    "preheat": "Seeded-preheat-1",
    "webhook": "Bearer Seeded-webhook-1",
    "uaa": "Seeded-uaa-1",
    "ldap": "Seeded-ldap-1",
    "robot": "Seeded-robot-1",
    "user": "Seeded-user-1",
}
ANY = {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]}
READER = {
    "system": (
        "project:list user:list user-group:list robot:list registry:list replication-policy:list "
        "preheat-instance:list scanner:list garbage-collection:read purge-audit:read scan-all:read "
        "quota:list"
    ),
    "project": (
        "metadata:list member:list label:list robot:list tag-retention:read immutable-tag:list "
        "notification-policy:list preheat-policy:list"
    ),
}


def tags(pattern: str, **more: Any) -> list[dict[str, Any]]:
    return [{"kind": "doublestar", "decoration": "matches", "pattern": pattern, **more}]


def access(text: str) -> list[dict[str, str]]:
    pairs = (each.split(":") for each in text.split())
    return [{"resource": resource, "action": action} for resource, action in pairs]


def grants(system: str = "", project: str = "", namespace: str = "*") -> list[dict[str, Any]]:
    """Return the permissions of a robot."""
    rows = [("system", "/", system), ("project", namespace, project)]
    return [{"kind": k, "namespace": n, "access": access(t)} for k, n, t in rows if t]


class Api:
    """The REST API of a double, as its administrator; whatever is refused is an error."""

    def __init__(self, harbor: HarborDouble) -> None:
        self._url = f"{harbor.url}/api/v2.0"
        self._session = requests.Session()
        self._session.auth = (harbor.user, harbor.password)
        self._session.headers["X-Is-Resource-Name"] = "true"

    def send(self, method: str, path: str, body: Any = None) -> requests.Response:
        self._session.cookies.clear()
        answer = self._session.request(method, self._url + path, json=body, timeout=120)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def get(self, path: str) -> Any:
        return self.send("GET", path).json()

    def post(self, path: str, **body: Any) -> str:
        """Create something, and return its number."""
        return self.send("POST", path, body).headers.get("Location", "").rpartition("/")[2]

    def put(self, path: str, **body: Any) -> None:
        self.send("PUT", path, body)

    def delete(self, path: str) -> None:
        self.send("DELETE", path)


@contextmanager
def services() -> Iterator[Service]:
    """A registry, scanner and provider of preheating that answers well."""
    with Service(SCANNER) as service:
        yield service


def robot(harbor: HarborDouble, system: str, project: str, name: str = "reader") -> tuple[str, str]:
    """Make a robot that may do so much and no more; returns its login."""
    made = harbor.state.create_robot(
        name, grants(system, project), secret="Reader-12345", level="system", duration=-1
    )
    return made.name, "Reader-12345"


def seed(harbor: HarborDouble, service: str) -> None:
    """Set something of every kind, as settings.md says in its section 6."""
    api = Api(harbor)
    _seed_system(api, service)
    _seed_team(api, harbor)
    _seed_others(api, harbor)
    _seed_policies(api)


def _seed_system(api: Api, service: str) -> None:
    api.put(
        "/configurations",
        robot_name_prefix="bot_",
        token_expiration=45,
        session_timeout=90,
        banner_message=json.dumps({"message": "Grüße", "type": "info"}),
        self_registration=False,
        project_creation_restriction="adminonly",
        robot_token_duration=60,
        uaa_client_secret=SECRETS["uaa"],
        uaa_client_id="uaa",
        oidc_scope="openid,profile",
        ldap_search_password=SECRETS["ldap"],
        storage_per_project=50_000_000_000,
    )
    api.put("/system/CVEAllowlist", items=[{"cve_id": "CVE-2026-2"}, {"cve_id": "CVE-2026-1"}])
    for name, more in (("ann", {"comment": "first"}), ("bob", {}), ("chief", {})):
        number = api.post(
            "/users", username=name, email=f"{name}@example.com", realname=name.title(),
            password=SECRETS["user"], **more,
        )  # fmt: skip
        if name == "chief":
            api.put(f"/users/{number}/sysadmin", sysadmin_flag=True)
    api.post("/usergroups", group_name="ops", group_type=3)
    api.post("/usergroups", group_name="web", group_type=2)
    api.post(
        "/registries", name="upstream", type="docker-registry", url=service,
        description="caches", credential={
            "type": "basic", "access_key": "puller", "access_secret": SECRETS["registry"]
        },
    )  # fmt: skip
    api.post("/registries", name="plain", type="docker-registry", url=service, insecure=True)
    for name in ("zeta", "äther", "stable"):
        api.post("/labels", name=name, scope="g", color="#0065AB", description=f"of all {name}")
    api.post("/scanners", name="first", url=f"{service}/one")
    second = api.post(
        "/scanners", name="second", url=f"{service}/two", auth="Bearer",
        access_credential=SECRETS["scanner"], description="with a credential",
    )  # fmt: skip
    api.send("PATCH", f"/scanners/{second}", {"is_default": True})
    api.post(
        "/p2p/preheat/instances", name="swarm", vendor="dragonfly", endpoint=f"{service}/swarm",
        enabled=True, default=True, auth_mode="BASIC",
        auth_info={"username": "swarm", "password": SECRETS["preheat"]},
    )  # fmt: skip


def _seed_team(api: Api, harbor: HarborDouble) -> None:
    api.post(
        "/projects", project_name="team", storage_limit=10_000_000_000,
        metadata={
            "public": "true", "auto_scan": "true", "prevent_vul": "true", "severity": "high",
            "reuse_sys_cve_allowlist": "false", "enable_content_trust_cosign": "false",
            "auto_sbom_generation": "true",
        },
    )  # fmt: skip
    api.put("/projects/team", cve_allowlist={
        "items": [{"cve_id": "CVE-2025-9"}, {"cve_id": "CVE-2025-1"}], "expires_at": 1_900_000_000,
    })  # fmt: skip
    groups = {group["group_name"]: group["id"] for group in api.get("/usergroups")}
    for role, user in ((2, "ann"), (5, "bob")):
        api.post("/projects/team/members", role_id=role, member_user={"username": user})
    for role, group in ((4, "ops"), (3, "web")):
        api.post("/projects/team/members", role_id=role, member_group={"id": groups[group]})
    team = harbor.state.project("team")
    assert team is not None
    for name in ("stable", "project only"):
        api.post("/labels", name=name, scope="p", project_id=team.id, color="#FF0000")
    image = harbor.push("team/deep/app", Image("app"), "1.0", "latest")
    labels = api.get(f"/labels?scope=p&project_id={team.id}") + api.get("/labels?scope=g&name=zeta")
    for label in labels:
        if label["name"] != "stable":
            path = f"/projects/team/repositories/deep%252Fapp/artifacts/{image.digest}/labels"
            api.post(path, id=label["id"])
    scanners = {scanner["name"]: scanner["uuid"] for scanner in api.get("/scanners")}
    api.put("/projects/team/scanner", uuid=scanners["first"])
    rule = {"action": "retain", "scope_selectors": ANY, "tag_selectors": tags("**")}
    api.post(
        "/retentions", algorithm="or", scope={"level": "project", "ref": team.id},
        trigger={"kind": "Schedule", "settings": {"cron": "0 0 0 * * *"}},
        rules=[
            {**rule, "template": "latestPushedK", "params": {"latestPushedK": 10}},
            {**rule, "template": "nDaysSinceLastPull", "params": {"nDaysSinceLastPull": 30},
             "tag_selectors": tags("rc-*", extras='{"untagged":true}')},
            {**rule, "template": "always", "disabled": True},
        ],
    )  # fmt: skip
    for pattern in ("v*", "release-*"):
        number = api.post(
            "/projects/team/immutabletagrules", action="immutable", template="immutable_template",
            tag_selectors=tags(pattern), scope_selectors=ANY,
        )  # fmt: skip
        if pattern == "release-*":
            api.put(
                f"/projects/team/immutabletagrules/{number}", id=int(number), disabled=True,
                action="immutable", template="immutable_template", tag_selectors=tags(pattern),
                scope_selectors=ANY,
            )  # fmt: skip


def _seed_others(api: Api, harbor: HarborDouble) -> None:
    api.post("/projects", project_name="bare", metadata={"public": "false"})
    api.post("/projects", project_name="12345", storage_limit=-1)
    registries = {registry["name"]: registry["id"] for registry in api.get("/registries")}
    for name in ("cache", "cache-kept"):
        api.post(
            "/projects", project_name=name, registry_id=registries["upstream"],
            metadata={"public": "true", "proxy_speed_kb": "1024"},
        )  # fmt: skip
    proxy = api.get("/projects/cache")
    api.delete(f"/retentions/{proxy['metadata']['retention_id']}")
    # Without its creator among its members.
    api.post("/projects/bare/members", role_id=1, member_user={"username": "ann"})
    creator = next(m for m in api.get("/projects/bare/members") if m["entity_name"] == "admin")
    api.delete(f"/projects/bare/members/{creator['id']}")
    bare, digits = harbor.state.project("bare"), harbor.state.project("12345")
    assert bare is not None
    assert digits is not None
    api.post("/labels", name="stable", scope="p", project_id=digits.id, color="#00FF00")
    api.post(
        "/retentions", algorithm="or", scope={"level": "project", "ref": bare.id}, rules=[],
        trigger={"kind": "Schedule", "settings": {"cron": ""}},
    )  # fmt: skip


def _robot(api: Api, **body: Any) -> None:
    disable = body.pop("disable", False)
    made = api.send("POST", "/robots", body).json()
    if disable:
        api.put(f"/robots/{made['id']}", **{**body, "name": made["name"], "disable": True})


def _seed_policies(api: Api) -> None:
    everything = grants(READER["system"], "repository:pull repository:push artifact:list")
    some = [
        *grants(project="repository:pull", namespace="team"),
        *grants(project="repository:push repository:pull", namespace="12345"),
    ]
    _robot(api, name="all", level="system", duration=-1, permissions=everything)
    _robot(api, name="some", level="system", duration=90, permissions=some, description="of two")
    _robot(api, name="off", level="system", duration=30, permissions=some[:1], disable=True)
    for project in ("team", "12345"):
        _robot(
            api, name="ci", level="project", duration=-1,
            permissions=grants(project="repository:pull repository:push", namespace=project),
        )  # fmt: skip
    events = api.get("/projects/team/webhook/events")["event_type"]
    api.post(
        "/projects/team/webhook/policies", name="all events", enabled=True, event_types=events,
        targets=[{
            "type": "http", "address": "https://hooks.example.com/harbor",
            "auth_header": SECRETS["webhook"], "skip_cert_verify": True,
            "payload_format": "CloudEvents",
        }],
    )  # fmt: skip
    api.post(
        "/projects/team/webhook/policies", name="chat", enabled=False, description="quiet",
        event_types=["QUOTA_EXCEED"],
        targets=[{"type": "slack", "address": "https://chat.example.com/hook"}],
    )  # fmt: skip
    provider = api.get("/p2p/preheat/instances")[0]["id"]
    team = api.get("/projects/team")["project_id"]
    api.post(
        "/projects/team/preheat/policies", name="nightly", project_id=team, provider_id=provider,
        enabled=True, filters=json.dumps([{"type": "repository", "value": "**"}]),
        trigger=json.dumps({"type": "scheduled", "trigger_setting": {"cron": "0 30 1 * * *"}}),
    )  # fmt: skip
    registries = {registry["name"]: {"id": registry["id"]} for registry in api.get("/registries")}
    api.post(
        "/replication/policies", name="pull nightly", src_registry=registries["upstream"],
        enabled=True, deletion=True, override=True, speed=512, dest_namespace="team",
        dest_namespace_replace_count=0, copy_by_chunk=True,
        trigger={"type": "scheduled", "trigger_settings": {"cron": "0 15 2 * * *"}},
        filters=[{"type": "name", "value": "library/**"}, {"type": "label", "value": ["stable"]}],
    )  # fmt: skip
    api.post(
        "/replication/policies", name="push all", dest_registry=registries["plain"], enabled=True,
        trigger={"type": "event_based"}, filters=[],
    )  # fmt: skip
    api.post(
        "/replication/policies", name="by hand", dest_registry=registries["plain"], enabled=False,
        trigger={"type": "manual"},
    )  # fmt: skip
    _seed_schedules(api)


def _seed_schedules(api: Api) -> None:
    weekly: Mapping[str, Any] = {"type": "Weekly", "cron": "0 0 0 * * 0"}
    api.put(
        "/system/gc/schedule", schedule=weekly,
        parameters={"delete_untagged": True, "workers": 2, "dry_run": False},
    )  # fmt: skip
    api.put(
        "/system/purgeaudit/schedule", schedule={"type": "Daily", "cron": "0 0 1 * * *"},
        parameters={"audit_retention_hour": 720, "include_event_types": "create_artifact"},
    )  # fmt: skip
    api.put("/system/scanAll/schedule", schedule={"type": "Custom", "cron": "0 0 3 * * *"})


def given(**more: Any) -> dict[str, Any]:
    """Return the secrets that an import of what was seeded needs."""
    secrets: dict[str, Any] = {
        **{f"users/{name}": SECRETS["user"] for name in ("ann", "bob", "chief")},
        **{f"robots/{name}": SECRETS["robot"] for name in ("all", "some", "off")},
        "team/robots/ci": SECRETS["robot"],
        "12345/robots/ci": SECRETS["robot"],
        "registries/upstream": SECRETS["registry"],
        "scanners/second": SECRETS["scanner"],
        "preheat-instances/swarm": {"username": "swarm", "password": SECRETS["preheat"]},
        "team/webhooks/all events": SECRETS["webhook"],
        "configurations/uaa_client_secret": SECRETS["uaa"],
    }
    return secrets | more


def kept_settings(tmp_path: Path, **values: Any) -> dict[str, Any]:
    """Make a night of one's own; returns what an import needs of it. `team` etc. are projects."""
    store = BackupStore(tmp_path / "made")
    store.begin_for("http://127.0.0.1:1")
    system = store.settings.write(SettingsDocument(scope="", values=values.pop("system", {})))
    projects = {
        name: store.settings.write(SettingsDocument(scope=name, values=each))
        for name, each in values.items()
    }
    night = NightSettings(system=system, projects=projects, read_at="2026-11-26T00:00:00+00:00")
    return {"store": store, "night": SettingsNight(key="made", settings=night)}


def bring_back(
    made: dict[str, Any],
    harbor: HarborDouble,
    secrets: Mapping[str, Any] | None = None,
    *,
    who: tuple[str, ...] = (),
    **more: Any,
) -> ImportReport:
    """Bring such a night back to a Harbor, whose log of requests begins anew."""
    options = {k: more.pop(k) for k in ("dry_run", "on_secret", "new_password") if k in more}
    wanted = SettingsImport(given=GivenSecrets(secrets or {}), **(made | more))
    with login(harbor, *who) as client:
        harbor.requests.reset()
        return import_settings(client, wanted, **options)


def written(harbor: HarborDouble) -> list[tuple[str, str, int]]:
    """Return the requests that wrote something, or tried to."""
    return [entry for entry in harbor.requests.log if entry[0] not in ("GET", "HEAD")]


def titles(report: ImportReport, *states: State) -> dict[str, str]:
    """Return what became of the settings in some states, by scope and title."""
    return {
        f"{r.step.scope} {r.step.title}".strip(): r.message or r.step.why
        for r in report.results
        if r.state in states
    }
