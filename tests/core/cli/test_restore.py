"""The way back by the command line: what of which night, to where, and under which name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.cli.conftest import Command
from tests.core.restoring import Reader, assert_served, holding, writes
from tests.double import HarborDouble
from tests.double.content import Content, Image, Index, cosign_signature, sbom_for
from tests.registry_server import PlainRegistry


def test_everything_comes_back_and_a_second_time_nothing_is_sent(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    before = holding(harbor)
    done = command("restore", kept, other_harbor.url)
    assert done.code == 0, done.err
    assert done.out.startswith("Everything is restored: 4 of 4 projects, ")
    assert holding(other_harbor) == before
    assert not any(p.public for n, p in other_harbor.state.project_names.items() if n != "library")

    other_harbor.requests.reset()
    again = command("restore", kept, other_harbor.url, "--json").document
    assert (again["complete"], again["copied"]) == (True, 0)
    assert again["present"] == len(before.manifests)
    assert writes(other_harbor) == []


def test_to_a_plain_registry_a_second_time_nothing_is_sent(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    assert command("restore", kept, plain_registry.url).code == 0
    assert_served(plain_registry, holding(harbor))
    again = command("restore", kept, plain_registry.url, "--json").document
    assert (again["copied"], again["blobs_copied"]) == (0, 0)
    assert again["complete"] is True


def test_only_what_is_missing_is_sent(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    command("restore", kept, other_harbor.url)
    state = other_harbor.state
    state.delete_artifact("team/app", team["untagged"].digest)
    state.delete_tag(state.artifact("team/app", "latest"), "latest")
    other_harbor.requests.reset()
    document = command("restore", kept, other_harbor.url, "--json").document
    assert (document["complete"], document["copied"]) == (True, 2)
    assert holding(other_harbor) == holding(harbor)
    # The registry below Harbor kept the blobs, so that nothing but two manifests is sent.
    assert sorted(path for _, path, _ in writes(other_harbor)) == sorted(
        [f"/v2/team/app/manifests/{team['untagged'].digest}", "/v2/team/app/manifests/latest"]
    )


def test_a_dry_run_shows_what_would_be_sent_and_changes_nothing(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    files = sorted(path for path in kept.rglob("*") if path.is_file())
    done = command("restore", kept, other_harbor.url, "--dry-run")
    assert done.code == 0
    assert done.out.startswith("Dry run: nothing was restored: 4 of 4 projects, ")
    assert "17 to copy" in done.out
    assert writes(other_harbor) == []
    assert other_harbor.state.project_names.keys() == {"library"}
    assert sorted(path for path in kept.rglob("*") if path.is_file()) == files


# -- a part of it


@pytest.mark.parametrize(
    ("arguments", "tags"),
    [
        (["--project", "shop"], {"shop/old:1.0", "shop/charts/web:1.0.0", "shop/app:again"}),
        (["--project", "s*", "--project", "bare"], {
            "shop/old:1.0", "shop/charts/web:1.0.0", "shop/app:again",
        }),
        (["--repository", "team/deep/multi"], {"team/deep/multi:2.0"}),
        (["--repository", "team/deep/*", "--repository", "shop/old"], {
            "team/deep/multi:2.0", "shop/old:1.0",
        }),
        (["--tag", "1.0*"], {"team/app:1.0", "shop/old:1.0", "shop/charts/web:1.0.0"}),
        (["--project", "shop", "--tag", "1.0"], {"shop/old:1.0"}),
        (["--repository", "team/app", "--tag", "latest"], {"team/app:latest"}),
    ],
)  # fmt: skip
def test_a_part_comes_back_and_nothing_else(
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    arguments: list[str],
    tags: set[str],
) -> None:
    done = command("restore", kept, other_harbor.url, *arguments)
    assert done.code == 0, done.err
    there = holding(other_harbor)
    named = {f"{repository}:{tag}" for repository, tag in there.tags}
    assert {name for name in named if ":sha256-" not in name} == tags


def test_a_tag_comes_with_its_children_and_what_refers_to_it_and_without_other_tags(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    command("restore", kept, other_harbor.url, "--repository", "team/app", "--tag", "1.0")
    there, before = holding(other_harbor), holding(harbor)
    names = ("app", "signature", "sbom", "signed sbom")
    assert there.manifests.keys() == {("team/app", team[name].digest) for name in names}
    assert there.subjects == {key: before.subjects[key] for key in there.subjects}
    assert len(there.subjects) == 3
    assert ("team/app", "latest") not in there.tags
    command("restore", kept, other_harbor.url, "--repository", "team/nested", "--tag", "3.0")
    digests = {digest for name, digest in holding(other_harbor).manifests if name == "team/nested"}
    assert digests == {each.digest for each in team["nested"].walk()}


def test_other_tags_of_what_belongs_to_a_tag_are_left_alone(
    harbor: HarborDouble, other_harbor: HarborDouble, command: Command, tmp_path: Path
) -> None:
    harbor.create_project("team")
    leaf = harbor.push("team/app", Image("leaf"), "amd64")
    harbor.push("team/app", Index(leaf), "1.0")
    sbom = harbor.push("team/app", sbom_for(leaf), "bill")
    harbor.push("team/app", cosign_signature(leaf))
    assert command("backup", harbor.url, tmp_path / "store").code == 0
    other_harbor.create_project("team")
    newer = other_harbor.push("team/app", Image("newer"), "amd64", "bill")
    arguments = ("--repository", "team/app", "--tag", "1.0", "--overwrite")

    dry = command("restore", tmp_path / "store", other_harbor.url, *arguments[:-1], "--dry-run")
    assert dry.code == 0, dry.err
    assert command("restore", tmp_path / "store", other_harbor.url, *arguments).code == 0

    there, before = holding(other_harbor), holding(harbor)
    assert there.manifests.keys() > before.manifests.keys()
    assert there.subjects == before.subjects
    assert sbom.digest in {digest for _, digest in there.subjects}
    assert there.tags == {
        **before.tags,
        ("team/app", "amd64"): newer.digest,
        ("team/app", "bill"): newer.digest,
    }


def test_what_a_tag_names_comes_with_what_it_refers_to(
    harbor: HarborDouble, other_harbor: HarborDouble, command: Command, tmp_path: Path
) -> None:
    # Harbor lists a signature or a bill of materials nowhere whose image is not there.
    harbor.create_project("team")
    image = harbor.push("team/app", Image("image"), "1.0")
    bill = Index(Image("page"), subject=image, artifact_type="application/x.bill")
    harbor.push("team/app", bill, "bill")
    assert command("backup", harbor.url, tmp_path / "store").code == 0

    for _ in range(2):
        done = command("restore", tmp_path / "store", other_harbor.url, "--tag", "bill")
        assert done.code == 0, done.err

    there = holding(other_harbor)
    assert there.tags == {("team/app", "bill"): bill.digest}
    assert there.subjects == holding(harbor).subjects
    assert command("backup", other_harbor.url, tmp_path / "other").code == 0


def test_a_project_comes_back_under_another_name(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    arguments = ("restore", kept, other_harbor.url, "--project", "team", "--as", "team=team-2")
    assert command(*arguments).code == 0
    there, before = holding(other_harbor), holding(harbor, "team")

    def renamed(name: str) -> str:
        return "team-2" + name.removeprefix("team")

    assert there.projects == {"library", "team-2"}
    assert there.manifests == {(renamed(n), d): c for (n, d), c in before.manifests.items()}
    assert there.tags == {(renamed(n), t): d for (n, t), d in before.tags.items()}
    assert there.subjects == {(renamed(n), d): s for (n, d), s in before.subjects.items()}
    other_harbor.requests.reset()
    assert command(*arguments).code == 0
    assert writes(other_harbor) == []


def test_a_project_comes_back_beside_itself(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    before = holding(harbor)
    done = command(
        "restore", kept, harbor.url, "--project", "shop", "--as", "shop=shop-of-last-night"
    )
    assert done.code == 0, done.err
    assert holding(harbor, "shop", "team").manifests == before.manifests
    assert {name for name, _ in holding(harbor, "shop-of-last-night").tags} == {
        "shop-of-last-night/old", "shop-of-last-night/charts/web", "shop-of-last-night/app",
    }  # fmt: skip


# -- which night


def test_any_night_comes_back(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    first = command("snapshots", kept, "--json").document["snapshots"][0]["key"]
    before = holding(harbor)
    ruined = harbor.push("team/app", Image("ruined"), "1.0", "latest")
    harbor.state.delete_artifact("team/deep/multi", team["multi"].digest)
    assert command("backup", harbor.url, kept).code == 0
    only = ("--repository", "team/app", "--tag", "1.0")
    assert command("restore", kept, other_harbor.url, *only).code == 0
    assert Reader(other_harbor).digest("team/app", "1.0") == ruined.digest

    done = command("restore", kept, other_harbor.url, "--snapshot", first, "--overwrite")
    assert done.code == 0, done.err
    assert f"snapshot {first} of {harbor.url}" in done.err
    there = holding(other_harbor)
    assert there.tags == before.tags
    assert there.manifests.keys() - before.manifests.keys() == {("team/app", ruined.digest)}


# -- tags that name something else


def test_a_tag_that_names_something_else_is_named_and_left_alone(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    other_harbor.create_project("team")
    mine = other_harbor.push("team/app", Image("mine"), "1.0")
    done = command("restore", kept, other_harbor.url, "--project", "team", "--json")
    assert done.code == 1
    (line,) = done.failures
    assert line.startswith(f"team/app@{team['app'].digest} (1.0, latest): 1.0 names something else")
    assert "overwriting allowed" in line
    reader = Reader(other_harbor)
    assert reader.digest("team/app", "1.0") == mine.digest
    # All else is restored, the artifact under its other tag, too.
    assert reader.digest("team/app", "latest") == team["app"].digest
    assert reader.digest("team/deep/multi", "2.0") == team["multi"].digest


def test_a_tag_that_names_something_else_is_moved_where_that_is_allowed(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    other_harbor.create_project("team")
    mine = other_harbor.push("team/app", Image("mine"), "1.0")
    done = command("restore", kept, other_harbor.url, "--project", "team", "--overwrite")
    assert done.code == 0, done.err
    reader = Reader(other_harbor)
    assert reader.digest("team/app", "1.0") == team["app"].digest
    assert reader.ask("HEAD", f"team/app/manifests/{mine.digest}").status_code == 200


def test_a_dry_run_shows_tags_that_name_something_else(
    other_harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    other_harbor.create_project("team")
    other_harbor.push("team/app", Image("mine"), "1.0")
    done = command("restore", kept, other_harbor.url, "--project", "team", "--dry-run")
    assert done.code == 1
    assert "[1/1] FAILED team: 1 tag would be left alone" in done.err
    assert "team/app:1.0. To have them moved, allow overwriting" in done.err
    assert command("restore", kept, other_harbor.url, "--dry-run", "--overwrite").code == 0


# -- from a mirror


def test_content_comes_from_a_mirror_and_the_list_from_the_store(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    assert command("backup", harbor.url, kept, "--to", plain_registry.url).code == 0
    for blob in (kept / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    arguments = ("--as", "team=again", "--from", plain_registry.url)
    done = command("restore", kept, other_harbor.url, *arguments)
    assert done.code == 0, done.err
    before = holding(harbor, "team")
    there = holding(other_harbor, "again")
    assert there.manifests.keys() == {
        ("again" + name.removeprefix("team"), digest) for name, digest in before.manifests
    }
    assert holding(other_harbor, "shop").tags == holding(harbor, "shop").tags
