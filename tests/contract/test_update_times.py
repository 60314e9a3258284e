"""`update_time` of a repository: it moves with every change, and with nothing else."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.contract.client import ACCEPT, API, Client
from tests.double import HarborDouble, Image, Index, cosign_signature, sbom_for

APP = "/projects/team/repositories/app"
OTHER = Image("other")


class Watch:
    """Asks for the time of a repository's last change; `moved` since it was asked before."""

    def __init__(self, harbor: HarborDouble) -> None:
        self.admin = Client(harbor, harbor.user, harbor.password)
        self.last = self._time()

    def _time(self) -> datetime:
        text = self.admin.api(APP)["update_time"]
        return datetime.fromisoformat(text.replace("Z", "+00:00"))

    def moved(self) -> bool:
        before, self.last = self.last, self._time()
        assert self.last >= before
        return self.last > before


@pytest.fixture
def image(harbor):
    return harbor.push("team/app", Image("app"), "v1")


@pytest.fixture
def watch(harbor, image):
    return Watch(harbor)


def put(admin, content, reference=None):
    for blob in content.blobs.values():
        assert admin.put_blob("team/app", blob).status_code == 201
    answer = admin.put_manifest("team/app", reference or content.digest, content)
    assert answer.status_code == 201


def artifacts(image, below="") -> str:
    return f"{API}{APP}/artifacts/{image.digest}{below}"


# Each gets a client, the double and the image that is there under `v1`.
CHANGES = {
    "another artifact": lambda admin, harbor, image: put(admin, OTHER),
    "another artifact with a tag": lambda admin, harbor, image: put(admin, OTHER, "v2"),
    "a tag that moves": lambda admin, harbor, image: put(admin, OTHER, "v1"),
    "another tag by a push": lambda admin, harbor, image: put(admin, image, "v2"),
    "an index of what is there": lambda admin, harbor, image: put(admin, Index(image), "all"),
    "a signature": lambda admin, harbor, image: put(
        admin, cosign_signature(image), cosign_signature(image).default_tags[0]
    ),
    "a bill of materials": lambda admin, harbor, image: put(admin, sbom_for(image)),
    "a tag created": lambda admin, harbor, image: admin.send(
        "POST", artifacts(image, "/tags"), json={"name": "v2"}
    ),
    "a tag deleted": lambda admin, harbor, image: admin.send(
        "DELETE", artifacts(image, "/tags/v1")
    ),
    "an artifact deleted": lambda admin, harbor, image: admin.send("DELETE", artifacts(image)),
    "an artifact deleted as a manifest": lambda admin, harbor, image: admin.send(
        "DELETE", f"/v2/team/app/manifests/{image.digest}"
    ),
    "a pull": lambda admin, harbor, image: admin.manifest("team/app", "v1"),
}

NO_CHANGES = {
    "the same manifest": lambda admin, harbor, image: put(admin, image),
    "the same manifest under the same tag": lambda admin, harbor, image: put(admin, image, "v1"),
    "a blob": lambda admin, harbor, image: admin.put_blob("team/app", b"blob"),
    "a manifest without its blobs": lambda admin, harbor, image: admin.put_manifest(
        "team/app", "v2", Image("incomplete")
    ),
    "a tag that is there": lambda admin, harbor, image: admin.send(
        "POST", artifacts(image, "/tags"), json={"name": "v1"}
    ),
    "a look at a manifest": lambda admin, harbor, image: admin.send(
        "HEAD", "/v2/team/app/manifests/v1", headers={"Accept": ACCEPT}
    ),
    "a pull by Harbor itself": lambda admin, harbor, image: admin.manifest(
        "team/app", "v1", **{"User-Agent": "harbor-registry-client"}
    ),
    "a pull of a blob": lambda admin, harbor, image: admin.get(
        f"/v2/team/app/blobs/{next(iter(image.blobs))}"
    ),
    "lists": lambda admin, harbor, image: admin.api(f"{APP}/artifacts?with_accessory=true"),
    "a push elsewhere": lambda admin, harbor, image: harbor.push("team/else", Image("else"), "v1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_moves_the_time_of_its_repository(harbor, admin, image, watch, change):
    change(admin, harbor, image)
    assert watch.moved()


@pytest.mark.parametrize("act", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_nothing_moves_no_time(harbor, admin, image, watch, act):
    act(admin, harbor, image)
    assert not watch.moved()


@pytest.mark.parametrize("version", ["v2.15.1", "v2.14.4", "v2.8.0"])
def test_before_2_15_2_only_pulls_move_it(version):
    with HarborDouble(version=version) as harbor:
        harbor.create_project("team")
        image = harbor.push("team/app", Image("app"), "v1")
        watch, admin = Watch(harbor), Client(harbor, harbor.user, harbor.password)
        for name, change in CHANGES.items():
            if name != "a pull":
                change(admin, harbor, image)
                assert not watch.moved(), name
        harbor.push("team/app", image, "v1")
        admin.manifest("team/app", "v1")
        assert watch.moved()


def test_pulls_move_it_when_they_are_flushed(harbor, admin, image, watch):
    harbor.state.pulls_wait = True
    for _ in range(3):
        admin.manifest("team/app", "v1")
    assert not watch.moved()
    assert admin.api(APP)["pull_count"] == 0
    harbor.state.flush_pulls()
    assert watch.moved()
    assert admin.api(APP)["pull_count"] == 3


def test_a_pull_of_a_child_moves_the_pull_time_of_its_index(harbor, admin):
    child = Image("child")
    index = harbor.push("team/app", Index(child), "all")
    before = admin.api(f"{APP}/artifacts/{index.digest}")["pull_time"]
    admin.manifest("team/app", child.digest)
    row = admin.api(f"{APP}/artifacts/{index.digest}")
    assert row["pull_time"] > before
    assert row["tags"][0]["pull_time"] == before


def test_a_push_of_what_a_tag_names_already_leaves_the_time_of_the_tag(harbor, admin, image):
    before = admin.api(f"{APP}/artifacts/v1")
    put(admin, image, "v1")
    assert admin.api(f"{APP}/artifacts/v1") == before


def test_the_newest_change_is_first_where_repositories_are_sorted_by_it(harbor, admin):
    for name in ("one", "two", "three"):
        harbor.push(f"team/{name}", Image(name), "v1")
    harbor.push("team/two", Image("again"), "v1")
    for path in ("/repositories", "/projects/team/repositories"):
        rows = admin.api(f"{path}?sort=-update_time&page_size=100")
        assert [row["name"] for row in rows] == ["team/two", "team/three", "team/one"]
        times = [row["update_time"] for row in rows]
        assert times == sorted(set(times), reverse=True)
