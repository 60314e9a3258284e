"""What a server sends back of a login: taken out in every form, and nothing else with it."""

from __future__ import annotations

import base64
import html
import json
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_harbor.core.http.echoes import HIDDEN, Secrets, secrets_of

PASSWORD = 'Hush/"Hush"\\?é+1'
BASIC = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2ln-bmF0_dXJl=="


@pytest.fixture
def basic() -> Secrets:
    return secrets_of(BASIC)


@pytest.mark.parametrize("form", [BASIC, BASIC.split()[1], BASIC.split()[1].rstrip("="), PASSWORD])
@pytest.mark.parametrize(
    "say",
    [
        lambda text: f"cannot handle {{'Authorization': '{text}'}}",
        lambda text: json.dumps({"Authorization": text}),
        lambda text: json.dumps({"message": json.dumps({"Authorization": text})}),
        lambda text: "".join(f"\\u{ord(c):04X}" for c in text),
        lambda text: text.replace("/", "\\/"),
        lambda text: text.replace('"', "&quot;").replace("/", "&#x2F;"),
        lambda text: "".join(f"%{b:02x}" for b in text.encode()),
    ],
    ids=["plain", "json", "json in json", "codes", "php", "html", "url"],
)
def test_a_login_is_hidden_in_every_form(basic: Secrets, form: str, say: Any) -> None:
    hidden = basic.hide(say(form))
    assert "Hush" not in hidden
    assert BASIC.split()[1].rstrip("=") not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize(
    "password",
    [
        'Hush%41"x',
        'Hush%25"x',
        "Hush&amp;x\\",
        "Hush \\ x",
        "H\u00fcsh \u20ac Hush",
        "Hush %2B x",
    ],
)
@pytest.mark.parametrize(
    "say",
    [
        str,
        json.dumps,
        lambda text: json.dumps(json.dumps(text)),
        lambda text: json.dumps(text, ensure_ascii=False),
        quote,
        quote_plus,
        lambda text: quote(quote(text)),
        lambda text: json.dumps(quote(text)),
        lambda text: quote(json.dumps(text)),
        html.escape,
        lambda text: html.escape(json.dumps(text)),
        lambda text: text.encode().decode("latin-1"),
        lambda text: repr(text.encode()),
    ],
    ids=[
        "plain",
        "json",
        "json in json",
        "json in utf-8",
        "url",
        "form",
        "url in url",
        "url in json",
        "json in url",
        "html",
        "json in html",
        "latin-1",
        "bytes",
    ],
)
def test_a_password_that_looks_escaped_itself_is_hidden_in_every_form(
    password: str, say: Any
) -> None:
    sent = base64.b64encode(f"admin:{password}".encode()).decode()
    hidden = secrets_of(f"Basic {sent}").hide(f"you sent {say(password)}!")
    assert "Hush" not in hidden
    assert HIDDEN in hidden


def test_a_bearer_token_is_hidden() -> None:
    assert secrets_of(f"Bearer {TOKEN}").hide(f"bad token {TOKEN}!") == f"bad token {HIDDEN}!"


@pytest.mark.parametrize("text", ["", "plain 100% words", "a\\b \\u0041", "admin&amp;co", "Basic"])
def test_what_has_no_login_in_it_stays_as_it_is(basic: Secrets, text: str) -> None:
    assert basic.hide(text) == text
    assert secrets_of(None).hide(text) == text
    assert secrets_of("Negotiate").hide(text) == text


@pytest.mark.parametrize(
    "text",
    ["\\" * 500_000, "\\u" * 300_000, "%" * 300_000, "&#" + "9" * 5000 + ";", "\\ud800", "%ff"],
    ids=lambda text: text[:6],
)
def test_no_text_is_too_much(basic: Secrets, text: str) -> None:
    began = time.thread_time()
    assert basic.hide(text) == text
    assert "Hush" not in basic.hide(f"{text} {PASSWORD}")
    assert basic.hide_in_json([text], json.dumps([text])) == [text]
    assert time.thread_time() - began < 60  # or hours, if each of these were looked at again


def test_a_short_password_is_hidden_where_it_stands_alone() -> None:
    secrets = secrets_of("Basic " + base64.b64encode(b"admin:art").decode())
    assert secrets.hide("cannot start: art, 'art'") == "cannot start: ***, '***'"


def test_more_than_a_login_can_be_hidden() -> None:
    assert Secrets(None, ["Sig", "Signed"]).hide("Signed, or Sig?") == f"{HIDDEN}, or {HIDDEN}?"


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_json_loses_the_login_and_keeps_its_shape(basic: Secrets, ensure_ascii: bool) -> None:
    data = {"a": [1, None, {"version": f"v1 {BASIC}"}], "b": PASSWORD, "c": "kept\\u0041"}
    text = json.dumps(data, ensure_ascii=ensure_ascii)
    hidden = basic.hide_in_json(json.loads(text), text)
    assert hidden == {
        "a": [1, None, {"version": f"v1 Basic {HIDDEN}"}],
        "b": HIDDEN,
        "c": "kept\\u0041",
    }


def test_json_without_a_login_is_not_touched(basic: Secrets) -> None:
    data = {"a": ["b"]}
    assert basic.hide_in_json(data, json.dumps(data)) is data


def test_a_password_that_is_a_common_word_hides_no_name() -> None:
    secrets = secrets_of("Basic " + base64.b64encode(b"admin:registry").decode())
    data = {"name": "infra/registry", "digest": "sha256:registry", "error": "bad login: registry"}
    text = json.dumps(data)
    hidden = secrets.hide_in_json(data, text)
    assert hidden == {**data, "error": f"bad login: {HIDDEN}"}
