"""What changes in the double when something is pushed, pulled, tagged or deleted."""

from __future__ import annotations

import pytest

from tests.contract.bodies import RULE
from tests.contract.client import ACCEPT, API, Client, error_of, tag_names
from tests.double import (
    ROBOT_SECRET,
    HarborDouble,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    multi_arch,
    sbom_for,
)

APP = "/projects/team/repositories/app"
NEVER = "0001-01-01T00:00:00.000Z"


def test_a_pull_moves_times_and_counts_unless_harbor_itself_pulls(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")

    def seen():
        row = admin.api(f"{APP}/artifacts/v1")
        repository = admin.api(APP)
        times = (row["pull_time"], row["tags"][0]["pull_time"], repository["update_time"])
        return *times, repository["pull_count"]

    before = seen()
    assert before[:2] == (NEVER, NEVER)
    uncounted = {"User-Agent": "harbor-registry-client"}
    assert admin.manifest("team/app", "v1", **uncounted).content == image.manifest
    admin.send("HEAD", "/v2/team/app/manifests/v1", headers={"Accept": ACCEPT})
    admin.get(f"/v2/team/app/blobs/{next(iter(image.blobs))}")
    not_modified = admin.manifest("team/app", "v1", **{"If-None-Match": f'"{image.digest}"'})
    assert not_modified.status_code == 304
    assert seen() == before
    assert admin.manifest("team/app", "v1").status_code == 200
    after = seen()
    assert all(new > old for new, old in zip(after, before, strict=True))


def test_a_tag_that_moves_leaves_its_artifact_untagged_but_listed(harbor, admin):
    old = harbor.push("team/app", Image("old"), "v1")
    new = harbor.push("team/app", Image("new"), "v1")
    rows = admin.api(f"{APP}/artifacts?sort=id")
    assert [(row["digest"], tag_names(row)) for row in rows] == [
        (old.digest, []),
        (new.digest, ["v1"]),
    ]
    assert rows[0]["tags"] is None


def test_keyset_paging_neither_repeats_nor_hides_what_offsets_would(harbor, admin):
    images = [harbor.push("team/app", Image(f"app-{i}"), f"v{i}") for i in range(6)]
    first = admin.api(f"{APP}/artifacts?page_size=3&sort=id")
    newest_first = admin.api(f"{APP}/artifacts?page_size=3")
    admin.send("DELETE", f"{API}{APP}/artifacts/{images[0].digest}")
    late = harbor.push("team/app", Image("late"), "late")
    since = first[-1]["id"] + 1
    answer = admin.get(f"{API}{APP}/artifacts?page_size=3&sort=id&q=base=*,id=[{since}~]")
    assert answer.headers["X-Total-Count"] == "4"
    rest = answer.json() + admin.api(f"{APP}/artifacts?sort=id&q=id=[{answer.json()[-1]['id']}~]")
    expected = [image.digest for image in [*images[3:], late]]
    assert list(dict.fromkeys(row["digest"] for row in rest)) == expected
    shifted = admin.api(f"{APP}/artifacts?page_size=3&page=2")
    assert newest_first[-1]["digest"] == shifted[0]["digest"]  # seen twice


@pytest.mark.parametrize("order", ["sort=id", "sort=digest", ""])
def test_artifacts_of_a_project_are_filtered_by_a_list_of_repositories(harbor, admin, order):
    pushed = {
        name: [harbor.push(f"team/{name}", Image(f"{name} {n}"), f"v{n}").digest for n in range(3)]
        for name in ("a", "b/c", "d", "e")
    }
    harbor.state.repositories["team/d"].id = -4  # as after the migration from Harbor 1
    harbor.create_project("other")
    harbor.push("other/app", Image("other"), "v1")
    ids = {name: row.id for name, row in harbor.state.repositories.items()}

    def listed(q: str) -> tuple[list[str], str | None]:
        answer = admin.get(f"{API}/projects/team/artifacts?page_size=4&{order}", params={"q": q})
        assert answer.status_code == 200
        return [row["repository_name"] for row in answer.json()], answer.headers["X-Total-Count"]

    several = f"{{{ids['team/a']} {ids['team/d']} {ids['other/app']} 99}}"
    names, total = listed(f"base=*,repository_id={several},id=[0~]")
    assert (len(names), total) == (4, "6")
    assert set(names) <= {"team/a", "team/d"}
    assert listed("repository_id={99}") == ([], "0")
    assert listed("repository_id={}")[1] == "12"  # no filter, as Harbor takes it
    path = f"{API}/projects/team/repositories/a/artifacts?{order}"
    own = admin.get(path, params={"q": f"repository_id={several}"}).json()
    assert sorted(row["digest"] for row in own) == sorted(pushed["a"])
    wrong = admin.get(f"{API}/projects/team/artifacts", params={"q": "repository_id={a b}"})
    assert wrong.status_code == 500


def test_repositories_are_filtered_by_a_list_of_their_numbers(harbor, admin):
    for name in ("a", "b/c", "d"):
        harbor.push(f"team/{name}", Image(name), "v1")
    ids = [row.id for row in harbor.state.repositories.values()]
    q = f"repository_id={{{ids[0]} {ids[2]} 99}}"
    answer = admin.get(f"{API}/projects/team/repositories", params={"q": q})
    assert {row["name"] for row in answer.json()} == {"team/a", "team/d"}
    assert answer.headers["X-Total-Count"] == "2"


def test_deleting_an_index_takes_what_only_it_needs(harbor, admin):
    shared = Image("shared")
    index = Index(Image("only here"), attestation_for(shared), shared)
    other = harbor.push("team/app", Index(shared), "other")
    harbor.push("team/app", index, "all")
    harbor.push("team/app", cosign_signature(index))
    harbor.push("team/app", index.children[1], "kept")
    child = admin.send("DELETE", f"{API}{APP}/artifacts/{shared.digest}")
    assert error_of(child) == (
        412,
        "VIOLATE_FOREIGN_KEY_CONSTRAINT",
        "the deleting artifact is referenced by others",
    )
    assert admin.send("DELETE", f"{API}{APP}/artifacts/all").status_code == 200
    left = {row["digest"] for row in admin.api(f"{APP}/artifacts?q=base=*")}
    assert left == {other.digest, shared.digest, index.children[1].digest}
    assert admin.get("/v2/team/app/tags/list").json()["tags"] == ["kept", "other"]


def test_a_subject_that_comes_later_adopts_its_accessory(harbor, admin):
    image = Image("late")
    bill = harbor.push("team/app", sbom_for(image))
    assert admin.get(f"{API}{APP}/artifacts?q=base=*").json() == []
    harbor.push("team/app", image, "v1")
    (row,) = admin.api(f"{APP}/artifacts?with_accessory=true")
    assert [each["digest"] for each in row["accessories"]] == [bill.digest]
    assert row["accessories"][0]["subject_artifact_id"] == row["id"]


def test_a_quota_counts_blobs_once_and_is_freed_by_a_delete(harbor, admin):
    image = Image("app", layers=[b"x" * 3000])
    size = len(image.manifest) + sum(len(blob) for blob in image.blobs.values())
    harbor.create_project("small", storage_limit_bytes=size)
    harbor.push("small/app", image, "v1")
    harbor.push("small/copy", image, "v1")
    quota = admin.api("/projects/small/summary")["quota"]
    assert quota == {"hard": {"storage": size}, "used": {"storage": size}}
    refused = admin.put_blob("small/app", b"y" * 2048)
    status, code, message = error_of(refused)
    assert (status, code) == (403, "DENIED")
    assert message.startswith("adding 2.0 KiB of storage resource, which when updated to current ")
    assert admin.put_blob("small/app", b"x" * 3000).status_code == 201
    for name in ("app", "copy"):
        path = f"{API}/projects/small/repositories/{name}/artifacts/v1"
        assert admin.send("DELETE", path).status_code == 200
    assert admin.api("/projects/small/summary")["quota"]["used"] == {"storage": 0}
    assert admin.put_blob("small/app", b"y" * 2048).status_code == 201


def test_an_immutable_tag_can_neither_be_pushed_nor_deleted(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1", "latest")
    harbor.push("team/other", Image("app"), "v1")
    rules = f"{API}/projects/team/immutabletagrules"
    location = admin.send("POST", rules, json=RULE).headers["Location"]
    assert error_of(admin.put_manifest("team/app", "v1", image))[:2] == (412, "PRECONDITION")
    assert admin.put_manifest("team/app", "latest", image).status_code == 201
    assert admin.put_manifest("team/app", image.digest, image).status_code == 201
    assert admin.put_manifest("team/other", "v1", image).status_code == 201
    deleted = admin.send("DELETE", f"{API}{APP}/artifacts/{image.digest}")
    assert error_of(deleted)[:2] == (412, "PRECONDITION")
    row = admin.api(f"{APP}/artifacts/v1?with_immutable_status=true")
    assert {tag["name"]: tag["immutable"] for tag in row["tags"]} == {"v1": True, "latest": False}
    assert admin.send("DELETE", location).status_code == 200
    assert admin.put_manifest("team/app", "v1", image).status_code == 201


def test_read_only_refuses_writes_and_nothing_else(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    harbor.state.read_only = True
    refusal = (403, "DENIED", "The system is in read only mode. Any modification is prohibited.")
    assert error_of(admin.send("POST", "/v2/team/app/blobs/uploads/")) == refusal
    assert error_of(Client(harbor).send("POST", f"{API}/projects")) == refusal
    large = admin.send("PUT", "/v2/team/app/blobs/uploads/x?digest=y", data=b"x" * 20_000_000)
    assert error_of(large) == refusal
    assert admin.manifest("team/app", "v1").content == image.manifest
    assert admin.api("/systeminfo")["read_only"] is True
    body = {"read_only": False}
    assert admin.send("PUT", f"{API}/configurations", json=body).status_code == 200
    assert admin.send("POST", "/v2/team/app/blobs/uploads/").status_code == 202


def test_a_project_is_deleted_when_empty_and_its_name_is_free_again(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    scope = "service=harbor-registry&scope=repository:team/app:pull"
    token = admin.get(f"/service/token?{scope}").json()["token"]
    number = admin.api("/projects/team")["project_id"]
    status, code, _ = error_of(admin.send("DELETE", f"{API}/projects/team"))
    assert (status, code) == (412, "PRECONDITION")
    assert admin.send("DELETE", f"{API}{APP}").status_code == 200
    assert admin.send("DELETE", f"{API}/projects/team").status_code == 200
    assert error_of(admin.get(f"{API}/projects/team"))[0] == 404
    # A second is what tokens count in; the new project has to be younger than the token.
    with harbor.state.pretended_time(harbor.state.now() + 2000):
        created = admin.send("POST", f"{API}/projects", json={"project_name": "team"})
    assert created.headers["Location"] == f"/api/v2.0/projects/{number + 1}"
    harbor.push("team/app", Image("app"), "v1")
    bearer = {"Authorization": f"Bearer {token}"}
    assert Client(harbor).manifest("team/app", "v1", **bearer).status_code == 401


def test_a_project_robot_works_in_its_project_and_may_pull_what_it_may_push(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    access = [{"resource": "repository", "action": "push"}]
    permissions = [{"kind": "project", "namespace": "team", "access": access}]
    body = {"name": "ci", "level": "project", "duration": 7, "permissions": permissions}
    created = admin.send("POST", f"{API}/robots", json=body)
    robot = created.json()
    assert (created.status_code, robot["name"]) == (201, "robot$team+ci")
    assert robot["expires_at"] > 0
    client = Client(harbor, robot["name"], robot["secret"])
    assert client.manifest("team/app", "v1").content == image.manifest
    assert client.put_manifest("team/app", "v2", image).status_code == 201
    assert error_of(client.get(f"{API}/projects/team"))[0] == 403
    number = admin.api("/projects/team")["project_id"]
    (listed,) = admin.api(f"/robots?q=Level=project,ProjectID={number}")
    assert "secret" not in listed
    disabled = {**listed, "disable": True}
    path = f"{API}/robots/{robot['id']}"
    assert admin.send("PUT", path, json=disabled).status_code == 200
    assert client.manifest("team/app", "v1").status_code == 401
    assert admin.send("DELETE", path).status_code == 200
    assert admin.api(f"/robots?q=Level=project,ProjectID={number}") == []


def test_projects_can_be_left_to_administrators_to_create(harbor, admin):
    robot = Client(harbor, harbor.create_robot("reader"), ROBOT_SECRET)
    body = {"project_name": "by-robot", "metadata": {"public": "true"}}
    assert robot.send("POST", f"{API}/projects", json=body).status_code == 201
    assert admin.api("/projects/by-robot")["metadata"] == {"public": "true"}
    restricted = {"project_creation_restriction": "adminonly"}
    assert admin.send("PUT", f"{API}/configurations", json=restricted).status_code == 200
    refused = robot.send("POST", f"{API}/projects", json={"project_name": "another"})
    text = "Only system admin can create project"
    assert error_of(refused) == (403, "FORBIDDEN", text)


def test_labels_are_shown_where_they_are_asked_for(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    harbor.push("team/app", Image("other"), "v2")
    label = {"name": "blessed", "scope": "g", "color": "#00AA00"}
    number = int(admin.send("POST", f"{API}/labels", json=label).headers["Location"].split("/")[-1])
    added = admin.send("POST", f"{API}{APP}/artifacts/v1/labels", json={"id": number})
    assert added.status_code == 200
    (row,) = admin.api(f"{APP}/artifacts?with_label=true&q=labels=({number})")
    assert [each["name"] for each in row["labels"]] == ["blessed"]
    assert admin.api(f"{APP}/artifacts/v1")["labels"] is None
    path = f"{API}{APP}/artifacts/v1/labels/{number}"
    assert admin.send("DELETE", path).status_code == 200
    assert admin.api(f"{APP}/artifacts/v1?with_label=true")["labels"] is None


@pytest.mark.parametrize("version", ["v2.11.2", "v2.8.0-abc"])
def test_older_versions_lack_what_came_with_2_12(version):
    with HarborDouble(version=version) as harbor:
        harbor.create_project("team")
        harbor.push("team/app", multi_arch("app"), "v1")
        admin = Client(harbor, harbor.user, harbor.password)
        assert admin.api("/systeminfo")["harbor_version"] == version
        missing = admin.get(f"{API}/projects/team/artifacts")
        text = "path /api/v2.0/projects/team/artifacts was not found"
        assert error_of(missing) == (404, "NOT_FOUND", text)
        for row in admin.api(f"{APP}/artifacts?q=base=*"):
            assert not {"artifact_type", "repository_name"} & row.keys()
