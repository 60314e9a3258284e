"""A way back to a place that does not take it: said in one sentence, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.cli.conftest import Command, Done
from tests.core.restoring import Reader, holding, writes
from tests.core.rig import make_immutable
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image

ROOT = Path(__file__).parents[3]
FORBIDDEN = json.dumps({"errors": [{"code": "FORBIDDEN", "message": "forbidden"}]})


@pytest.fixture
def restore(command: Command, kept: Path, other_harbor: HarborDouble) -> Callable[..., Done]:
    """Restore into an empty Harbor."""
    return lambda *arguments: command("restore", kept, other_harbor.url, *arguments)


# -- what is asked for


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--project", "teem"], "has no project 'teem'. The nearest of 4 projects there: team"),
        (["--project", "x*"], "has no project 'x*'. The nearest of 4 projects there: "),
        (["--repository", "teem/app"], "has no project 'teem'. The nearest of 4 projects"),
        (
            ["--repository", "team/ap"],
            "has no repository 'team/ap'. The nearest of 3 repositories there: team/app",
        ),
        (
            ["--project", "shop", "--repository", "team/app"],
            "the repository 'team/app' is in none of the projects that are named (shop)",
        ),
        (["--tag", "1.O"], "has no tag '1.O'. The nearest of 8 tags there: 1.0"),
        (
            ["--repository", "team/nested", "--tag", "1.0"],
            "has no tag '1.0'. The nearest of 1 tag there: 3.0",
        ),
        (
            ["--as", "team"],
            "'team' is not a new name for a project. Write the project, '=' and its new name",
        ),
        (["--as", "teem=x"], "what is restored has no project 'teem'"),
        (["--as", "team=UP"], "'UP' is not a name that a project can have"),
        (["--as", "team=shop"], "'shop' and 'team' would both be restored as 'shop'"),
        (["--as", "team=a", "--as", "team=b"], "two new names are given for 'team'"),
        (["--project", "shop", "--as", "team=b"], "what is restored has no project 'team'"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
    arguments: list[str],
    said: str,
) -> None:
    done = restore(*arguments)
    assert done.code == 2
    assert said in done.error
    assert other_harbor.requests.total() == 0


# -- onto something else


def test_onto_the_harbor_it_came_from_only_what_is_missing_is_sent(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    before = holding(harbor)
    harbor.requests.reset()
    assert command("restore", kept, harbor.url).code == 0
    assert writes(harbor) == []
    harbor.state.forget_repository(harbor.state.repositories["team/deep/multi"])
    harbor.push("team/app", Image("ruined"), "latest")
    done = command("restore", kept, harbor.url, "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "latest names something else at the destination" in line
    assert command("restore", kept, harbor.url, "--overwrite").code == 0
    after = holding(harbor)
    assert after.tags == before.tags
    assert before.manifests.items() <= after.manifests.items()


def test_content_cannot_come_from_where_it_goes_to(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    done = command("restore", kept, harbor.url, "--from", harbor.url + "/")
    assert done.code == 2
    assert "--from names the registry that is restored to" in done.error


def test_a_new_name_of_a_project_that_holds_something_else_is_refused_unless_allowed(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.create_project("mine")
    mine = other_harbor.push("mine/app", Image("mine"), "1.0")
    before = holding(other_harbor)
    arguments = ("--project", "team", "--as", "team=mine")
    for more in ((), ("--dry-run",)):
        done = restore(*arguments, "--json", *more)
        assert done.code == 1
        (line,) = done.failures
        assert f"the project mine of {other_harbor.url} holds something else, mine/app@" in line
        assert "Choose another name, or allow overwriting" in line
        assert holding(other_harbor) == before
    assert restore(*arguments, "--overwrite").code == 0
    reader = Reader(other_harbor)
    assert reader.digest("mine/app", "1.0") == team["app"].digest
    assert reader.ask("HEAD", f"mine/app/manifests/{mine.digest}").status_code == 200


# -- it does not take it


def test_a_read_only_target_is_named_and_nothing_is_sent(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.state.read_only = True
    done = restore("--json")
    assert done.code == 1
    assert len(done.failures) == 3
    for line in done.failures:
        assert "the destination is read-only. Switch that off, and run it again" in line
    other_harbor.create_project("team")
    done = restore("--project", "team", "--json")
    assert done.code == 1
    assert "the destination is read-only. Switch that off" in done.failures[0]
    assert done.document["failed"] == 14
    other_harbor.state.read_only = False
    assert restore().code == 0


def test_a_login_that_may_not_create_projects_is_told_so(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.faults.add(
        Fault(method="POST", path="/projects$", status=403, times=None, body=FORBIDDEN)
    )
    done = restore("--project", "team", "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "the destination has no project team, and the login may not create it" in line
    other_harbor.create_project("team")
    assert restore("--project", "team").code == 0


def test_a_robot_of_one_project_restores_that_one(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_harbor.state.configuration["project_creation_restriction"] = "adminonly"
    other_harbor.create_project("team")
    robot = other_harbor.create_robot("one", ["team"], push=True)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_USER", robot)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", "Robot-12345")
    done = restore("--json")
    assert done.code == 1
    assert {line.split(":")[0] for line in done.failures} == {"project bare", "project shop"}
    for line in done.failures:
        assert "and the login may not create it" in line
    assert holding(other_harbor).manifests == holding(harbor, "team").manifests


def test_a_login_that_may_not_push_is_told_so(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.create_project("team")
    other_harbor.state.deny_push("team")
    done = restore("--json")
    assert done.code == 1
    assert done.document["failed"] == 14
    said = "the destination's login may not push it. Give it the permissions"
    for line in done.failures:
        assert said in line or "it needs sha256:" in line or "not tried" in line
    assert said in done.failures[0]
    # The others come back all the same.
    assert ("shop/old", "1.0") in holding(other_harbor).tags


def test_a_login_that_may_push_and_not_list_is_told_so(
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_harbor.create_project("team")
    mine = other_harbor.push("team/app", Image("mine"), "1.0")
    rights = {"repository": ("pull", "push")}
    robot = other_harbor.create_robot("one", ["team"], access=rights)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_USER", robot)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", "Robot-12345")
    done = restore("--project", "team", "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "at the destination the login may not list the project team. Give it the" in line
    assert "backup" not in line
    assert holding(other_harbor).manifests.keys() == {("team/app", mine.digest)}


def test_a_wrong_login_ends_it_before_anything_is_begun(
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", "not-the-Password-1")
    done = restore()
    assert done.code == 2
    assert "the login 'admin' was not accepted. Check name and password (of a robot: " in done.error
    assert "not-the-Password-1" not in done.err + done.out
    assert writes(other_harbor) == []


def test_a_quota_that_is_used_up_is_named_and_the_rest_goes_on_when_it_is_raised(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    other_harbor.create_project("team", storage_limit_bytes=30_000)
    done = restore("--json")
    assert done.code == 1
    assert any("the destination's quota is used up. Raise it" in line for line in done.failures)
    assert all(line.startswith("team/") for line in done.failures)
    quota = other_harbor.state.project_names["team"].quota
    assert quota
    quota.hard = -1
    assert restore().code == 0
    assert holding(other_harbor) == holding(harbor)


@pytest.mark.parametrize("status", [507, 500])
def test_a_full_storage_is_named(
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
    status: int,
) -> None:
    if status == 500:
        other_harbor.state.storage_full = True
    else:
        other_harbor.faults.add(Fault(method="PUT", path="/blobs/", status=507, times=None))
    done = restore("--repository", "shop/old", "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "the storage of the server is full. Make room there, and run it again" in line


def test_an_immutable_tag_that_names_something_else_is_left_and_named(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.create_project("team")
    mine = other_harbor.push("team/app", Image("mine"), "1.0")
    make_immutable(other_harbor, "team", "1.*")
    done = restore("--overwrite", "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "the tag is immutable at the destination and names something else there" in line
    reader = Reader(other_harbor)
    assert reader.digest("team/app", "1.0") == mine.digest
    # The artifact is there all the same, under its other tag.
    assert reader.digest("team/app", "latest") == team["app"].digest


def test_immutable_tags_that_are_right_already_are_no_failure(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    assert restore().code == 0
    make_immutable(other_harbor, "team", "**")
    assert restore("--overwrite").code == 0


def test_a_project_that_is_a_proxy_cache_there_takes_nothing_and_says_so(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.create_project("team", registry_id=7)
    done = restore("--project", "team", "--json")
    assert done.code == 1
    assert "a proxy cache takes no pushes" in done.failures[0]


def test_a_repository_that_cannot_be_listed_there_is_not_overwritten(
    other_harbor: HarborDouble, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    other_harbor.create_project("team")
    mine = other_harbor.push("team/app", Image("mine"), "1.0")
    other_harbor.push("team/nested", Image("other"), "other")
    for path in ("/projects/team/artifacts", "/team/repositories/app/"):
        other_harbor.faults.add(Fault(path=path, status=500, times=None))
    done = restore("--project", "team", "--json")
    assert done.code == 1
    assert all(line.startswith("team/app@") for line in done.failures)
    assert "the destination's team/app could not be listed" in done.failures[0]
    assert Reader(other_harbor).digest("team/app", "1.0") == mine.digest
    assert Reader(other_harbor).digest("team/deep/multi", "2.0") == team["multi"].digest


@pytest.mark.parametrize(
    ("fault", "hits"),
    [
        (Fault(method="PUT", path="/blobs/uploads/", status=502), 1),
        (Fault(method="PUT", path="/blobs/uploads/", reset=True), 1),
        (Fault(method="PUT", path="/manifests/", lose_answer=True, times=2), 2),
        (Fault(method="POST", path="/blobs/uploads/", status=429), 1),
        (Fault(path="/service/token", status=503), 1),
        (Fault(path="/api/v2.0/projects/team", reset=True), 1),
    ],
)
def test_a_moment_of_trouble_at_the_target_costs_nothing(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    team: dict[str, Content],
    restore: Callable[..., Done],
    fault: Fault,
    hits: int,
) -> None:
    other_harbor.faults.add(fault)
    done = restore()
    assert fault.hits == hits
    assert done.code == 0, done.err
    assert holding(other_harbor) == holding(harbor)
