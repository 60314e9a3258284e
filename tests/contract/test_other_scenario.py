"""What was recorded holds for other content, names and accounts, too: nothing is a special case."""

from __future__ import annotations

import pytest

from tests.contract.client import API, Client, error_of, tag_names
from tests.double import (
    ROBOT_SECRET,
    HarborDouble,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    helm_chart,
    referrer,
    sbom_for,
)
from tests.double.content import DOCKER_LIST, DOCKER_MANIFEST, OCI_EMPTY

AMD = Image("acme/amd64")
ARM = Image("acme/arm64", architecture="arm64", variant="v8")
ATTESTATION = attestation_for(AMD)
INNER = Index(AMD, ATTESTATION)
MIDDLE = Index(INNER, ARM)
OUTER = Index(MIDDLE, annotations={"org.opencontainers.image.title": "cli"})
CLI = "acme/tools/deep/er/cli"
CHART = helm_chart("payments", "3.1.0")
BILL = sbom_for(CHART)
MODEL = Image(
    "model", config={"layers": 12}, config_type="application/vnd.acme.model.config.v2+json"
)
LEGACY = Index(Image("legacy", media_type=DOCKER_MANIFEST), media_type=DOCKER_LIST)


@pytest.fixture(scope="module")
def acme():
    """A registry unlike the recorded one; the tests of this module only read it."""
    with HarborDouble() as harbor:
        for name, public in (("acme", False), ("open-source", True), ("20240101", False)):
            harbor.create_project(name, public=public)
        harbor.create_project("mirror", registry_id=7)
        harbor.push(CLI, OUTER, "5.0", "stable")
        harbor.push(CLI, ARM, "arm-only")
        harbor.push("acme/charts", CHART, "3.1.0")
        harbor.push("acme/charts", BILL)
        harbor.push("acme/charts", cosign_signature(BILL))
        harbor.push("acme/charts", cosign_signature(Image("never pushed")))
        harbor.push("acme/models", MODEL, "r1")
        harbor.push("open-source/hello", LEGACY, "latest")
        harbor.push("20240101/app", Image("numeric"), "v1")
        harbor.push("mirror/library/alpine", Image("cached"), "3.20")
        harbor.create_robot("one", ["acme"])
        harbor.create_robot("lists-only", ["acme"], access={"repository": ("list",)})
        harbor.create_robot("expired", expires_at=1_600_000_000)
        harbor.create_robot("disabled", disabled=True)
        harbor.create_user("dev", "Dev-12345")
        harbor.state.add_member("acme", "dev", 2)
        yield harbor


@pytest.fixture(scope="module")
def admin(acme):
    return Client(acme, acme.user, acme.password)


def robot(acme: HarborDouble, name: str) -> Client:
    return Client(acme, f"robot${name}", ROBOT_SECRET)


def escaped(repository: str) -> str:
    project, _, name = repository.partition("/")
    return f"/projects/{project}/repositories/{name.replace('/', '%252F')}"


# -- artifacts ---------------------------------------------------------------------------------


def test_only_the_outermost_index_and_tagged_children_are_listed(admin):
    listed = admin.api(f"{escaped(CLI)}/artifacts?sort=id")
    assert {row["digest"]: tag_names(row) for row in listed} == {
        OUTER.digest: ["5.0", "stable"],
        ARM.digest: ["arm-only"],
    }
    repository = admin.api(escaped(CLI))
    assert (repository["name"], repository["artifact_count"]) == (CLI, 2)


def test_base_lists_every_level_of_a_nested_index(admin):
    rows = admin.api(f"{escaped(CLI)}/artifacts?q=base=*&sort=id")
    digests = [content.digest for content in OUTER.walk()]
    assert [row["digest"] for row in rows] == list(dict.fromkeys(digests))
    sizes = {row["digest"]: row["size"] for row in rows}
    for parent, children in ((INNER, (AMD, ATTESTATION)), (MIDDLE, (INNER, ARM))):
        below = sum(sizes[child.digest] for child in children)
        assert sizes[parent.digest] == len(parent.manifest) + below
    blobs = sum(len(blob) for blob in AMD.blobs.values())
    assert sizes[AMD.digest] == len(AMD.manifest) + blobs


def test_references_show_one_level_with_platforms_and_attestations(admin):
    middle = admin.api(f"{escaped(CLI)}/artifacts/{MIDDLE.digest}")
    by_digest = {row["child_digest"]: row for row in middle["references"]}
    assert by_digest.keys() == {INNER.digest, ARM.digest}
    assert "platform" not in by_digest[INNER.digest]
    assert by_digest[ARM.digest]["platform"] == {
        "OsFeatures": None,
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8",
    }
    inner = admin.api(f"{escaped(CLI)}/artifacts/{INNER.digest}")
    attested = next(r for r in inner["references"] if r["child_digest"] == ATTESTATION.digest)
    assert attested["platform"]["os"] == "unknown"
    assert attested["annotations"]["vnd.docker.reference.digest"] == AMD.digest


def test_types_and_attributes_come_from_manifest_and_config(admin):
    outer = admin.api(f"{escaped(CLI)}/artifacts/5.0")
    assert outer["annotations"] == {"org.opencontainers.image.title": "cli"}
    assert "artifact_type" not in outer
    assert "addition_links" not in outer
    assert "extra_attrs" not in outer
    model = admin.api("/projects/acme/repositories/models/artifacts/r1")
    assert (model["type"], model["extra_attrs"]) == ("MODEL", {"layers": 12})
    chart = admin.api("/projects/acme/repositories/charts/artifacts/3.1.0")
    assert (chart["type"], chart["extra_attrs"]["version"]) == ("CHART", "3.1.0")
    assert sorted(chart["addition_links"]) == ["dependencies", "readme.md", "values.yaml"]
    bill = admin.api(f"/projects/acme/repositories/charts/artifacts/{BILL.digest}")
    assert (bill["type"], bill["media_type"]) == ("UNKNOWN", OCI_EMPTY)
    assert bill["artifact_type"] == "application/spdx+json"
    legacy = admin.api("/projects/open-source/repositories/hello/artifacts/latest")
    assert legacy["manifest_media_type"] == DOCKER_LIST


def test_accessories_nest_and_are_never_listed(admin):
    charts = "/projects/acme/repositories/charts/artifacts"
    rows = admin.api(f"{charts}?q=base=*&with_accessory=true")
    assert [row["digest"] for row in rows] == [CHART.digest]
    (bill,) = rows[0]["accessories"]
    assert (bill["digest"], bill["type"]) == (BILL.digest, "subject.accessory")
    (signature,) = admin.api(f"{charts}/{BILL.digest}/accessories")
    assert signature["type"] == "signature.cosign"
    assert signature["subject_artifact_digest"] == BILL.digest
    assert admin.api("/projects/acme/repositories/charts")["artifact_count"] == 1


def test_a_signature_without_its_subject_shows_in_the_registry_only(admin):
    orphan = cosign_signature(Image("never pushed"))
    tags = admin.get("/v2/acme/charts/tags/list").json()["tags"]
    assert orphan.default_tags[0] in tags
    row = admin.api(f"/projects/acme/repositories/charts/artifacts/{orphan.digest}")
    assert tag_names(row) == list(orphan.default_tags)
    subject = Image("never pushed").digest
    referrers = admin.get(f"/v2/acme/charts/referrers/{subject}").json()["manifests"]
    assert [each["digest"] for each in referrers] == [orphan.digest]


def test_referrers_can_be_filtered_by_artifact_type(admin):
    path = f"/v2/acme/charts/referrers/{CHART.digest}?artifactType="
    found = admin.get(path + "application/spdx%2Bjson")
    assert [each["digest"] for each in found.json()["manifests"]] == [BILL.digest]
    assert found.headers["OCI-Filters-Applied"] == "artifactType"
    assert admin.get(path + "application/other").json()["manifests"] == []


def test_numbers_are_ids_unless_a_header_says_that_they_are_names(admin):
    assert error_of(admin.get(f"{API}/projects/20240101"))[0] == 404
    project = admin.api("/projects/20240101", **{"X-Is-Resource-Name": "true"})
    assert project["name"] == "20240101"
    assert admin.api(f"/projects/{project['project_id']}")["name"] == "20240101"
    assert len(admin.api(f"/projects/{project['project_id']}/artifacts")) == 1


# -- filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ("q=tags=nil", []),
        ("q=tags=~ABLE", []),
        ("q=tags=~able", ["5.0"]),
        ("q=tags=arm-only", ["arm-only"]),
        ("q=type=IMAGE,bogus=1&sort=id", ["arm-only", "5.0"]),
        ("q=media_type=~INDEX", ["5.0"]),
        ("q=Digest=" + ARM.digest, ["arm-only"]),
        ("q=digest={'" + ARM.digest + "' sha256:none}", ["arm-only"]),
        ("q=repository_name=~deep&sort=-id", ["5.0", "arm-only"]),
        ("q=manifest_media_type=application%252Fvnd.oci.image.manifest.v1%252Bjson", ["arm-only"]),
        ("q=id=[1~2]", ["arm-only"]),
        ("q=id__gt=2&sort=id", ["5.0"]),
        ("q=push_time=[~2001-01-01T00:00:00]", []),
        ("q=push_time=[2001-01-01T00:00:00~]&sort=id", ["arm-only", "5.0"]),
    ],
)
def test_queries_filter_as_harbor_filters(admin, acme, query, tags):
    ids = acme.state.repositories[CLI].artifacts
    numbered = query.replace("[1~2]", f"[{ids[ARM.digest].id}~{ids[ARM.digest].id}]")
    numbered = numbered.replace("__gt=2", f"__gt={ids[ARM.digest].id}")
    rows = admin.api(f"{escaped(CLI)}/artifacts?{numbered}")
    assert [tag_names(row)[0] for row in rows] == tags


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("q=base=1", 400), ("q=base", 400), ("q=base=", 400), ("q=id=[~]", 400),
        ("q=id={1", 400), ("q=tags={a b}", 400), ("q=labels=1", 400), ("q=id=abc", 500),
        ("a=1;b=2", 400), ("page_size=101&page=x", 422),
    ],
)  # fmt: skip
def test_queries_that_make_no_sense_are_refused(admin, query, status):
    assert admin.get(f"{API}{escaped(CLI)}/artifacts?{query}").status_code == status


def test_unknown_methods_are_refused_with_those_that_are_known(admin):
    status, code, message = error_of(admin.send("DELETE", f"{API}/quotas"))
    assert (status, code) == (405, "METHOD_NOT_ALLOWED")
    assert message == "method DELETE is not allowed, but [GET] are"


# -- accounts ----------------------------------------------------------------------------------


def test_a_robot_sees_its_projects_and_the_public_ones(acme):
    client = robot(acme, "one")
    names = [project["name"] for project in client.api("/projects")]
    assert names == ["acme", "library", "open-source"]
    repositories = {row["name"] for row in client.api("/repositories?page_size=0")}
    assert repositories == {CLI, "acme/charts", "acme/models", "open-source/hello"}
    assert len(client.api("/projects/acme/artifacts")) == 4
    assert client.api("/projects/acme/summary") == {"repo_count": 3}
    assert error_of(client.get(f"{API}/projects/20240101/repositories"))[0] == 403
    assert client.api("/statistics")["total_project_count"] == 0


def test_a_robot_may_do_what_its_access_list_says_and_nothing_else(acme):
    client = robot(acme, "lists-only")
    assert len(client.api("/projects/acme/repositories")) == 3
    assert error_of(client.get(f"{API}/projects/acme/artifacts")) == (
        403,
        "FORBIDDEN",
        "forbidden",
    )
    assert error_of(client.get(f"{API}/quotas")) == (403, "FORBIDDEN", "robot$lists-only")
    assert client.manifest("acme/models", "r1").status_code == 401
    # Public projects are open to it all the same.
    assert client.manifest("open-source/hello", "latest").status_code == 200


@pytest.mark.parametrize("name", ["expired", "disabled", "unknown"])
def test_a_robot_that_does_not_count_is_anonymous_and_not_an_error(acme, name):
    client = robot(acme, name)
    assert [project["name"] for project in client.api("/projects")] == ["library", "open-source"]
    assert "harbor_version" not in client.api("/systeminfo")
    assert error_of(client.get(f"{API}/users/current/permissions"))[0] == 401
    scope = "service=harbor-registry&scope=repository:acme/models:pull"
    assert client.get(f"/service/token?{scope}").status_code == 200


def test_a_member_sees_the_project_with_the_role(acme):
    client = Client(acme, "dev", "Dev-12345")
    project = client.api("/projects/acme")
    assert (project["current_user_role_id"], project["current_user_role_ids"]) == (2, [2])
    assert client.api("/statistics")["private_project_count"] == 1
    number = project["project_id"]
    granted = client.api(f"/users/current/permissions?scope=/project/{number}&relative=true")
    assert {"resource": "repository", "action": "push"} in granted
    assert {"resource": "artifact", "action": "delete"} not in granted
    deleted = client.send("DELETE", f"{API}/projects/acme/repositories/models/artifacts/r1")
    assert error_of(deleted)[:2] == (403, "FORBIDDEN")
    assert client.send("POST", "/v2/acme/models/blobs/uploads/").status_code == 202


def test_a_public_project_is_open_but_for_its_repositories_one_by_one(acme):
    anonymous = Client(acme)
    assert len(anonymous.api("/projects/open-source/repositories")) == 1
    assert len(anonymous.api("/projects/open-source/repositories/hello/artifacts")) == 1
    one = anonymous.get(f"{API}/projects/open-source/repositories/hello")
    assert error_of(one) == (401, "UNAUTHORIZED", "unauthorized")
    assert anonymous.manifest("open-source/hello", "latest").status_code == 401
    scope = "service=harbor-registry&scope=repository:open-source/hello:pull,push"
    token = anonymous.get(f"/service/token?{scope}").json()
    assert token["access_token"] == ""
    bearer = {"Authorization": f"Bearer {token['token']}"}
    assert anonymous.manifest("open-source/hello", "latest", **bearer).status_code == 200
    started = anonymous.send("POST", "/v2/open-source/hello/blobs/uploads/", headers=bearer)
    assert started.status_code == 401
    assert started.headers["Www-Authenticate"] == 'Basic realm="harbor"'


def test_a_token_is_for_projects_and_its_last_scope_of_a_project_wins(acme):
    client = robot(acme, "one")
    both = "scope=repository:acme/models:pull&scope=repository:nowhere/x:pull"
    token = client.get(f"/service/token?service=harbor-registry&{both}").json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    other = Client(acme)
    assert other.manifest(CLI, "5.0", **bearer).status_code == 200
    assert other.get(f"{API}/projects/acme", headers=bearer).status_code == 401
    assert other.get("/v2/_catalog", headers=bearer).status_code == 401
    spoiled = {"Authorization": f"Bearer {token[:-2]}xx"}
    assert other.manifest(CLI, "5.0", **spoiled).status_code == 401


def test_the_token_service_refuses_other_services_methods_and_nobody_without_a_scope(acme):
    anonymous = Client(acme)
    assert anonymous.get("/service/token?service=harbor-registry").status_code == 401
    assert anonymous.get("/service/token?service=other").status_code == 400
    posted = anonymous.send("POST", "/service/token?service=harbor-registry")
    assert posted.status_code == 405


def test_a_proxy_cache_project_names_its_registry_and_takes_no_push(acme, admin):
    assert admin.api("/projects/mirror")["registry_id"] == 7
    assert "registry_id" not in admin.api("/projects/acme")
    assert admin.api("/projects/mirror/summary")["registry"]["id"] == 7
    assert [row["id"] for row in admin.api("/registries?sort=id")] == [7]
    refused = admin.send("POST", "/v2/mirror/library/alpine/blobs/uploads/")
    assert error_of(refused)[:2] == (403, "DENIED")
    assert admin.manifest("mirror/library/alpine", "3.20").status_code == 200


def test_other_accessory_types_follow_from_the_artifact_type(harbor):
    admin = Client(harbor, harbor.user, harbor.password)
    subject = harbor.push("team/app", Image("subject"), "v1")
    for artifact_type in (
        "application/vnd.cncf.notary.signature",
        "application/vnd.goharbor.harbor.sbom.v1",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    ):
        harbor.push("team/app", referrer(subject, artifact_type=artifact_type, kind=artifact_type))
    path = "/projects/team/repositories/app/artifacts/v1/accessories?sort=id"
    assert [row["type"] for row in admin.api(path)] == [
        "signature.notation",
        "sbom.harbor",
        "signature.cosign",
    ]
