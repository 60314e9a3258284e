"""Settings of newer and older Harbors: what one does not know is told, and not tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport, State
from airflow_provider_harbor.core.settings.reader import read_settings
from airflow_provider_harbor.core.settings.secret_values import Secret
from airflow_provider_harbor.core.settings.versions import with_defaults, without_unknown_fields
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import login
from tests.core.settings_rig import (
    ANY,
    Api,
    bring_back,
    given,
    grants,
    kept_settings,
    seed,
    services,
    tags,
    titles,
    written,
)
from tests.double import HarborDouble
from tests.double.faults import Fault

ADMIN = {"type": "user", "name": "admin", "role": "projectAdmin"}
TARGET = {"type": "http", "address": "https://h.example.com"}


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    """An empty Harbor."""
    with HarborDouble() as harbor:
        yield harbor


def bring_twice(made: dict[str, Any], harbor: HarborDouble, **more: Any) -> ImportReport:
    """Bring settings back, and make sure that nothing is planned, nor written, once more."""
    report = bring_back(made, harbor, **more)
    assert not titles(report, State.FAILED)
    again = bring_back(made, harbor)
    assert written(harbor) == []
    assert again.writes == 0
    # But what is not there is told each time.
    assert again.failures() == report.failures()
    return report


def test_what_is_zero_is_not_missed_where_a_harbor_has_it_not(tmp_path: Path) -> None:
    made = kept_settings(
        tmp_path,
        system={
            "configurations": {"banner_message": "", "oidc_logout": False, "session_timeout": 70}
        },
        team={
            "project": {
                "metadata": {
                    "public": "true", "auto_sbom_generation": "false", "proxy_speed_kb": "-1",
                    "of_harbor_3": "false",
                }
            }
        },
    )  # fmt: skip
    with HarborDouble(version="v2.8.0") as old:
        assert bring_twice(made, old).failures() == []
        assert old.state.configuration["session_timeout"] == 70


def test_what_an_older_harbor_has_not_is_told_and_not_tried_again(tmp_path: Path) -> None:
    with services() as service, HarborDouble(version="v2.6.0") as old:
        made = kept_settings(
            tmp_path,
            system={
                "registries": [{
                    "name": "r", "type": "docker-registry", "url": service.url,
                    "ca_certificate": "PEM",
                }],
                "replications": [{
                    "name": "push", "dest_registry": "r", "copy_by_chunk": True,
                    "trigger": {"type": "manual"},
                }],
            },
            library={"webhooks": [{
                "name": "w", "enabled": True, "event_types": ["PUSH_ARTIFACT"],
                "targets": [{**TARGET, "payload_format": "CloudEvents"}],
            }]},
        )  # fmt: skip
        assert bring_twice(made, old).failures() == [
            "registry r: in part only, without ca_certificate, which this Harbor has not",
            "project library: webhook w: in part only, without payload_format, which this Harbor "
            "has not",
            "replication policy push: in part only, without copy_by_chunk, which this Harbor has "
            "not",
        ]


def test_fields_of_a_newer_harbor_are_told_and_not_tried_again(
    new: HarborDouble, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"shape": "round", "depth": {"of": [3]}}
    metadata = {"public": "true", "sbom_format": "spdx"}
    rule = {"action": "immutable", "template": "immutable_template", "scope_selectors": ANY}
    robot = {"name": "r", "duration": -1, "permissions": grants(project="repository:pull")}
    made = kept_settings(
        tmp_path,
        system={
            "configurations": {"shape": "round"},
            "labels": [{"name": "l", "color": "#000000", **more}],
            "groups": [{"name": "g", "type": "oidc", **more}],
            "robots": [robot | more],
            "preheat-instances": [{
                "name": "p", "vendor": "kraken", "endpoint": "http://127.0.0.1:9", **more
            }],
        },
        library={
            "project": {"metadata": metadata},
            "members": [ADMIN | more],
            "webhooks": [{
                "name": "w", "enabled": True, "event_types": ["PUSH_ARTIFACT"],
                "targets": [TARGET | more], **more,
            }],
            "immutability": [{**rule, "tag_selectors": tags("v*"), **more}],
            "retention": {
                "algorithm": "or", "trigger": {"kind": "Schedule"}, **more
            },
        },
    )  # fmt: skip
    failures = bring_twice(made, new, secrets={"robots/r": "Robot-12345"}).failures()
    lost = "in part only, without depth, shape, which this Harbor has not"
    assert sorted(failures) == [
        "configuration shape: this Harbor has no such configuration",
        f"group oidc g: {lost}",
        f"label l: {lost}",
        f"preheat instance p: {lost}",
        f"project library: member user admin: {lost}",
        "project library: project library: this Harbor has no sbom_format, which the project was "
        "set to",
        f"project library: retention policy: {lost}",
        "project library: rule of immutability tags matches v* in repository repoMatches **: "
        f"{lost}",
        f"project library: webhook w: {lost}",
        f"robot r: {lost}",
    ]


def test_a_newer_harbor_keeps_what_an_older_export_says_nothing_of(
    new: HarborDouble, tmp_path: Path
) -> None:
    label = {"id": 1, "name": "l", "color": "#000000", "scope": "g", "shape": "round"}
    answers = {
        "/labels": [label],
        "/metadatas": {"public": "true", "of_harbor_3": "on"},
    }
    for path, body in answers.items():
        new.faults.add(
            Fault(
                method="GET", path=path, status=200, body=json.dumps(body), times=None,
                headers={"X-Total-Count": "1"}, content_type="application/json",
            )
        )  # fmt: skip
    made = kept_settings(
        tmp_path,
        system={"labels": [{"name": "l", "color": "#000000"}]},
        library={"project": {"metadata": {"public": "true"}}},
    )
    assert bring_back(made, new).failures() == []
    assert written(new) == []


def test_what_only_a_newer_harbor_has_is_sent_to_one(tmp_path: Path) -> None:
    hook = {
        "name": "w", "enabled": True, "event_types": ["PUSH_ARTIFACT"],
        "targets": [{**TARGET, "shape": "round"}],
    }  # fmt: skip
    made = kept_settings(tmp_path, library={"webhooks": [hook]})
    with HarborDouble(version="v2.16.0") as newer:
        bring_back(made, newer)
        (row,) = list(newer.state.webhooks)
    assert row["targets"][0]["shape"] == "round"


# -- preheat instances


def instance(**more: Any) -> dict[str, Any]:
    return {
        "name": "p", "vendor": "kraken", "endpoint": "http://127.0.0.1:9", "enabled": True, **more
    }  # fmt: skip


@pytest.mark.parametrize("version", ["v2.14.3", "v2.15.2"])
def test_the_login_of_a_preheat_instance_is_the_same_in_whatever_order(
    tmp_path: Path, version: str
) -> None:
    with HarborDouble(version=version) as harbor:
        wanted = instance(auth_mode="BASIC", auth_info=Secret())
        made = kept_settings(tmp_path, system={"preheat-instances": [wanted]})
        parts = {"username": "me", "password": "Preheat-12345"}
        for given in (parts, json.dumps(parts)):
            secrets = {"preheat-instances/p": given}
            assert not bring_back(made, harbor, secrets).failures()
            assert harbor.state.preheat_instances.first(name="p")["auth_info"] == parts
            again = bring_back(made, harbor, secrets)
            # Where nobody can see which one is there it is written again.
            assert again.writes == int(version == "v2.15.2")
            assert not bring_back(made, harbor).writes


def test_a_preheat_instance_without_a_mode_has_none(new: HarborDouble, tmp_path: Path) -> None:
    made = kept_settings(tmp_path, system={"preheat-instances": [instance()]})
    assert not bring_twice(made, new).failures()
    with login(new) as client:
        (found,) = read_settings(client).values["", "preheat-instances"]
        assert found == instance(auth_mode="NONE")
        new.state.preheat_instances.first(name="p")["auth_mode"] = ""
        assert read_settings(client).values["", "preheat-instances"] == [found]
    Api(new).delete("/p2p/preheat/instances/p")


@pytest.mark.parametrize("version", ["v2.8.0", "v2.14.3"])
def test_all_of_an_older_harbor_comes_back_and_the_second_import_writes_nothing(
    new: HarborDouble, tmp_path: Path, version: str
) -> None:
    store = BackupStore(tmp_path / "store")
    with services() as service, HarborDouble(version=version) as old:
        seed(old, service.url)
        store.begin_for(old.url)
        with login(old) as client:
            export_settings(client, store, "night")
        made = {"store": store, "night": find_night(store)}
        assert bring_twice(made, new, secrets=given()).failures() == []


def test_what_harbor_takes_where_nothing_is_said_is_no_difference(
    new: HarborDouble, tmp_path: Path
) -> None:
    with services() as service:
        policy = {"name": "push", "dest_registry": "r", "trigger": {"type": "manual"}}
        robot = {"name": "r", "permissions": grants(project="repository:pull")}
        made = kept_settings(
            tmp_path,
            system={
                "registries": [{"name": "r", "type": "docker-registry", "url": service.url}],
                "replications": [policy],
                "robots": [robot],
            },
        )
        assert not bring_twice(made, new, secrets={"robots/r": "Robot-12345"}).failures()
    # An older one has no such field, and none is missed.
    count = {"name": "push", "dest_namespace_replace_count": -1}
    assert without_unknown_fields("replications", count, (2, 2, 0)) == ({"name": "push"}, [])
    assert with_defaults("replications", {"name": "push"}, (2, 2, 0)) == {"name": "push"}


# -- secrets of a newer Harbor


def test_a_secret_that_only_a_newer_harbor_has_is_needed_and_can_be_given(tmp_path: Path) -> None:
    target = {**TARGET, "auth_header": Secret(), "hmac_key": Secret()}
    hook = {"name": "w", "enabled": True, "event_types": ["PUSH_ARTIFACT"], "targets": [target]}
    made = kept_settings(
        tmp_path,
        library={
            "project": {"metadata": {"public": "true", "scan_token": Secret()}},
            "webhooks": [hook],
        },
    )
    secrets = {
        "library/webhooks/w": "Bearer x",
        "library/webhooks/w/targets/0/hmac_key": "Hmac-1",
        "library/project/metadata/scan_token": "Scan-1",
    }
    with HarborDouble(version="v2.16.0") as newer:
        assert sorted(bring_back(made, newer).needs) == sorted(secrets)
        assert not bring_back(made, newer, secrets).unused
        (row,) = list(newer.state.webhooks)
        assert (row["targets"][0]["auth_header"], row["targets"][0]["hmac_key"]) == (
            "Bearer x", "Hmac-1",
        )  # fmt: skip
    with HarborDouble() as older:
        report = bring_twice(made, older, secrets={})
        assert report.needs == ["library/webhooks/w"]
