"""URLs of registries: as people write them, and as they may be shown."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.urls import normalise_url, redact


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("harbor.example.com", "https://harbor.example.com"),
        ("https://Harbor.Example.com/", "https://harbor.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (
            "https://harbor.example.com:443/harbor/projects/1/repositories",
            "https://harbor.example.com",
        ),
        ("https://harbor.example.com/api/v2.0", "https://harbor.example.com"),
        ("http://[::1]:5000/v2/", "http://[::1]:5000"),
        ("  registry.example.com:5000 ", "https://registry.example.com:5000"),
    ],
)
def test_a_url_is_read_as_it_was_meant(given: str, meant: str) -> None:
    assert normalise_url(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://harbor.example.com",
        "https://",
        "https://h/some/path",
        "https://h:port",
        "http://h:99999",
    ],
)
def test_what_is_no_url_of_a_registry_is_refused(given: str) -> None:
    with pytest.raises(HarborConfigurationError):
        normalise_url(given)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(HarborConfigurationError) as caught:
        normalise_url("https://admin:Hush-Hush1@harbor.example.com")
    assert "Hush-Hush1" not in str(caught.value)


def test_a_shown_url_has_no_secret() -> None:
    assert redact("https://u:p@h/x") == "https://h/x"
    assert redact("https://s3/x?X-Amz-Signature=abc") == "https://s3/x?..."
    assert (
        redact("https://h/v2/a/blobs/uploads/1?_state=abc") == "https://h/v2/a/blobs/uploads/1?..."
    )
    assert redact("https://h/api?page=2") == "https://h/api?page=2"
