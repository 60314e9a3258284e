"""Programs of others pull what was backed up, while the Harbor it came from is gone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import trustme

from airflow_provider_harbor.core.oci.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)
from airflow_provider_harbor.core.serve.logins import Logins
from tests.core.night import OTHER, REPOSITORY, Night, run_program
from tests.core.serve.running import Served, serving
from tests.go_programs import require_go_program
from tests.registry_server import require_program

TAGS = (("1.0", "image"), ("2.0", "index"), ("old", "docker"), ("nested", "nested"))


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_whole(directory: Path) -> None:
    """Make sure that every blob of an OCI layout is what its name says."""
    for path in directory.glob("blobs/sha256/*"):
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"


def test_skopeo(served: Served, night: Night, tmp_path: Path):
    skopeo = require_program("skopeo")
    source = f"docker://{served.host}/{REPOSITORY}"
    for tag, name in TAGS:
        raw = run_program([skopeo, "inspect", "--raw", "--tls-verify=false", f"{source}:{tag}"])
        assert digest_of(raw.encode()) == night.contents[name].digest
    for tag, name in (("1.0", "image"), ("2.0", "index")):
        target = tmp_path / name
        run_program(
            [
                *(skopeo, "--insecure-policy", "copy", "--all", "--preserve-digests"),
                *("--src-tls-verify=false", f"{source}:{tag}", f"oci:{target}:{tag}"),
            ]
        )
        is_whole(target)
        (entry,) = json.loads((target / "index.json").read_text())["manifests"]
        assert entry["digest"] == night.contents[name].digest
    listed = json.loads(run_program([skopeo, "list-tags", "--tls-verify=false", source]))
    assert listed["Tags"] == served.get(f"/v2/{REPOSITORY}/tags/list").json()["tags"]


def test_crane(served: Served, night: Night, tmp_path: Path):
    crane = require_go_program("crane")
    source = f"{served.host}/{REPOSITORY}"
    for tag, name in TAGS:
        digest = run_program([crane, "digest", "--insecure", f"{source}:{tag}"]).strip()
        assert digest == night.contents[name].digest
    for tag, name in (("1.0", "image"), ("2.0", "index")):
        target = tmp_path / name
        run_program([crane, "pull", "--insecure", "--format=oci", f"{source}:{tag}", target])
        is_whole(target)
        (entry,) = json.loads((target / "index.json").read_text())["manifests"]
        assert entry["digest"] == night.contents[name].digest
    names = run_program([crane, "catalog", "--insecure", served.host]).split()
    assert names == [REPOSITORY, OTHER, "team/other"]


def test_oras(served: Served, night: Night, tmp_path: Path):
    oras = require_go_program("oras")
    source = f"{served.host}/{REPOSITORY}"
    for tag, name in TAGS:
        target = tmp_path / name
        run_program(
            [oras, "cp", "-r", "--from-plain-http", f"{source}:{tag}", "--to-oci-layout",
             f"{target}:{tag}"]
        )  # fmt: skip
        is_whole(target)
        held = {f"sha256:{path.name}" for path in target.glob("blobs/sha256/*")}
        assert night.all_of(name).keys() <= held
    # Signatures and bills of materials come along.
    held = {f"sha256:{path.name}" for path in (tmp_path / "index").glob("blobs/sha256/*")}
    assert {night.contents[name].digest for name in ("sbom", "sbom of sbom")} <= held
    chart = tmp_path / "chart"
    run_program([oras, "pull", "--plain-http", f"{served.host}/{OTHER}:1.0.0", "-o", chart])
    tags = run_program([oras, "repo", "tags", "--plain-http", source]).split()
    assert tags == served.get(f"/v2/{REPOSITORY}/tags/list").json()["tags"]


def test_regctl(served: Served, night: Night, tmp_path: Path):
    regctl = require_go_program("regctl")
    environment = {"REGCTL_CONFIG": str(tmp_path / "regctl.json")}
    run_program([regctl, "registry", "set", served.host, "--tls", "disabled"], **environment)
    source = f"{served.host}/{REPOSITORY}"
    for tag, name in TAGS:
        target = tmp_path / name
        run_program(
            [regctl, "image", "copy", "--referrers", f"{source}:{tag}", f"ocidir://{target}:{tag}"],
            **environment,
        )
        is_whole(target)
        held = {f"sha256:{path.name}" for path in target.glob("blobs/sha256/*")}
        assert night.all_of(name).keys() <= held
    listed = run_program([regctl, "artifact", "list", f"{source}:2.0"], **environment)
    assert night.contents["sbom"].digest in listed


# -- behind a login and a certificate of one's own


@pytest.fixture(scope="module")
def locked(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """The night, behind TLS and a login (alice, secret); with a directory that has the CA."""
    directory = tmp_path_factory.mktemp("locked")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.crt")
    both = directory / "both.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    logins = Logins({"alice": bcrypt.hashpw(b"secret", bcrypt.gensalt(4))})
    with serving(night.store, logins=logins, certfile=both) as running:
        certificates = directory / "certificates"
        certificates.mkdir()
        os.link(directory / "ca.crt", certificates / "ca.crt")
        yield running, directory


def test_skopeo_logs_in(locked: tuple[Served, Path], night: Night):
    skopeo = require_program("skopeo")
    served, directory = locked
    raw = run_program(
        [
            *(skopeo, "inspect", "--raw", "--cert-dir", directory / "certificates"),
            *("--creds", "alice:secret", f"docker://{served.host}/{REPOSITORY}:1.0"),
        ]
    )
    assert digest_of(raw.encode()) == night.contents["image"].digest
    with pytest.raises(AssertionError, match=r"unauthorized|authentication required"):
        run_program(
            [
                *(skopeo, "inspect", "--raw", "--cert-dir", directory / "certificates"),
                *("--creds", "alice:wrong", f"docker://{served.host}/{REPOSITORY}:1.0"),
            ]
        )


def test_clients_of_docker_log_in(locked: tuple[Served, Path], night: Night, tmp_path: Path):
    """Crane takes the login where `docker login` keeps it, and asks as docker does."""
    crane = require_go_program("crane")
    served, directory = locked
    environment = {
        "DOCKER_CONFIG": str(tmp_path),
        "SSL_CERT_FILE": str(directory / "ca.crt"),
    }
    # Hosts of loopback are asked by plain HTTP first, but for those with a login.
    run_program([crane, "auth", "login", served.host, "-u", "alice", "-p", "secret"], **environment)
    source = f"{served.host}/{REPOSITORY}:1.0"
    run_program([crane, "pull", "--format=oci", source, tmp_path / "image"], **environment)
    is_whole(tmp_path / "image")


def test_the_requests_of_docker(locked: tuple[Served, Path], night: Night):
    """No daemon is at hand here: what one asks, in its order.

    Source: moby daemon/internal/distribution (pull_v2.go, registry.go): a ping that is challenged,
    HEAD of the tag, the index, the manifest of the platform, config and layers, one of which broke.
    """
    served, directory = locked
    accepted = ", ".join((DOCKER_MANIFEST, DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST))
    options = {"verify": str(directory / "ca.crt"), "headers": {"Accept": accepted}}
    challenged = served.get("/v2/", verify=options["verify"])
    assert challenged.status_code == 401
    assert challenged.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert challenged.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    options["auth"] = ("alice", "secret")
    assert served.get("/v2/", **options).status_code == 200
    index, image = night.contents["index"], night.contents["index"].children[0]
    base = f"/v2/{REPOSITORY}"
    head = served.head(f"{base}/manifests/2.0", **options)
    digest = head.headers["Docker-Content-Digest"]
    assert (digest, head.headers["Content-Type"]) == (index.digest, OCI_INDEX)
    assert served.get(f"{base}/manifests/{digest}", **options).content == index.manifest
    assert served.get(f"{base}/manifests/{image.digest}", **options).content == image.manifest
    for blob, content in image.blobs.items():
        part = {**options, "headers": {"Range": "bytes=5-"}}
        answer = served.get(f"{base}/blobs/{blob}", **part)
        assert (answer.status_code, answer.content) == (206, content[5:])


def test_oras_logs_in(locked: tuple[Served, Path], night: Night, tmp_path: Path):
    oras = require_go_program("oras")
    served, directory = locked
    raw = run_program(
        [
            *(oras, "manifest", "fetch", "--ca-file", directory / "ca.crt"),
            *("-u", "alice", "-p", "secret", f"{served.host}/{REPOSITORY}:2.0"),
        ],
        DOCKER_CONFIG=str(tmp_path),
    )
    assert digest_of(raw.encode()) == night.contents["index"].digest
