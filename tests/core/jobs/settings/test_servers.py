"""A secret is sent to the server that it is for, and nothing hangs on another server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.outcome import State
from airflow_provider_harbor.core.jobs.settings.steps import Stage
from airflow_provider_harbor.core.settings.secret_values import Secret
from tests.contract.settings_replay import Service
from tests.core.settings_rig import (
    Api,
    bring_back,
    grants,
    kept_settings,
    services,
    titles,
    written,
)
from tests.double import HarborDouble
from tests.double.faults import Fault

LDAP = {"ldap_base_dn": "dc=old", "ldap_uid": "uid"}
LOGINS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ldap_auth": ("ldap_url", "ldap_search_password", LDAP),
    "oidc_auth": ("oidc_endpoint", "oidc_client_secret", {"oidc_client_id": "old"}),
    "uaa_auth": ("uaa_endpoint", "uaa_client_secret", {"uaa_client_id": "old"}),
}


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    with HarborDouble() as harbor:
        yield harbor


def stored(harbor: HarborDouble, name: str) -> str:
    found = harbor.state.secrets.get(name) or harbor.state.configuration.get(name)
    return str(found or "")


@pytest.mark.parametrize("mode", LOGINS)
def test_a_secret_that_harbor_has_is_not_sent_to_another_address(
    new: HarborDouble, tmp_path: Path, mode: str
) -> None:
    address, secret, more = LOGINS[mode]
    begin = address.partition("_")[0]
    Api(new).put("/configurations", **{address: "https://there", secret: "Stored-1"})
    Api(new).put("/configurations", **{k: v.replace("old", "new") for k, v in more.items()})
    wanted = {"auth_mode": mode, address: "https://wanted", **more, "session_timeout": 61}
    wanted |= {secret: Secret()} if mode == "uaa_auth" else {}
    made = kept_settings(tmp_path, system={"configurations": wanted})

    for writes in (1, 0):
        report = bring_back(made, new)
        (why,) = titles(report, State.CANNOT).values()
        assert "it is https://there there" in why
        assert "would be sent to https://wanted" in why
        assert report.needs == [f"configurations/{secret}"]
        assert len(written(new)) == writes
        there = new.state.configuration
        assert (there[address], there["auth_mode"]) == ("https://there", "db_auth")
        assert not [
            v
            for k, v in there.items()
            if k.startswith(begin) and v in more.values() and "old" in str(v)
        ]
        assert there["session_timeout"] == 61

    assert not bring_back(made, new, {f"configurations/{secret}": "Given-1"}).failures()
    assert new.state.configuration[address] == "https://wanted"
    assert stored(new, secret) == "Given-1"
    assert not bring_back(made, new).failures()


def test_an_address_is_written_where_there_is_no_secret_for_another(
    new: HarborDouble, tmp_path: Path
) -> None:
    Api(new).put("/configurations", uaa_endpoint="https://there")
    wanted = {"uaa_endpoint": "https://wanted", "ldap_url": "ldap://dir", "oidc_endpoint": ""}
    made = kept_settings(tmp_path, system={"configurations": wanted})
    assert not bring_back(made, new).failures()
    assert new.state.configuration["uaa_endpoint"] == "https://wanted"
    assert new.state.configuration["ldap_url"] == "ldap://dir"


def test_an_address_and_its_secret_are_put_at_once_also_where_others_are_refused(
    new: HarborDouble, tmp_path: Path
) -> None:
    seen: list[tuple[str, str]] = []

    def look(harbor: Any) -> None:
        seen.append(
            (harbor.state.configuration["ldap_url"], stored(harbor, "ldap_search_password"))
        )

    Api(new).put("/configurations", ldap_url="ldap://there", ldap_search_password="Stored-1")
    new.faults.add(Fault(method="PUT", path="/configurations", times=None, callback=look))
    wanted = {"ldap_url": "ldap://wanted", "token_expiration": 0, "session_timeout": 61}
    made = kept_settings(tmp_path, system={"configurations": wanted})
    bring_back(made, new, {"configurations/ldap_search_password": "Given-1"})
    new.faults.clear()
    look(new)
    assert set(seen) == {("ldap://there", "Stored-1"), ("ldap://wanted", "Given-1")}
    assert len(written(new)) == 4


# -- what hangs on another server


def replication(name: str = "push") -> dict[str, Any]:
    return {
        "name": name, "dest_registry": "up", "dest_namespace_replace_count": -1,
        "trigger": {"type": "manual"},
    }  # fmt: skip


def registry(url: str) -> dict[str, Any]:
    credential = {"type": "basic", "access_key": "me", "access_secret": Secret()}
    return {"name": "up", "type": "docker-registry", "url": url, "credential": credential}


def proxy(name: str = "up") -> dict[str, Any]:
    return {"project": {"metadata": {"public": "true"}, "registry": name}, "labels": []}


def test_nothing_hangs_on_a_registry_of_another_server(
    new: HarborDouble, service: Service, tmp_path: Path
) -> None:
    api = Api(new)
    with services() as other:
        api.post(
            "/registries", name="up", type="docker-registry", url=other.url,
            credential={"type": "basic", "access_key": "me", "access_secret": "Other-1"},
        )  # fmt: skip
        system = {"registries": [registry(service.url)], "replications": [replication()]}
        made = kept_settings(tmp_path, system=system, cache=proxy())
        why = "it hangs on the registry up, which is of another server there, and stays so"
        for options in ({"dry_run": True}, {}, {"kinds": ["project", "replications"]}):
            report = bring_back(made, new, **options)
            cannot = titles(report, State.CANNOT)
            assert cannot["replication policy push"] == why
            assert cannot["cache project cache"] == why
            assert not titles(report, State.FAILED)
            assert written(new) == []

        # Where it could be changed, and was not: in another part, or since it is refused.
        secrets = {"registries/up": "Wanted-1"}
        failed = titles(bring_back(made, new, secrets, stages=[Stage.AFTER]), State.FAILED)
        assert "was not changed. Bring that back first" in failed["replication policy push"]
        new.faults.add(Fault(method="PUT", path="/registries/", status=400))
        failed = titles(bring_back(made, new, secrets), State.FAILED)
        assert sorted(failed) == [
            "cache project cache", "registry up", "replication policy push",
        ]  # fmt: skip
        assert not new.state.replications.first(name="push")

        assert not bring_back(made, new, secrets).failures()
    assert new.state.replications.first(name="push")
    assert bring_back(made, new).writes == 0


def test_nothing_hangs_on_a_scanner_or_preheat_instance_that_cannot_be_made(
    new: HarborDouble, service: Service, tmp_path: Path
) -> None:
    Api(new).post(
        "/p2p/preheat/instances", name="taken", vendor="kraken", endpoint=service.url, enabled=True
    )
    scanner = {"name": "s", "url": service.url, "auth": "Bearer", "access_credential": Secret()}
    instance = {"name": "p", "vendor": "kraken", "endpoint": service.url}
    policy = {"name": "nightly", "provider": "p", "enabled": True}
    made = kept_settings(
        tmp_path,
        system={"scanners": [scanner], "preheat-instances": [instance]},
        library={
            "project": {"metadata": {"public": "true"}, "scanner": "s"},
            "preheat-policies": [policy],
        },
    )
    for dry_run in (True, False):
        report = bring_back(made, new, dry_run=dry_run)
        assert titles(report, State.CANNOT) == {
            "scanner s": "it needs the secret scanners/s, which is not given",
            "preheat instance p": "its endpoint is that of taken there",
            "library project library": "it hangs on the scanner s, which cannot be made",
            "library preheat policy nightly":
            "it hangs on the preheat instance p, which cannot be made",
        }  # fmt: skip
        assert not titles(report, State.FAILED)
        assert written(new) == []


# -- answers that are none


def test_a_policy_that_came_with_a_proxy_is_not_taken_for_none_where_nobody_says_so(
    new: HarborDouble, service: Service, tmp_path: Path
) -> None:
    up = {"name": "up", "type": "docker-registry", "url": service.url}
    made = kept_settings(tmp_path, system={"registries": [up]}, cache=proxy() | {"retention": None})
    new.faults.add(
        Fault(
            method="GET", path="/projects/cache/metadatas", status=200, body="{}", times=1,
            content_type="application/json",
        )
    )  # fmt: skip
    failed = titles(bring_back(made, new), State.FAILED)
    assert "has no field 'public'" in failed["cache retention policy"]
    # The next one knows who made it.
    assert not bring_back(made, new).failures()
    assert bring_back(made, new).writes == 0
    cache = new.state.project("cache")
    assert cache is not None
    assert "retention_id" not in cache.metadata


def test_a_robot_whose_answer_says_nothing_may_be_there(new: HarborDouble, tmp_path: Path) -> None:
    robot = {"name": "r", "duration": -1, "permissions": grants(project="repository:pull")}
    made = kept_settings(tmp_path, system={"robots": [robot]})
    new.faults.add(
        Fault(method="POST", path="/robots", status=201, body="{}", content_type="application/json")
    )
    (why,) = titles(bring_back(made, new), State.FAILED).values()
    assert "If it is there by now, its secret may not be the old one" in why
