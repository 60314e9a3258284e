"""A double of Harbor 2.15.2: REST API, token service and registry, on a loopback port.

It answers as the recordings of a real Harbor do (tests/contract), whatever is pushed into it and
whatever is set: everything is computed from its state. What is not recorded follows the source of
that version. Tests use it in their own process:

    with HarborDouble() as harbor:
        harbor.create_project("library2")
        image = harbor.push("library2/app", Image("app"), "v1", "latest")
        harbor.faults.add(Fault(method="GET", path="/blobs/", status=502))

and everything else as a process: `python -m tests.double --port 8080 --sample`.
"""

from .content import (
    Content,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    helm_chart,
    layer,
    multi_arch,
    referrer,
    sbom_for,
    sigstore_bundle,
)
from .faults import Fault
from .server import ROBOT_SECRET, HarborDouble
from .state import State

__all__ = [
    "ROBOT_SECRET",
    "Content",
    "Fault",
    "HarborDouble",
    "Image",
    "Index",
    "State",
    "attestation_for",
    "cosign_signature",
    "helm_chart",
    "layer",
    "multi_arch",
    "referrer",
    "sbom_for",
    "sigstore_bundle",
]
