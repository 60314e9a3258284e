"""A way back to a plain registry, which cannot be listed; and one with the content of a mirror."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.core.cli.conftest import Command
from tests.core.restoring import Reader, assert_served, holding
from tests.double import HarborDouble
from tests.double.content import Content, Image
from tests.registry_server import PlainRegistry


def push_to(registry: PlainRegistry, repository: str, image: Image, tag: str) -> None:
    """Push as a client does."""
    url = f"{registry.url}/v2/{repository}"
    for digest, content in image.blobs.items():
        location = requests.post(f"{url}/blobs/uploads/", timeout=120).headers["Location"]
        done = requests.put(
            location, params={"digest": digest}, data=content, timeout=120,
            headers={"Content-Type": "application/octet-stream"},
        )  # fmt: skip
        assert done.status_code == 201
    headers = {"Content-Type": image.media_type}
    done = requests.put(f"{url}/manifests/{tag}", data=image.manifest, headers=headers, timeout=120)
    assert done.status_code == 201


# -- a plain registry


def test_a_tag_that_names_something_else_in_a_plain_registry_is_left_alone_unless_allowed(
    plain_registry: PlainRegistry, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    mine = Image("mine")
    push_to(plain_registry, "team/app", mine, "1.0")
    push_to(plain_registry, "team/app", mine, "mine")
    only = ("--repository", "team/app")
    done = command("restore", kept, plain_registry.url, *only, "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "1.0 names something else at the destination, and was left as it is" in line
    reader = Reader(plain_registry)
    assert reader.digest("team/app", "1.0") == mine.digest
    assert reader.digest("team/app", "latest") == team["app"].digest
    assert command("restore", kept, plain_registry.url, *only, "--overwrite").code == 0
    assert reader.digest("team/app", "1.0") == team["app"].digest
    assert reader.digest("team/app", "mine") == mine.digest


def test_what_was_lost_in_a_plain_registry_comes_back_whatever_is_remembered_of_it(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    # A mirror, of which the store remembers what it holds.
    assert command("backup", harbor.url, kept, "--to", plain_registry.url).code == 0
    before = holding(harbor)
    url = f"{plain_registry.url}/v2/team/app/manifests"
    for name in ("untagged", "signed sbom"):
        assert requests.delete(f"{url}/{team[name].digest}", timeout=120).status_code == 202
    push_to(plain_registry, "shop/old", Image("ruined"), "1.0")
    key = min(path.name for path in (kept / "snapshots").iterdir())
    done = command("restore", kept, plain_registry.url, "--snapshot", key, "--overwrite")
    assert done.code == 0, done.err
    assert_served(plain_registry, before)


def test_a_project_comes_to_a_plain_registry_under_another_name(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    arguments = ("--project", "shop", "--as", "shop=old-shop")
    assert command("restore", kept, plain_registry.url, *arguments).code == 0
    reader = Reader(plain_registry)
    for (name, tag), digest in holding(harbor, "shop").tags.items():
        assert reader.digest(f"old-{name}", tag) == digest
        assert reader.tags(name) == set()


@pytest.mark.parametrize("project", ["bare", "team"])
def test_a_repository_of_which_the_store_has_nothing_is_named(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    tmp_path: Path,
    team: dict[str, Content],
    project: str,
) -> None:
    lost = harbor.push(f"{project}/lost", Image("lost"))
    harbor.state.lose_blob(next(iter(lost.blobs)))
    store = tmp_path / "other"
    assert command("backup", harbor.url, store).code == 1
    (key,) = [path.name for path in (store / "snapshots").iterdir()]
    arguments = ("--snapshot", key, "--project", project, "--json")
    done = command("restore", store, plain_registry.url, *arguments)
    assert done.code == 1
    (line,) = done.failures
    assert line.startswith(f"{project}/lost@{lost.digest}: ")
    assert "it was not copied into the store that night" in line
    if project == "team":
        assert Reader(plain_registry).digest("team/app", "1.0") == team["app"].digest


# -- content of a mirror


def test_what_a_mirror_lacks_is_named_as_that(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    assert command("backup", harbor.url, kept, "--to", plain_registry.url).code == 0
    url = f"{plain_registry.url}/v2"
    requests.delete(f"{url}/team/app/manifests/{team['untagged'].digest}", timeout=120)
    blob = next(iter(team["docker"].blobs))
    requests.delete(f"{url}/shop/old/blobs/{blob}", timeout=120)
    done = command("restore", kept, other_harbor.url, "--from", plain_registry.url, "--json")
    assert done.code == 1
    assert [line.partition("@")[0] for line in done.failures] == ["shop/old", "team/app"]
    for line in done.failures:
        assert f"the mirror {plain_registry.url} does not have it" in line
        assert "Push the artifact again" not in line
    # The night before is in the store: without a mirror that is the newest.
    assert command("restore", kept, other_harbor.url).code == 0
    assert holding(other_harbor) == holding(harbor)


@pytest.mark.parametrize("is_cached", [True, False])
def test_what_the_storage_of_a_mirror_has_lost_is_named_as_that(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    is_cached: bool,
) -> None:
    with HarborDouble() as mirror:
        assert command("backup", harbor.url, kept, "--to", mirror.url).code == 0
        mirror.state.registry_cache = is_cached
        mirror.state.lose_blob(next(iter(team["docker"].blobs)))
        mirror.state.lose_manifest("team/app", team["untagged"].digest)
        done = command("restore", kept, other_harbor.url, "--from", mirror.url, "--json")
    assert done.code == 1
    assert [line.partition("@")[0] for line in done.failures] == ["shop/old", "team/app"]
    for line in done.failures:
        assert f"the mirror {mirror.url} does not have it. Take it from the store" in line


def test_content_comes_from_a_mirror_that_is_a_harbor_and_pull_times_stay(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    with HarborDouble() as mirror:
        assert command("backup", harbor.url, kept, "--to", mirror.url).code == 0
        mirror.requests.reset()
        assert command("restore", kept, other_harbor.url, "--from", mirror.url).code == 0
        assert not any(a.pull_time for a in mirror.state.artifacts.values())
        gets = [path for method, path, _ in mirror.requests.log if "/blobs/" in path]
        assert len(gets) == len(set(gets))
    assert holding(other_harbor) == holding(harbor)


def test_a_mirror_that_does_not_answer_ends_it_before_anything_is_begun(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    done = command("restore", kept, other_harbor.url, "--from", "http://127.0.0.1:1")
    assert done.code == 3
    assert "127.0.0.1:1/v2/" in done.error
    assert other_harbor.state.project_names.keys() == {"library"}
