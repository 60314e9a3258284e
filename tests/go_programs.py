"""Go programs: what reads what this package makes, OCI's conformance suite, and a registry."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_CONFORMANCE = "v0.0.0-20260831232431-97274622c111"
MODULES = {
    "conformance": f"github.com/opencontainers/distribution-spec/conformance@{_CONFORMANCE}",
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.1.0",
    "regctl": "github.com/regclient/regclient/cmd/regctl@v0.11.7",
}
_PLACES = (None, os.environ.get("GOBIN"), str(Path.home() / "go" / "bin"))


def require_go_program(name: str) -> str:
    """Return the path of a program; without it skip the test, or fail it where all is required."""
    for directory in _PLACES:
        if path := shutil.which(name, path=directory):
            return path
    reason = f"needs the program {name} (go install {MODULES[name]})"
    if os.environ.get("HARBOR_TESTS_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)
