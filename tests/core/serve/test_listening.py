"""Addresses, and what it takes to listen where others can reach them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trustme

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.serve.listening import (
    Address,
    check_certificate,
    listen,
    parse_address,
    require_protection,
)

GUARDED = {"has_certificate": True, "has_logins": True}
BARE = {"has_certificate": False, "has_logins": False}


@pytest.mark.parametrize(
    ("text", "place", "is_loopback"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000), True),
        ("localhost:0", ("127.0.0.1", 0), True),
        ("[::1]:5000", ("::1", 5000), True),
        ("0.0.0.0:5000", ("0.0.0.0", 5000), False),
        ("[::]:5000", ("::", 5000), False),
    ],
)
def test_addresses(text: str, place: tuple[str, int], is_loopback: bool):
    address = parse_address(text)
    assert (address.place, address.is_loopback) == (place, is_loopback)


@pytest.mark.parametrize(
    "text",
    ["", "5000", ":5000", "localhost", "localhost:", "localhost:http", "::1:5000", "[::1]",
     "127.0.0.1:65536", "127.0.0.1:-1", "no.such.host.invalid:5000", "x..y:1", "[]:1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(HarborConfigurationError):
        parse_address(text)


def test_loopback_needs_nothing():
    require_protection(parse_address("127.0.0.1:5000"), **BARE)


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        (BARE, ["--certfile", "--htpasswd", "--without-tls", "--without-login"]),
        (BARE | {"has_logins": True}, ["--certfile", "--without-tls"]),
        (BARE | {"has_certificate": True}, ["--htpasswd", "--without-login"]),
        (BARE | {"without_tls": True}, ["--htpasswd", "--without-login"]),
        (BARE | {"without_login": True}, ["--certfile", "--without-tls"]),
    ],
)
def test_other_addresses_need_a_certificate_and_logins(options, lacking):
    address = parse_address("0.0.0.0:5000")
    with pytest.raises(HarborConfigurationError) as caught:
        require_protection(address, **options)
    for word in ("--certfile", "--htpasswd", "--without-tls", "--without-login"):
        assert (word in str(caught.value)) == (word in lacking)


@pytest.mark.parametrize(
    "options",
    [
        GUARDED,
        BARE | {"without_tls": True, "without_login": True},
        BARE | {"has_certificate": True, "without_login": True},
        BARE | {"has_logins": True, "without_tls": True},
    ],
)
def test_until_it_was_said_in_so_many_words(options):
    require_protection(parse_address("0.0.0.0:5000"), **options)


def test_a_port_that_is_taken_is_named():
    with listen(parse_address("127.0.0.1:0")) as first:
        port = first.getsockname()[1]
        with pytest.raises(HarborConfigurationError, match=f"127.0.0.1:{port} already"):
            listen(parse_address(f"127.0.0.1:{port}"))


def test_an_address_of_another_machine_is_named():
    place = ("192.0.2.1", 5000)  # of a network for documentation: nobody has it
    address = Address(host="192.0.2.1", family=socket.AF_INET, place=place, is_loopback=False)
    with pytest.raises(HarborConfigurationError, match="is not an address of this machine"):
        listen(address)


def test_ipv6_where_there_is_some():
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    try:
        with listen(parse_address("[::1]:0")) as listener:
            assert listener.family == socket.AF_INET6
    except HarborConfigurationError:
        pytest.skip("needs IPv6")


# -- certificates


def test_a_certificate_with_its_key(tmp_path: Path):
    issued = trustme.CA().issue_cert("localhost")
    both = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    check_certificate(both, None)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    check_certificate(cert, key)


def test_what_is_none_is_named(tmp_path: Path):
    authority = trustme.CA()
    cert, other, text = (tmp_path / name for name in ("cert.pem", "other.pem", "text.pem"))
    authority.issue_cert("localhost").cert_chain_pems[0].write_to_path(cert)
    authority.issue_cert("localhost").private_key_pem.write_to_path(other)
    text.write_text("no certificate")
    for certfile, keyfile, words in (
        (tmp_path / "none.pem", other, "none.pem: No such file"),
        (cert, tmp_path / "none.pem", "none.pem: No such file"),
        (cert, other, "KEY_VALUES_MISMATCH"),
        (cert, None, "are not a certificate and its key"),
        (text, other, "are not a certificate and its key"),
        (tmp_path, None, "Is a directory"),
    ):
        with pytest.raises(HarborConfigurationError, match=words):
            check_certificate(certfile, keyfile)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path):
    from cryptography.hazmat.primitives import serialization

    issued = trustme.CA().issue_cert("localhost")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    cert, path = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(HarborConfigurationError, match="without a passphrase"):
        check_certificate(cert, path)
