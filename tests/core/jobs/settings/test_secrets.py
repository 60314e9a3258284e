"""Secrets of an import: never shown, never sent elsewhere, never left out without a word."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.hiding import HiddenSecrets
from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.contract.settings_replay import Service
from tests.core.rig import login
from tests.core.settings_rig import SECRETS, Api, given, seed, services
from tests.double import HarborDouble
from tests.double.faults import Fault

PASSPHRASE = "a long enough passphrase"


@pytest.fixture(scope="module")
def kept(service: Service, tmp_path_factory: pytest.TempPathFactory) -> BackupStore:
    """A night of a Harbor that has settings of every kind, its secrets sealed."""
    with HarborDouble() as harbor:
        seed(harbor, service.url)
        return night_of(harbor, tmp_path_factory.mktemp("kept"), PASSPHRASE)


@pytest.fixture
def harbor() -> Iterator[HarborDouble]:
    with HarborDouble() as running:
        yield running


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    with HarborDouble() as running:
        yield running


def night_of(harbor: HarborDouble, directory: Path, passphrase: str = "") -> BackupStore:
    store = BackupStore(directory / "store")
    store.begin_for(harbor.url)
    with login(harbor) as client:
        export_settings(client, store, "night", passphrase=passphrase)
    return store


def bring(
    store: BackupStore, harbor: HarborDouble, secrets: dict[str, Any] | None = None, **more: Any
) -> ImportReport:
    options = {name: more.pop(name) for name in ("on_secret", "new_password") if name in more}
    wanted = SettingsImport(
        store=store, night=find_night(store), given=GivenSecrets(secrets or {}), **more
    )
    with login(harbor) as client:
        harbor.requests.reset()
        return import_settings(client, wanted, **options)


def written(harbor: HarborDouble) -> list[tuple[str, str, int]]:
    return [entry for entry in harbor.requests.log if entry[0] not in ("GET", "HEAD")]


def shown(report: ImportReport) -> str:
    return json.dumps(report.to_json(), ensure_ascii=False) + "\n".join(report.lines())


# -- what Harbor says


@pytest.mark.parametrize("form", ["plain", "json", "base64"])
def test_no_error_of_harbor_shows_a_secret(kept: BackupStore, new: HarborDouble, form: str) -> None:
    forms = {
        "plain": str,
        "json": lambda text: json.dumps(text).replace("-", "\\u002d"),
        "base64": lambda text: base64.b64encode(f"me:{text}".encode()).decode(),
    }
    for method, path, name in (
        ("POST", "/webhook/policies", "webhook"),
        ("POST", "/p2p/preheat/instances", "preheat"),
        ("PUT", "/configurations", "uaa"),
        ("POST", "/users", "user"),
    ):
        said = f"invalid value in body: {forms[form](SECRETS[name])}"
        body = json.dumps({"errors": [{"code": "BAD_REQUEST", "message": said}]})
        new.faults.add(
            Fault(
                method=method, path=path, status=400, times=None,
                content_type="application/json", body=body,
            )
        )  # fmt: skip
    # The header of the webhook and the secret of UAA are known from the export only.
    secrets = {k: v for k, v in given().items() if "webhooks" not in k and "uaa" not in k}

    text = shown(bring(kept, new, secrets, passphrase=PASSPHRASE))

    assert text.count("invalid value in body: ") >= 4
    for secret in (SECRETS[name] for name in ("webhook", "preheat", "uaa", "user")):
        assert secret not in text
        assert forms[form](secret)[6:-4] not in text


def test_an_error_does_not_show_a_secret_that_is_there_or_was_made(
    harbor: HarborDouble, tmp_path: Path
) -> None:
    api = Api(harbor)
    api.post("/users", username="ann", email="a@example.com", realname="Ann", password="Abcdef12")
    api.post("/projects", project_name="team")
    target = {"type": "http", "address": "https://one.example.com", "auth_header": "Bearer s3cr3t!"}
    hook: dict[str, Any] = {
        "name": "w", "enabled": True, "event_types": ["PUSH_ARTIFACT"], "targets": [target]
    }  # fmt: skip
    number = api.post("/projects/team/webhook/policies", **hook)
    store = night_of(harbor, tmp_path)
    api.put(f"/projects/team/webhook/policies/{number}", **hook | {"enabled": False})
    api.delete("/users/" + str(api.get("/users")[0]["user_id"]))
    for method, path, said in (
        ("PUT", "/webhook/policies", "no good header: s3cr3t!"),
        ("POST", "/users", "no good password: Made-for-ann-1"),
    ):
        body = json.dumps({"errors": [{"code": "BAD_REQUEST", "message": said}]})
        harbor.faults.add(
            Fault(method=method, path=path, status=400, content_type="application/json", body=body)
        )

    text = shown(bring(store, harbor, new_password=lambda: "Made-for-ann-1"))

    assert text.count("no good ") >= 2
    assert "s3cr3t" not in text
    assert "Made-for" not in text


def test_a_secret_is_hidden_in_whatever_place_of_base64_it_stands() -> None:
    hidden = HiddenSecrets(["Pa-55-word"])
    for before in ("", "a", "ab", "abc", "puller:"):
        for after in ("", "x", "xy"):
            encoded = base64.b64encode(f"{before}Pa-55-word{after}".encode()).decode()
            assert "***" in hidden.hide(f"got {encoded}")


# -- passwords of new users


def test_the_password_of_a_new_user_is_kept_before_harbor_is_asked(
    harbor: HarborDouble, new: HarborDouble, tmp_path: Path
) -> None:
    api = Api(harbor)
    number = api.post(
        "/users", username="chief", email="c@example.com", realname="Chief", password="Abcdef12"
    )
    api.put(f"/users/{number}/sysadmin", sysadmin_flag=True)
    store = night_of(harbor, tmp_path)
    new.faults.add(Fault(method="PUT", path="/sysadmin", status=500))
    made: dict[str, str] = {}

    report = bring(store, new, on_secret=made.__setitem__, new_password=lambda: "Made-for-chief-1")

    assert report.failures()
    assert made == {"users/chief": "Made-for-chief-1"}


# -- to whom a secret is sent


def make_hook(api: Api, *targets: tuple[str, str], name: str = "w") -> dict[str, Any]:
    if not [p for p in api.get("/projects") if p["name"] == "team"]:
        api.post("/projects", project_name="team")
    hook = {
        "name": name,
        "enabled": True,
        "event_types": ["PUSH_ARTIFACT"],
        "targets": [
            {"type": "http", "address": address, "auth_header": header, "skip_cert_verify": False}
            for address, header in targets
        ],
    }
    number = api.post("/projects/team/webhook/policies", **hook)
    return {"number": number, **hook}


def targets_of(harbor: HarborDouble) -> list[tuple[str, str]]:
    (hook,) = Api(harbor).get("/projects/team/webhook/policies")
    return [(target["address"], target.get("auth_header", "")) for target in hook["targets"]]


def test_a_header_that_is_there_is_not_sent_to_another_address(
    harbor: HarborDouble, tmp_path: Path
) -> None:
    api = Api(harbor)
    hook = make_hook(api, ("https://old.example.com", "Bearer old"))
    store = night_of(harbor, tmp_path)
    hook["targets"][0] |= {"address": "https://new.example.com", "auth_header": "Bearer new"}
    api.put(f"/projects/team/webhook/policies/{hook.pop('number')}", **hook)

    report = bring(store, harbor)

    assert targets_of(harbor) == [("https://old.example.com", "")]
    assert report.needs == ["team/webhooks/w"]
    assert not written_again(store, harbor)


def written_again(store: BackupStore, harbor: HarborDouble) -> list[tuple[str, str, int]]:
    bring(store, harbor)
    return written(harbor)


def test_headers_stay_with_their_addresses_where_the_order_of_targets_changes(
    harbor: HarborDouble, tmp_path: Path
) -> None:
    api = Api(harbor)
    hook = make_hook(
        api, ("https://a.example.com", "Bearer a"), ("https://b.example.com", "Bearer b")
    )
    store = night_of(harbor, tmp_path)
    hook["targets"].reverse()
    api.put(f"/projects/team/webhook/policies/{hook.pop('number')}", **hook)

    assert not bring(store, harbor).needs
    assert targets_of(harbor) == [
        ("https://a.example.com", "Bearer a"),
        ("https://b.example.com", "Bearer b"),
    ]


def test_each_of_several_targets_needs_a_header_of_its_own(
    harbor: HarborDouble, new: HarborDouble, tmp_path: Path
) -> None:
    one, two = "https://one.example.com", "https://two.example.com"
    make_hook(Api(harbor), (one, "Bearer one"), (two, "Bearer two"))
    store = night_of(harbor, tmp_path)

    report = bring(store, new, {"team/webhooks/w": "Bearer one"})
    assert targets_of(new) == [(one, ""), (two, "")]
    assert report.needs == [f"team/webhooks/w/{one}", f"team/webhooks/w/{two}"]
    assert report.unused == ("team/webhooks/w",)

    report = bring(
        store, new, {f"team/webhooks/w/{one}": "Bearer one", f"team/webhooks/w/{two}": "Bearer two"}
    )
    assert targets_of(new) == [(one, "Bearer one"), (two, "Bearer two")]
    assert not report.needs
    assert not report.unused


def system_item(harbor: HarborDouble, path: str, name: str) -> dict[str, Any]:
    return next(item for item in Api(harbor).get(path) if item["name"] == name)


@pytest.mark.parametrize("changed", ["url", "access_key"])
def test_a_registry_at_another_address_or_login_keeps_its_secret_for_itself(
    harbor: HarborDouble, service: Service, tmp_path: Path, changed: str
) -> None:
    api = Api(harbor)
    credential = {"type": "basic", "access_key": "puller", "access_secret": "Old-secret-1"}
    number = api.post(
        "/registries", name="up", type="docker-registry", url=service.url, credential=credential
    )
    store = night_of(harbor, tmp_path)
    with services() as other:
        change = {"url": other.url} if changed == "url" else {"access_key": "other"}
        api.put(f"/registries/{number}", access_secret="New-secret-2", **change)
        report = bring(store, harbor)

        assert report.needs == ["registries/up"]
        assert any("it needs the secret registries/up" in line for line in report.failures())
        assert not written(harbor)
        there = system_item(harbor, "/registries", "up")
        assert there["url"] == (other.url if changed == "url" else service.url)

        report = bring(store, harbor, {"registries/up": "Old-secret-1"})
    assert not report.failures()
    assert not report.needs
    there = system_item(harbor, "/registries", "up")
    assert (there["url"], there["credential"]["access_key"]) == (service.url, "puller")


@pytest.mark.parametrize("kind", ["scanners", "preheat-instances"])
def test_a_scanner_or_provider_at_another_address_needs_its_secret(
    harbor: HarborDouble, service: Service, tmp_path: Path, kind: str
) -> None:
    api = Api(harbor)
    if kind == "scanners":
        path = "/scanners"
        body = {"name": "s", "url": f"{service.url}/a", "auth": "Bearer"}
        number = api.post(path, access_credential="Old-secret-1", **body)
        store = night_of(harbor, tmp_path)
        api.put(f"{path}/{number}", **body | {"url": f"{service.url}/b", "access_credential": "N"})
    else:
        path = "/p2p/preheat/instances"
        body = {
            "name": "s", "vendor": "dragonfly", "endpoint": f"{service.url}/a", "enabled": True,
            "auth_mode": "OAUTH",
        }  # fmt: skip
        api.post(path, auth_info={"token": "Old-secret-1"}, **body)
        store = night_of(harbor, tmp_path)
        there = system_item(harbor, path, "s")
        api.put(
            f"{path}/s", **there | {"endpoint": f"{service.url}/b", "auth_info": {"token": "N"}}
        )

    report = bring(store, harbor)

    assert report.needs == [f"{kind}/s"]
    assert len(report.failures()) == 1
    assert not written(harbor)


# -- secrets that are given later


def test_secrets_that_are_given_later_are_written_and_are_asked_for_no_more(
    kept: BackupStore, new: HarborDouble
) -> None:
    later = ("registries", "scanners", "preheat", "robots", "team/robots", "12345/robots")
    wrong = {
        key: {"username": "swarm", "password": "Wrong-12345"} if "preheat" in key else "Wrong-12345"
        for key in given()
        if key.startswith(later)
    }
    bring(kept, new, given() | wrong)
    right = given(**{"configurations/ldap_search_password": "Seeded-ldap-1"})
    assert {robot.secret for robot in new.state.robots.values()} == {"Wrong-12345"}

    report = bring(kept, new, right)

    assert not report.failures()
    assert any("secret given: written again" in line for line in report.lines())
    assert {robot.secret for robot in new.state.robots.values()} == {SECRETS["robot"]}
    assert "user ann, user bob, user chief: it is there, and keeps its own" in shown(report)
    assert "Wrong-12345" not in str(vars(new.state))
    # Once more is harmless; and without secrets nothing is written.
    assert not bring(kept, new, right).failures()
    assert not written_again(kept, new)


def test_the_password_of_a_directory_is_written_whenever_it_is_given(
    harbor: HarborDouble, new: HarborDouble, tmp_path: Path
) -> None:
    Api(harbor).put(
        "/configurations", ldap_url="ldap://dir", ldap_base_dn="dc=x", ldap_uid="uid",
        ldap_search_dn="cn=r", ldap_search_password="Ldap-secret-1", auth_mode="ldap_auth",
    )  # fmt: skip
    store = night_of(harbor, tmp_path)
    report = bring(store, new)
    assert report.needs == ["configurations/ldap_search_password"]
    assert report.failures()
    # Later nobody can tell whether somebody has set it there, and that is said.
    note = "configuration: whether ldap_search_password is there, nobody can tell"
    report = bring(store, new)
    assert note in report.lines()
    assert not report.failures()

    report = bring(store, new, {"configurations/ldap_search_password": "Ldap-secret-1"})

    assert not report.failures()
    assert new.state.secrets["ldap_search_password"] == "Ldap-secret-1"
    assert note not in report.lines()
    assert report.writes == 1


def test_a_robot_that_was_made_with_another_secret_gets_the_old_one_at_the_next_import(
    kept: BackupStore, new: HarborDouble
) -> None:
    new.faults.add(Fault(method="PATCH", path="/robots/", status=500))
    secrets = given()
    assert bring(kept, new, secrets).failures()
    assert SECRETS["robot"] != next(r.secret for r in new.state.robots.values())

    assert not bring(kept, new, secrets).failures()
    assert {robot.secret for robot in new.state.robots.values()} == {SECRETS["robot"]}
