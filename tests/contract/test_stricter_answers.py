"""Where a real Harbor is stricter, or less orderly, than one would think."""

from __future__ import annotations

import pytest

from tests.contract.bodies import RULE
from tests.contract.client import API, Client, error_of
from tests.double import ROBOT_SECRET, Image, cosign_signature, sbom_for
from tests.double.abstracts import FOREIGN_LAYER
from tests.double.content import DOCKER_MANIFEST

APP = f"{API}/projects/team/repositories/app"


def test_accessories_come_in_no_order_that_one_could_rely_on(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    attached = [harbor.push("team/app", make(image)) for make in (cosign_signature, sbom_for)]
    path = f"/projects/team/repositories/app/artifacts/{image.digest}/accessories"
    digests = [each.digest for each in attached]
    assert [row["digest"] for row in admin.api(path)] != digests
    assert [row["digest"] for row in admin.api(f"{path}?sort=id")] == digests


def test_heads_of_blobs_are_redirected_as_well(harbor, admin):
    admin.put_blob("team/app", b"blob")
    harbor.state.redirect_blobs = True
    digest = next(iter(harbor.state.storage.blobs))
    head = admin.send("HEAD", f"/v2/team/app/blobs/{digest}")
    assert head.status_code == 307
    there = admin.send("HEAD", head.headers["Location"], auth=None)
    assert (there.status_code, there.headers["Content-Length"]) == (200, "4")


def test_a_robot_without_any_permission_sees_the_names_of_all_projects(harbor):
    robot = harbor.state.create_robot("stripped", [], secret=ROBOT_SECRET)
    client = Client(harbor, robot.name, ROBOT_SECRET)
    assert [row["name"] for row in client.api("/projects")] == ["library", "team"]
    assert error_of(client.get(f"{API}/projects/team"))[0] == 403


def test_the_newest_artifacts_of_a_project_need_one_kind_of_type(harbor, admin):
    for name in ("one", "two"):
        harbor.push(f"team/{name}", Image(f"{name}/old"), "v1")
    newest = [harbor.push(f"team/{name}", Image(name), "v2").digest for name in ("one", "two")]
    path = "/projects/team/artifacts?latest_in_repository=true"
    assert error_of(admin.get(API + path))[:2] == (400, "BAD_REQUEST")
    media_type = "application/vnd.oci.image.config.v1%252Bjson"
    rows = admin.api(f"{path}&q=media_type={media_type}")
    assert [row["digest"] for row in rows] == newest


def test_a_proxy_cache_takes_no_tag(harbor, admin):
    harbor.create_project("mirror", registry_id=7)
    harbor.push("mirror/app", Image("app"), "v1")
    path = f"{API}/projects/mirror/repositories/app/artifacts/v1/tags"
    answer = error_of(admin.send("POST", path, json={"name": "v2"}))
    text = "the operation isn't supported for a proxy cache project"
    assert answer == (405, "METHOD_NOT_ALLOWED", text)


def test_a_repository_with_an_immutable_tag_cannot_be_deleted(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    admin.send("POST", f"{API}/projects/team/immutabletagrules", json=RULE)
    assert error_of(admin.send("DELETE", APP))[:2] == (412, "PRECONDITION")
    assert admin.api("/projects/team/repositories")[0]["artifact_count"] == 1


def test_a_foreign_layer_without_an_address_is_an_error_that_nobody_expected(harbor, admin):
    image = Image("windows", media_type=DOCKER_MANIFEST, layer_type=FOREIGN_LAYER)
    for blob in image.blobs.values():
        admin.put_blob("team/app", blob)
    assert error_of(admin.put_manifest("team/app", "v1", image))[:2] == (500, "UNKNOWN")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_bodies_are_taken_as_json_only(admin, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    body = b'{"project_name": "new"}'
    answer = admin.send("POST", f"{API}/projects", data=body, headers=headers)
    assert error_of(answer)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")
    as_json = {"Content-Type": "application/json; charset=utf-8"}
    assert admin.send("POST", f"{API}/projects", data=body, headers=as_json).status_code == 201


def test_a_page_that_no_number_can_hold_is_refused(admin):
    answer = admin.get(f"{API}/projects?page=99999999999999999999")
    assert error_of(answer)[:2] == (422, "UNPROCESSABLE_ENTITY")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/octet-stream"])
def test_a_manifest_of_no_type_that_is_known_is_none(harbor, admin, kind):
    image = harbor.push("team/app", Image("app"))
    path = "/v2/team/app/manifests/v1"
    answer = admin.send("PUT", path, data=image.manifest, headers={"Content-Type": kind})
    assert error_of(answer)[:2] == (400, "MANIFEST_INVALID")


def test_a_name_can_be_too_long_for_the_registry_and_for_the_database(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    name = "team/" + "/".join(["component"] * 26)
    started = admin.send("POST", f"/v2/{name}/blobs/uploads/")
    assert error_of(started)[:2] == (400, "NAME_INVALID")
    assert error_of(admin.put_manifest(name, "v1", image))[0] == 500


def test_a_repository_can_be_described(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    assert "description" not in admin.api("/projects/team/repositories/app")
    assert admin.send("PUT", APP, json={"description": "<b>"}).status_code == 200
    assert admin.api("/projects/team/repositories/app")["description"] == "&lt;b&gt;"
