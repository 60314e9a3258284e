"""`harbor-backup settings import` and `diff` where something is wrong: what is told, and kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.cli.conftest import Command
from tests.core.settings_rig import Api
from tests.double import HarborDouble


@pytest.fixture
def two_nights(command: Command, harbor: HarborDouble, kept: Path) -> Path:
    """Two nights of a system and two projects, all of which have changed; the path of the last."""
    api = Api(harbor)
    for name in ("team", "other"):
        api.post("/projects", project_name=name)
    for value in (31, 32):
        api.put("/configurations", token_expiration=value)
        for name in ("team", "other"):
            api.put(f"/projects/{name}", metadata={"public": "true" if value == 31 else "false"})
        assert command("settings", "export", harbor.url, kept).code == 0
    return sorted((kept / "snapshots").iterdir())[-1] / "settings.json"


@pytest.mark.parametrize("scope", ["", "team"])
@pytest.mark.parametrize("with_harbor", [False, True])
def test_a_damaged_document_is_not_compared_and_the_others_are(
    command: Command, harbor: HarborDouble, kept: Path, two_nights: Path, scope: str,
    with_harbor: bool,
) -> None:  # fmt: skip
    night = json.loads(two_nights.read_text())
    sha256 = night["projects"][scope] if scope else night["system"]
    (kept / f"settings/{sha256}.json").write_text("{}")
    if with_harbor:
        Api(harbor).put("/configurations", token_expiration=33)
        Api(harbor).put("/projects/other", metadata={"public": "true"})
    done = command("settings", "diff", kept, *(["latest", harbor.url] if with_harbor else []))
    assert done.code == 1
    what = f"project {scope}" if scope else "the system"
    assert f"NOT compared: {what}: damaged: " in done.out
    assert "the whole project" not in done.out
    assert "~ project other" in done.out
    assert ("token_expiration: 3" in done.out) == bool(scope)
    assert "~ project team" not in done.out or not scope
