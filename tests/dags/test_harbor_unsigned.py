from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.dags.conftest import Run
from tests.double import HarborDouble, Image, cosign_signature, multi_arch

pytestmark = pytest.mark.airflow


def test_unsigned_artifacts_are_counted(
    run_dag: Callable[..., Run], harbor: HarborDouble, connect: Any
) -> None:
    connect("harbor_default", harbor)
    harbor.create_project("team-a")
    signed = harbor.push("team-a/app", Image("app"), "v1")
    harbor.push("team-a/app", cosign_signature(signed))
    harbor.push("team-a/app", Image("app 2"), "v2")
    # One artifact, whatever it is made of.
    harbor.push("team-a/web", multi_arch("web"), "v1")

    run = run_dag("harbor_unsigned")

    assert run.state == "success"
    assert run.xcoms["summarise", -1] == 2
    assert run.names["count_unsigned", 1] == "team-a"
