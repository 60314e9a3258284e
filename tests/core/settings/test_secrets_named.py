"""What sounds like a secret is kept as one, unless it is known to be none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_harbor.core.settings.form import Names, canonical, canonical_project
from airflow_provider_harbor.core.settings.kinds import kind_of
from airflow_provider_harbor.core.settings.secret_values import Secret

NAMES = (
    "password", "db_passwd", "PassPhrase", "smtp_pwd", "client_secret", "hmacSecretV2", "api_token",
    "token_of_bot", "tokens", "apiKey", "api_key_2", "ssh_key", "private_key_pem", "signing-key",
    "registry_credentials", "auth_info_2", "auth_headers",
)  # fmt: skip
TEXT = "in-clear-1"
MODE = {"auth_mode": {"value": "db_auth"}}


@pytest.mark.parametrize("name", NAMES)
def test_what_sounds_like_a_secret_is_one_in_every_kind(name: str) -> None:
    deep = {"of": [[{name: TEXT}], {name: [TEXT]}]}
    schedule = {"schedule": {"type": "Daily", "cron": "x"}, "job_parameters": json.dumps(deep)}
    found: list[Any] = [
        canonical(kind_of("", "configurations"), {**MODE, name: {"value": TEXT}}, Names()),
        canonical(kind_of("", "labels"), {"name": "l", name: TEXT, "more": deep}, Names()),
        canonical(kind_of("", "registries"), {"name": "r", "credential": {name: TEXT}}, Names()),
        canonical(kind_of("", "garbage-collection"), schedule, Names()),
        canonical(
            kind_of("p", "preheat-policies"),
            {"name": "p", "extra_attrs": json.dumps(deep)},
            Names(),
        ),
        canonical(kind_of("p", "webhooks"), {"name": "w", "targets": [{name: TEXT}]}, Names()),
        canonical_project({}, {"public": "true", name: TEXT}, Names()),
    ]
    for item in found:
        assert item
        text = json.dumps(item, default=str)
        assert "a secret" in text
        assert TEXT not in text
    assert found[0] == {"auth_mode": "db_auth", name: Secret(TEXT)}


def test_what_is_known_to_be_none_stays_as_it_is() -> None:
    known = {
        "auth_mode": "db_auth",
        "token_expiration": 30,
        "robot_token_duration": 30,
        "http_authproxy_tokenreview_endpoint": "https://x.example.com",
    }
    raw = {name: {"value": value} for name, value in known.items()}
    assert canonical(kind_of("", "configurations"), raw, Names()) == known
    login = {"type": "basic", "access_key": "puller", "access_secret": "*****"}
    item = canonical(kind_of("", "registries"), {"name": "r", "credential": login}, Names())
    assert item == {"name": "r", "credential": login | {"access_secret": Secret()}}
