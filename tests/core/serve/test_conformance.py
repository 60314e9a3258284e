"""OCI's own conformance suite, on what can be read: pull, content discovery, referrers.

With a registry that cannot be written the suite asks for what it is told to, but it compares no
content, asks for no ranges, and takes headers for missing that are there; the other tests do that.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.core.night import REPOSITORY, Night
from tests.core.serve.running import Served
from tests.go_programs import require_go_program

READING = (
    "Tag listing",
    "Blob get",
    "Blob head",
    "Manifest get by digest",
    "Manifest get by tag",
    "Manifest head by digest",
    "Manifest head by tag",
    "Referrers",
    "Ping",
)


def test_the_conformance_suite_of_oci_passes(served: Served, night: Night, tmp_path: Path):
    conformance = require_go_program("conformance")
    # It accepts OCI's own manifests only.
    here = [
        c
        for name, c in night.contents.items()
        if name not in ("chart", "other", "docker", "windows")
    ]
    manifests = {part.digest for content in here for part in content.walk()}
    blobs = {digest for content in here for part in content.walk() for digest in part.blobs}
    subjects = [night.contents["index"].digest, night.contents["sbom"].digest]
    environment = {
        "OCI_REGISTRY": served.host,
        "OCI_TLS": "disabled",
        "OCI_REPO1": REPOSITORY,
        "OCI_VERSION": "1.1",
        "OCI_API_PUSH": "false",
        "OCI_API_BLOBS_DELETE": "false",
        "OCI_API_MANIFESTS_DELETE": "false",
        "OCI_API_TAGS_DELETE": "false",
        "OCI_RO_DATA_TAGS": "1.0 latest 2.0 nested",
        "OCI_RO_DATA_MANIFESTS": " ".join(sorted(manifests)),
        "OCI_RO_DATA_BLOBS": " ".join(sorted(blobs)),
        "OCI_RO_DATA_REFERRERS": " ".join(subjects),
    }
    done = subprocess.run(
        [conformance],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
        env=environment,
    )
    # Not by its exit code: without data to push, it fails to write its last report.
    assert "OCI Conformance Result: Pass" in done.stdout, done.stdout + done.stderr
    results = dict(re.findall(r"^ *([A-Z][A-Za-z ]+?)\.*: +(\w+)$", done.stdout, re.MULTILINE))
    assert {name: results.get(name) for name in READING} == dict.fromkeys(READING, "Pass")
    assert (results["FAIL"], results["Error"]) == ("0", "0")
    assert int(results["Pass"]) >= 2 * len(manifests | blobs)
