"""URLs of registries: as people write them, and as they may be shown."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.http.urls import normalise_url, origin_of, redact


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("harbor.example.com", "https://harbor.example.com"),
        ("https://Harbor.Example.com/", "https://harbor.example.com"),
        ("HTTPS://harbor.example.com", "https://harbor.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (
            "https://harbor.example.com:443/harbor/projects/1/repositories",
            "https://harbor.example.com",
        ),
        ("https://h/harbor/projects?page=2#x", "https://h"),
        ("https://h/account/sign-in?redirect_url=%2Fharbor%2Fprojects", "https://h"),
        ("https://harbor.example.com/api/v2.0", "https://harbor.example.com"),
        ("http://[::1]:5000/v2/", "http://[::1]:5000"),
        ("::1", "https://[::1]"),
        ("http://2001:DB8::1", "http://[2001:db8::1]"),
        ("  registry.example.com:5000 ", "https://registry.example.com:5000"),
        ("my_registry:5000", "https://my_registry:5000"),
        ("bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_url_is_read_as_it_was_meant(given: str, meant: str) -> None:
    assert normalise_url(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "   ",
        "ftp://harbor.example.com",
        "https://",
        "https://:443",
        "https://h/some/path",
        "https://h/?a=b",
        "https://h#a",
        "https://h:port",
        "https://h:",
        "http://h:99999",
        "http://h:0",
        "http://h:-1",
        "http://h:\u0661",
        "http://h:\u00b2",
        "[::1",
        "http://[::1]x",
        "http://[zz]",
        "fe80::1%eth0",
        "exa mple",
        "h\nX: y",
        "h\\x",
        "a" * 300,
        "\ud800",
    ],
)
def test_what_is_no_url_of_a_registry_is_refused(given: str) -> None:
    with pytest.raises(HarborConfigurationError, match="is not the URL of a registry") as caught:
        normalise_url(given)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "given",
    [
        "https://admin:{}@harbor.example.com",
        "admin:{}@harbor.example.com:443",
        "https://admin@harbor.example.com:{}",
        "https://admin:x@harbor.example.com/{}",
        "https://harbor.example.com/?password={}",
        "https://harbor.example.com/admin:{}",
        "https://harbor.example.com#{}",
        "https://admin:{}",
        "admin:{}",
        "admin:{}/x",
        "ftp://admin:{}@h",
        "{}://h",
        "https://[{}]:443",
        "https://[::1]:{}",
    ],
)
@pytest.mark.parametrize(
    "password",
    [
        "Hush", "Hush/Hush", "Hush@Hush", "Hush?Hush", "Hush#Hush", "Hush Hush", "Hush\nHush",
        "1Hush", "80/Hush", "Hush:80", "[Hush", "Hush]", "%48ush-Hush", "//Hush",
    ],
)  # fmt: skip
def test_a_password_typed_into_a_url_is_never_shown(given: str, password: str) -> None:
    with pytest.raises(HarborConfigurationError) as caught:
        normalise_url(given.format(password))
    assert "ush" not in str(caught.value)


def test_it_is_said_that_credentials_do_not_belong_into_a_url() -> None:
    with pytest.raises(HarborConfigurationError, match="leave the credentials out"):
        normalise_url("https://admin:Hush-Hush1@harbor.example.com")


def test_what_can_only_be_the_host_is_shown() -> None:
    with pytest.raises(HarborConfigurationError, match=r"its host is 'harbor\.example\.com'"):
        normalise_url("https://harbor.example.com/path")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://h/x", "https://h"),
        ("HTTPS://H:443", "https://h"),
        ("http://h:80?x", "http://h"),
        ("http://h:8080#x", "http://h:8080"),
        ("http://u:p@h/x", "http://h"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
    ],
)
def test_equal_servers_have_equal_origins(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["", "/x", "h", "ftp://h", "http://", "http://[::1", "http://h:x"])
def test_what_has_no_server_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        origin_of(url)


def test_a_shown_url_has_no_secret() -> None:
    assert redact("https://u:p@h/x") == "https://h/x"
    assert redact("https://s3/x?X-Amz-Signature=abc") == "https://s3/x?..."
    assert (
        redact("https://h/v2/a/blobs/uploads/1?_state=abc") == "https://h/v2/a/blobs/uploads/1?..."
    )
    assert redact("https://h/api?page=2") == "https://h/api?page=2"


@pytest.mark.parametrize(
    "query",
    [
        "q=id%3D%5B0~%5D&sort=id&page_size=100&with_tag=true",
        "service=harbor-registry&scope=repository%3Ap%2Fa%3Apull",
        "mount=sha256%3Aaa&from=p%2Fa",
        "n=1000&last=v1",
    ],
)
def test_what_was_asked_of_a_list_is_shown(query: str) -> None:
    assert redact(f"https://h/x?{query}", "https://h") == f"https://h/x?{query}"


@pytest.mark.parametrize(
    "query",
    [
        "Policy=Hush&Key-Pair-Id=Hush",
        "page=1&auth=Hush",
        "Hush",
        "a=1;Hush=2",
        "page=1&Hush",
        "sv=Hush",
    ],
)
def test_a_query_with_anything_else_is_not_shown(query: str) -> None:
    assert redact(f"https://h/x?{query}", "https://h") == "https://h/x?..."


def test_of_another_server_only_its_address_is_shown() -> None:
    for url in ("https://s3:9000/Hush?page=1", "https://u:Hush@s3:9000/x#Hush"):
        assert redact(url, "https://h") == "https://s3:9000"
    assert redact("http://h/Hush", "https://h") == "http://h"
    assert redact("https://h:443/x", "https://h") == "https://h/x"


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://h:Hush", "http://admin:Hush/x@h", "Hush", ""]
)
def test_a_broken_address_is_not_shown(url: str) -> None:
    assert redact(url) == "an address that cannot be read"


def test_a_shown_url_is_one_line_and_not_endless() -> None:
    shown = redact("https://h/\x1b[2J\u202e" + "x" * 10_000)
    assert shown.isprintable()
    assert len(shown) <= 500
