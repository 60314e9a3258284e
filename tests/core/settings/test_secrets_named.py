"""What sounds like a secret is kept as one, unless it is known to be none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_harbor.core.settings.form import Names, canonical, canonical_project
from airflow_provider_harbor.core.settings.kinds import kind_of
from airflow_provider_harbor.core.settings.secret_values import (
    Secret,
    guarded,
    is_same,
    iter_secrets,
)

NAMES = (
    "password", "db_passwd", "PassPhrase", "smtp_pwd", "client_secret", "hmacSecretV2", "api_token",
    "token_of_bot", "tokens", "apiKey", "api_key_2", "ssh_key", "private_key_pem", "signing-key",
    "registry_credentials", "auth_info_2", "auth_headers", "Authorization", "proxy_authorization",
    "headers", "http_headers", "Header", "authHeader", "session_cookie",
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


LOGIN = f"http://user:{TEXT}@host.example.com/path"


@pytest.mark.parametrize(
    ("text", "around"),
    [
        (LOGIN, "http://user:*****@host.example.com/path"),
        (f"tcp://:{TEXT}@h", "tcp://:*****@h"),
        (f"HTTPS://u:{TEXT}@more@h:1/x@y", "HTTPS://u:*****@h:1/x@y"),
        (f'ask "{LOGIN}", or LDAPS://a:{TEXT}@b', None),
    ],
)
def test_the_password_of_a_url_with_a_login_is_a_secret_in_every_kind(
    text: str, around: str | None
) -> None:
    attributes = json.dumps({"proxy": [text]})
    found: list[Any] = [
        canonical(
            kind_of("", "configurations"), {**MODE, "oidc_endpoint": {"value": text}}, Names()
        ),
        canonical(kind_of("", "preheat-instances"), {"name": "p", "endpoint": text}, Names()),
        canonical(kind_of("", "registries"), {"name": "r", "url": text}, Names()),
        canonical(
            kind_of("", "labels"), {"name": "l", "description": text, "new": [text]}, Names()
        ),
        canonical(kind_of("p", "webhooks"), {"name": "w", "targets": [{"address": text}]}, Names()),
        canonical(
            kind_of("p", "preheat-policies"), {"name": "p", "extra_attrs": attributes}, Names()
        ),
        canonical_project({}, {"public": "true", "new_url": text}, Names()),
    ]
    for item in found:
        (secret, *_) = [secret for _, secret in iter_secrets(item)]
        assert secret.text == text
        assert TEXT not in f"{secret} {secret!r} {json.dumps(item, default=str)}"
        assert around in (None, str(secret))


@pytest.mark.parametrize(
    "text",
    ["http://host:80/a@b", "http://user@host/", "mail: a:b@c", "https://h/?q=u:p@x", "http://u:@h"],
)
def test_a_url_without_a_password_stays_as_it_is(text: str) -> None:
    item = canonical(kind_of("", "preheat-instances"), {"name": "p", "endpoint": text}, Names())
    assert item == {"name": "p", "endpoint": text, "auth_mode": "NONE"}


def test_a_mask_in_a_url_is_no_password_that_anybody_knows() -> None:
    raw = {"name": "p", "endpoint": "http://u:*****@h"}
    item = canonical(kind_of("", "preheat-instances"), raw, Names())
    assert item is not None
    assert item["endpoint"] == Secret(around="http://u:*****@h")


def test_secrets_in_texts_that_differ_are_not_the_same() -> None:
    one, other = Secret(around="http://u:*****@a"), Secret(around="http://u:*****@b")
    assert not is_same(one, other, if_unknown=True)
    assert is_same(one, Secret("http://u:p@a", around="http://u:*****@a"))


@pytest.mark.parametrize("text", ["a" * 300_000, "a://b:" + "c" * 300_000, "a://b:@" * 50_000])
def test_a_long_text_is_searched_once(text: str) -> None:
    assert guarded("x", text) == text
