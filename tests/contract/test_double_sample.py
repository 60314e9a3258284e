"""The sample and generated content: what is in them, and that they are always the same."""

from __future__ import annotations

import pytest

from tests.contract.client import ACCEPT, Client
from tests.double import HarborDouble
from tests.double.artifacts import VISIBLE
from tests.double.content import digest_of
from tests.double.generate import small_image
from tests.double.sample import pushes


@pytest.fixture(scope="module")
def sample():
    with HarborDouble(sample=True) as harbor:
        yield harbor


def test_the_sample_holds_what_registries_in_use_hold(sample):
    state = sample.state
    artifacts = list(state.artifacts.values())
    visible = [artifact for artifact in artifacts if artifact.listed_in & VISIBLE]
    assert len(state.projects) == 9
    assert 30 <= len(state.repositories) <= 40
    assert 150 <= len(visible) <= 250
    assert 20e6 < state.storage_consumption < 60e6
    assert {"IMAGE", "CHART", "MODEL"} <= {artifact.type for artifact in visible}
    assert any(not artifact.tags for artifact in visible)
    assert any(len(artifact.tags) > 4 for artifact in visible)
    accessories = [artifact.accessory for artifact in artifacts if artifact.accessory]
    assert {each.type for each in accessories} == {"signature.cosign", "subject.accessory"}
    assert any(each.subject and each.subject.accessory for each in accessories)
    references = [each for artifact in artifacts for each in artifact.references]
    assert any(each.child.references for each in references)
    assert any((each.platform or {}).get("os") == "unknown" for each in references)
    # Base layers are shared: what the projects use together is more than what is stored.
    used = sum(project.storage_used for project in state.projects.values())
    assert used > 1.5 * state.storage_consumption


def test_the_sample_is_the_same_in_each_run(sample):
    client = Client(sample, sample.user, sample.password)
    path = "/projects/shop/artifacts?with_accessory=true&sort=id&page_size=100"
    with HarborDouble(sample=True) as other:
        assert Client(other, other.user, other.password).api(path) == client.api(path)


def test_everything_of_the_sample_can_be_pulled(sample):
    client = Client(sample, sample.user, sample.password)
    for repository, content, tags in list(pushes())[::20]:
        for reference in (content.digest, *tags):
            answer = client.manifest(repository, reference, Accept=ACCEPT)
            assert answer.status_code == 200
            assert digest_of(answer.content) == answer.headers["Docker-Content-Digest"]
        for digest, data in content.blobs.items():
            assert client.get(f"/v2/{repository}/blobs/{digest}").content == data


def test_generated_artifacts_are_spread_evenly_and_always_the_same():
    with HarborDouble() as harbor:
        harbor.generate(projects=3, repositories=9, artifacts=90)
        assert {len(r.listing.visible) for r in harbor.state.repositories.values()} == {10}
        assert {len(p.repositories) for p in harbor.state.projects.values()} == {0, 3}
        repository = harbor.state.repositories["generated-1/repository-00004"]
        image = small_image(repository.name, 4)
        assert repository.tags["v0"].artifact.digest == image.digest
        admin = Client(harbor, harbor.user, harbor.password)
        assert admin.manifest(repository.name, "v0").content == image.manifest


def test_keyset_paging_reads_each_of_many_artifacts_once():
    with HarborDouble() as harbor:
        harbor.generate(projects=1, repositories=20, artifacts=2_000)
        admin = Client(harbor, harbor.user, harbor.password)
        seen: list[str] = []
        last = 0
        while True:
            path = f"/projects/generated-0/artifacts?page_size=100&sort=id&q=id=[{last + 1}~]"
            rows = admin.api(path)
            if not rows:
                break
            seen += [row["digest"] for row in rows]
            last = rows[-1]["id"]
        assert len(seen) == len(set(seen)) == 2_000
        assert harbor.requests["rest.artifacts"] == 21
