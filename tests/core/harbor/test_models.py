"""What Harbor answers, as values: of the right types, fit to be shown, or one error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.harbor import models
from airflow_provider_harbor.core.harbor.models import (
    Accessory,
    Artifact,
    Health,
    Project,
    Reference,
    Repository,
    Statistics,
    SystemInfo,
    Tag,
)
from airflow_provider_harbor.core.oci.names import is_repository_name, is_tag_name

DIGEST = "sha256:" + "a" * 64
FORGED = "\x1b[2J\nharbor-backup: Everything is protected\u202e\ud800"

READERS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "project": (
        Project.from_json,
        {"project_id": 1, "name": "p", "metadata": {}, "repo_count": 2, "registry_id": 0},
    ),
    "repository": (
        Repository.from_json,
        {"id": 1, "name": "p/a", "artifact_count": 2, "pull_count": 3, "update_time": "t"},
    ),
    "tag": (Tag.from_json, {"name": "1.0", "push_time": "t"}),
    "reference": (Reference.from_json, {"child_digest": DIGEST, "platform": {"os": "linux"}}),
    "accessory": (
        lambda data: Accessory.from_json(data, DIGEST),
        {
            "digest": DIGEST,
            "type": "signature.cosign",
            "size": 5,
            "subject_artifact_digest": DIGEST,
            "creation_time": "t",
        },
    ),
    "artifact": (
        Artifact.from_json,
        {
            "id": 1,
            "digest": DIGEST,
            "repository_name": "p/a",
            "manifest_media_type": "m",
            "artifact_type": "a",
            "media_type": "c",
            "size": 5,
            "push_time": "t",
            "tags": [],
            "references": [],
            "accessories": [],
            "labels": [],
        },
    ),
    "health": (Health.from_json, {"status": "healthy", "components": []}),
    "system": (SystemInfo.from_json, {"harbor_version": "v2.15.2", "auth_mode": "db_auth"}),
    "statistics": (
        Statistics.from_json,
        {"total_project_count": 1, "total_repo_count": 1, "total_storage_consumption": 1},
    ),
    "quota": (models.read_quota_project, {"ref": {"name": "p"}}),
}
FIELDS = [(kind, field) for kind, (_, data) in READERS.items() for field in data]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        {"a": 1}, [1], [None], ["x"], [[]], [{"name": 5}], 1.5, True, -(2**63), 2**63, 10**400,
        "\u00b2",
    ],
    ids=str,
)  # fmt: skip
def test_a_field_of_another_type_is_one_error_or_no_harm(kind: str, field: str, value: Any) -> None:
    read, data = READERS[kind]
    said = refusal(lambda: read({**data, field: value}))
    assert said.isprintable()
    assert len(said) < 300


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_that_is_null_or_missing_is_one_error_or_empty(kind: str, field: str) -> None:
    read, data = READERS[kind]
    for changed in ({**data, field: None}, {k: v for k, v in data.items() if k != field}):
        said = refusal(lambda changed=changed: read(changed))
        assert said == "" or field in said


def refusal(read: Callable[[], Any]) -> str:
    """Return what reading was refused with; empty where it was not."""
    try:
        read()
    except HarborProtocolError as err:
        return str(err)
    return ""


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("data", [None, [], "x", 5, True])
def test_what_is_no_object_is_an_error(kind: str, data: Any) -> None:
    with pytest.raises(HarborProtocolError, match="is not an object"):
        READERS[kind][0](data)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("project", "project_id"),
        ("project", "repo_count"),
        ("repository", "id"),
        ("repository", "artifact_count"),
        ("artifact", "id"),
        ("artifact", "size"),
        ("accessory", "size"),
        ("statistics", "total_project_count"),
    ],
)
@pytest.mark.parametrize("value", ["5", 5.0, True, [5], {"a": 5}, 2**63])
def test_a_number_is_a_whole_one(kind: str, field: str, value: Any) -> None:
    read, data = READERS[kind]
    with pytest.raises(HarborProtocolError, match=f"field '{field}' is "):
        read({**data, field: value})


def test_a_count_is_none_below_zero_but_an_id_may_be() -> None:
    """Rows that were migrated from Harbor 1 have such ids."""
    read, data = READERS["repository"]
    assert read({**data, "id": -5}).repository_id == -5
    with pytest.raises(HarborProtocolError, match="artifact_count"):
        read({**data, "artifact_count": -5})


@pytest.mark.parametrize(
    "name",
    [
        "../../x", "/abs", "a\0b", "p" * 400, "\u00fc", "{{ 7*7 }}", "..", "a/b", "CON", ".hidden",
        "-x", "", None, 5, "p\n", "p\x1b[31m", "\ud800",
    ],
)  # fmt: skip
def test_a_project_that_no_harbor_can_have_is_refused(name: object) -> None:
    with pytest.raises(HarborProtocolError, match=r"field 'name': .* is not the name of a project"):
        Project.from_json({"project_id": 1, "name": name})


@pytest.mark.parametrize(
    "name", ["p/../../api", "p/A", "p/a\nb", "p/\x1b[31m", "p/\ud800", "p/a\n"]
)
def test_a_repository_or_tag_that_none_can_be_called_is_left_to_be_told(name: str) -> None:
    """One such name must not hide all others; but it is shown as what it is, and is still none."""
    repository = Repository.from_json({"id": 1, "name": name})
    artifact = Artifact.from_json(
        {"id": 1, "digest": DIGEST, "repository_name": name, "tags": [{"name": name}]}
    )
    for shown in (repository.name, artifact.repository, artifact.tags[0].name):
        assert shown.isprintable()
        assert not is_repository_name(shown)
        assert not is_tag_name(shown)


def test_no_name_becomes_one_by_being_cut() -> None:
    shown = Repository.from_json({"id": 1, "name": "a" * 10_000}).name
    assert 255 < len(shown) < 1000


def test_texts_are_fit_to_be_shown() -> None:
    artifact = Artifact.from_json(
        {
            "id": 1,
            "digest": DIGEST,
            "manifest_media_type": FORGED,
            "artifact_type": FORGED * 999,
            "push_time": FORGED,
            "labels": [{"name": FORGED}, {"name": None}, {}, {"name": "b"}],
            "references": [{"child_digest": DIGEST, "platform": {"os": FORGED, "variant": [1]}}],
            "accessories": [{"digest": DIGEST, "type": FORGED}],
        }
    )
    system = SystemInfo.from_json({"harbor_version": FORGED, "auth_mode": FORGED})
    health = Health.from_json(
        {"status": FORGED, "components": [{"name": FORGED, "status": FORGED, "error": FORGED}]}
    )
    (platform,) = [reference.platform for reference in artifact.references]
    shown = [
        artifact.media_type, artifact.artifact_type, artifact.push_time, *artifact.labels,
        artifact.accessories[0].type, str(platform), system.harbor_version, system.auth_mode,
        health.status, *health.components, *health.components.values(), *health.errors.values(),
    ]  # fmt: skip
    for text in shown:
        assert text
        assert text.isprintable()
        assert len(text) < 600
    assert len(artifact.labels) == 2


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v2.15.2-abc", (2, 15, 2)),
        ("2.9", (2, 9, 0)),
        ("v\u0662.\u0661", (0, 0, 0)),
        ("v" + "9" * 99 + ".1", (0, 0, 0)),
        ("dev", (0, 0, 0)),
    ],
)
def test_a_version_is_read_as_numbers_or_is_none(text: str, version: tuple[int, int, int]) -> None:
    assert SystemInfo.from_json({"harbor_version": text}).version == version


def test_only_what_says_so_is_read_only() -> None:
    assert SystemInfo.from_json({"read_only": True}).read_only
    assert not SystemInfo.from_json({"read_only": "false"}).read_only
