"""Secrets of an import: never shown, never sent elsewhere, never left out without a word."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings_export import export_settings
from airflow_provider_harbor.core.jobs.settings_hiding import HiddenSecrets
from airflow_provider_harbor.core.jobs.settings_import import SettingsImport, import_settings
from airflow_provider_harbor.core.jobs.settings_nights import find_night
from airflow_provider_harbor.core.jobs.settings_outcome import ImportReport
from airflow_provider_harbor.core.jobs.settings_secrets import GivenSecrets
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.contract.settings_replay import Service
from tests.core.rig import login
from tests.core.settings_rig import SECRETS, Api, given, seed, services
from tests.double import HarborDouble
from tests.double.faults import Fault

PASSPHRASE = "a long enough passphrase"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with services() as running:
        yield running


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
