"""Faults, counters and the running of the double itself."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.client import API, OCTETS, Client, error_of
from tests.double import Fault, HarborDouble, Image
from tests.double.content import digest_of
from tests.double.counters import kind_of

ROOT = Path(__file__).parent.parent.parent
BLOB = b"0123456789" * 10


@pytest.fixture
def blob(admin):
    """Path of a blob of 100 bytes."""
    assert admin.put_blob("team/app", BLOB).status_code == 201
    return f"/v2/team/app/blobs/{digest_of(BLOB)}"


# -- faults ------------------------------------------------------------------------------------


def test_a_fault_answers_instead_of_harbor_as_often_as_it_says(harbor, admin):
    harbor.faults.add(
        Fault(path=r"/projects\?", skip=1, times=2, status=429, headers={"Retry-After": "7"})
    )
    answers = [admin.get(f"{API}/projects?page={page}") for page in range(1, 5)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert answers[1].headers["Content-Type"] == "text/html"


def test_a_fault_hits_only_what_it_is_for(harbor, admin, blob):
    fault = harbor.faults.add(Fault(method="GET", path="/blobs/", times=None, status=502))
    assert admin.send("HEAD", blob).status_code == 200
    assert admin.get(f"{API}/projects").status_code == 200
    assert [admin.get(blob).status_code for _ in range(3)] == [502] * 3
    assert (fault.hits, harbor.faults.hits) == (3, 3)
    harbor.faults.clear()
    assert admin.get(blob).content == BLOB
    assert harbor.faults.hits == 0


@pytest.mark.parametrize("fault", [Fault(reset=True), Fault(lose_answer=True)])
def test_a_connection_can_be_reset(harbor, admin, fault):
    harbor.faults.add(fault)
    body = {"project_name": "new"}
    with pytest.raises(requests.ConnectionError):
        admin.send("POST", f"{API}/projects", json=body)
    assert harbor.requests.log == [("POST", f"{API}/projects", 0)]
    done = harbor.state.project("new") is not None
    assert done == fault.lose_answer


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_body_can_be_cut(harbor, admin, size):
    data = b"x" * size
    admin.put_blob("team/app", data)
    harbor.faults.add(Fault(method="GET", path="/blobs/", truncate_after_bytes=70))
    answer = admin.get(f"/v2/team/app/blobs/{digest_of(data)}", stream=True)
    assert answer.headers["Content-Length"] == str(size)
    assert answer.raw.read(70) == data[:70]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(answer.iter_content(100))


def test_a_body_can_be_corrupted(harbor, admin, blob):
    harbor.faults.add(Fault(method="GET", path="/blobs/", corrupt=True))
    spoiled = admin.get(blob).content
    assert len(spoiled) == len(BLOB)
    assert sum(a != b for a, b in zip(spoiled, BLOB, strict=True)) == 1
    assert admin.get(blob).content == BLOB


def test_an_answer_can_be_late(harbor, admin):
    harbor.faults.add(Fault(path="/ping", delay_seconds=0.2))
    with pytest.raises(requests.Timeout):
        requests.get(f"{harbor.url}{API}/ping", timeout=0.05)
    assert admin.get(f"{API}/ping").text == "Pong"


def test_a_callback_changes_harbor_before_a_request_is_answered(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")

    def delete(double: HarborDouble) -> None:
        # Over HTTP, too: the double goes on answering meanwhile.
        Client(double, double.user, double.password).api("/projects")
        double.state.delete_project("team")

    harbor.faults.add(Fault(path="/projects/team/artifacts", callback=delete))
    assert admin.api("/projects/team")["name"] == "team"
    assert error_of(admin.get(f"{API}/projects/team/artifacts"))[:2] == (404, "NOT_FOUND")


def test_faults_and_counters_can_be_reached_from_other_processes(harbor, admin):
    fault = {"method": "GET", "path": "/ping", "status": 503, "times": None}
    control = f"{harbor.url}/_double"
    assert requests.post(f"{control}/faults", json=fault, timeout=120).status_code == 201
    assert requests.post(f"{control}/faults", json={"x": 1}, timeout=120).status_code == 400
    assert admin.get(f"{API}/ping").status_code == 503
    assert requests.delete(f"{control}/faults", timeout=120).status_code == 204
    assert admin.get(f"{API}/ping").status_code == 200
    seen = requests.get(f"{control}/requests", timeout=120).json()
    assert seen == {"by_kind": {"rest.other": 2}, "total": 2}
    assert requests.delete(f"{control}/requests", timeout=120).status_code == 204
    assert harbor.requests.total() == 0


def test_a_component_can_be_unhealthy(harbor, admin):
    harbor.state.set_unhealthy("redis", "connection refused")
    health = admin.api("/health")
    assert health["status"] == "unhealthy"
    assert {"error": "connection refused", "name": "redis", "status": "unhealthy"} in (
        health["components"]
    )
    harbor.state.set_healthy()
    assert admin.api("/health")["status"] == "healthy"
    with pytest.raises(ValueError, match="no such component"):
        harbor.state.set_unhealthy("reddis")


def test_a_robot_can_expire(harbor):
    client = Client(harbor, harbor.create_robot("reader"), "Robot-12345")
    assert "harbor_version" in client.api("/systeminfo")
    harbor.state.expire_robot("robot$reader")
    assert "harbor_version" not in client.api("/systeminfo")


# -- counters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/api/v2.0/projects?page=2", "rest.projects"),
        ("GET", "/api/v2.0/projects/a/summary", "rest.other"),
        ("GET", "/api/v2.0/projects/a/repositories", "rest.repositories"),
        ("GET", "/api/v2.0/repositories?q=name=x", "rest.repositories"),
        ("GET", "/api/v2.0/projects/a/artifacts?q=base=*", "rest.artifacts"),
        ("GET", "/api/v2.0/projects/a/repositories/b%252Fc/artifacts/v1", "rest.artifacts"),
        ("GET", "/service/token?service=harbor-registry", "token"),
        ("GET", "/v2/a/b/manifests/v1", "manifest.get"),
        ("HEAD", "/v2/a/b/manifests/v1", "manifest.head"),
        ("PUT", "/v2/a/manifests/blobs/manifests/v1", "manifest.put"),
        ("GET", "/v2/a/b/blobs/sha256:0", "blob.get"),
        ("POST", "/v2/a/b/blobs/uploads/", "upload.post"),
        ("POST", "/v2/a/b/blobs/uploads/?mount=sha256:0&from=a/c", "mount"),
        ("PATCH", "/v2/a/b/blobs/uploads/id?_state=x", "upload.patch"),
        ("GET", "/v2/a/b/tags/list?n=5", "tags"),
        ("GET", "/v2/a/b/referrers/sha256:0", "referrers"),
        ("GET", "/v2/", "v2.other"),
    ],
)
def test_requests_are_counted_by_kind(method, target, kind):
    assert kind_of(method, target) == kind


def test_a_request_counts_before_its_answer_is_read(harbor, admin):
    for _ in range(3):
        admin.send("POST", "/v2/team/app/blobs/uploads/", headers=OCTETS)
        assert harbor.requests["upload.post"] == len(harbor.requests.log)
    assert harbor.requests.by_kind() == {"upload.post": 3}
    harbor.requests.reset()
    assert (harbor.requests.total(), harbor.requests.by_kind()) == (0, {})


# -- running -----------------------------------------------------------------------------------


def test_broken_escapes_in_a_query_are_refused(harbor):
    connection = http.client.HTTPConnection(harbor.url.partition("://")[2])
    connection.request("GET", f"{API}/projects?q=name=%zz")
    assert connection.getresponse().status == 400
    connection.close()


def test_a_double_that_was_stopped_comes_back_with_what_it_held(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    url = harbor.url
    harbor.stop()
    with pytest.raises(requests.ConnectionError):
        admin.get(f"{API}/ping")
    harbor.start()
    assert harbor.url == url
    assert admin.manifest("team/app", "v1").content == image.manifest


def test_stopping_does_not_wait_for_requests_that_a_fault_holds_back():
    with HarborDouble() as harbor:
        harbor.faults.add(Fault(path="/ping", delay_seconds=600))
        with pytest.raises(requests.Timeout):
            requests.get(f"{harbor.url}{API}/ping", timeout=0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 60


def test_a_double_with_a_certificate_serves_tls(tmp_path):
    certificate, key = self_signed(tmp_path)
    with HarborDouble(certfile=certificate, keyfile=key) as harbor:
        assert harbor.url.startswith("https://")
        ping = f"{harbor.url}{API}/ping"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(ping, timeout=120)
        answer = requests.get(ping, timeout=120, verify=str(certificate))
        assert answer.text == "Pong"
        assert "; Secure" in answer.headers["Set-Cookie"]
        refused = requests.get(f"{harbor.url}/v2/", timeout=120, verify=str(certificate))
        assert f'realm="{harbor.url}/service/token"' in refused.headers["Www-Authenticate"]


@pytest.mark.parametrize(
    ("number", "options", "public", "unknown"),
    [
        (signal.SIGINT, [], ["library"], 404),
        (signal.SIGTERM, ["--sample", "--behind-nginx"], ["base", "library"], 200),
    ],
)
def test_the_process_says_where_it_is_and_ends_when_asked(number, options, public, unknown):
    command = [sys.executable, "-m", "tests.double", *options]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        words = process.stdout.readline().split()
        assert words[:4] == ["Harbor", "double", "ready", "at"]
        projects = requests.get(f"{words[4]}{API}/projects", timeout=120).json()
        assert [project["name"] for project in projects] == public
        # Core knows no such path; nginx has a page of the portal for it.
        assert requests.get(f"{words[4]}/harbor/projects", timeout=120).status_code == unknown
        process.send_signal(number)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, output, errors) == (0, "", "")


def self_signed(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ip_address("127.0.0.1"))
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
