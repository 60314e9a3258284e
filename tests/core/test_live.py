"""The main job on a real Harbor, which it only reads: HARBOR_TEST_URL, _USER and _PASSWORD name it.

    HARBOR_TEST_URL=https://harbor.example.com HARBOR_TEST_USER='robot$backup' \\
    HARBOR_TEST_PASSWORD=... make test PYTEST_ARGS="-m live"

Everything that the login sees goes into a double in this process, so use a small Harbor.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_harbor.core.harbor.check import check_harbor
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.core.rig import Backup, reach
from tests.double import HarborDouble

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        "HARBOR_TEST_URL" not in os.environ, reason="needs a real Harbor: set HARBOR_TEST_URL"
    ),
]


@pytest.fixture(autouse=True)
def loopback_only() -> None:
    """Let these tests reach the Harbor that they were given."""


def test_everything_that_a_real_harbor_holds_is_copied(
    other_harbor: HarborDouble, tmp_path: Path
) -> None:
    login = (
        os.environ["HARBOR_TEST_URL"],
        os.environ["HARBOR_TEST_USER"],
        os.environ["HARBOR_TEST_PASSWORD"],
    )
    with HarborClient(*login) as client, RegistryClient(*login) as registry:
        check_harbor(client)
        backup = Backup(client, registry, tmp_path / "store")
        destination = reach(other_harbor)
        report = backup.run(destination)
        assert report.complete, report.failures()
        for record in backup.records(report):
            there = destination.registry.get_manifest(record.repository, record.digest)
            assert there.digest == record.digest
        assert backup.run(destination).copied == 0
