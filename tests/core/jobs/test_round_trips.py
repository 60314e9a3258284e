"""There and back: what a Harbor held is at another registry again, byte for byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.jobs.choosing import Choice
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.contract.replay import Replayer
from tests.core.restoring import (
    Holding,
    assert_served,
    bring_back,
    fill_team,
    holding,
    night,
)
from tests.core.rig import reach
from tests.double import HarborDouble
from tests.double.content import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    Content,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    helm_chart,
    sbom_for,
    sigstore_bundle,
)
from tests.registry_server import PlainRegistry
from tests.s3_server import S3Server

Target = HarborDouble | PlainRegistry


@pytest.fixture(scope="module")
def recorded() -> Iterator[HarborDouble]:
    """A double that holds what the real Harbor held that was recorded."""
    with HarborDouble() as harbor:
        Replayer(harbor.url, harbor.user, harbor.password).seed()
        yield harbor


@pytest.fixture(scope="module")
def sample() -> Iterator[HarborDouble]:
    """A double that holds what a company's registry holds."""
    with HarborDouble(sample=True) as harbor:
        yield harbor


def round_trip(harbor: HarborDouble, store: BackupStore, target: Target, *projects: str) -> Holding:
    """Back up, restore some projects or all, and compare; return what was there."""
    before = holding(harbor, *projects)
    backup = night(harbor, store)
    assert backup.complete, backup.failures()
    place = reach(target)
    try:
        report = bring_back(store, place, choice=Choice(projects=projects))
    finally:
        place.close()
    assert report.complete, report.failures()
    assert report.copied == len(before.manifests)
    assert_served(target, before)
    if isinstance(target, HarborDouble):
        assert holding(target) == before
    return before


def test_what_a_real_harbor_held_comes_back(
    recorded: HarborDouble, any_store: BackupStore, target: Target
) -> None:
    before = round_trip(recorded, any_store, target)
    assert len(before.subjects) == 2


@pytest.mark.parametrize("any_store", ["s3"], indirect=True)
def test_a_registry_of_a_company_comes_back(
    sample: HarborDouble, any_store: BackupStore, other_harbor: HarborDouble
) -> None:
    before = round_trip(sample, any_store, other_harbor)
    assert len(before.manifests) == 442
    # A bill of materials that is signed itself, and what models were measured at.
    types = {accessory for _, accessory in before.subjects.values()}
    assert types == {"signature.cosign", "subject.accessory"}


def test_projects_of_a_company_come_to_a_plain_registry(
    sample: HarborDouble, store: BackupStore, plain_registry: PlainRegistry
) -> None:
    round_trip(sample, store, plain_registry, "data", "2024")


def test_projects_that_were_missing_are_private_and_empty_ones_are_there_again(
    harbor: HarborDouble, other_harbor: HarborDouble, store: BackupStore
) -> None:
    fill_team(harbor)
    harbor.create_project("open", public=True)
    round_trip(harbor, store, other_harbor)
    projects = other_harbor.state.project_names
    assert projects.keys() == {"library", "team", "shop", "bare", "open"}
    assert not any(projects[name].public for name in ("team", "shop", "bare", "open"))


# -- whatever it holds

REPOSITORIES = ("one/app", "one/deep/er/app", "two/app", "2024/app")
# What is pushed: makes content of a name and of what is in the repository already, accessories
# apart (`first`, and one of them).
Maker = Callable[[str, Content], Content]
MAKERS: dict[str, Maker] = {
    "image": lambda name, there: Image(name, layers=2),
    "the same image everywhere": lambda name, there: Image("the same", layers=2),
    "docker": lambda name, there: Image(name, media_type=DOCKER_MANIFEST),
    "docker list": lambda name, there: Index(
        Image(name, media_type=DOCKER_MANIFEST), media_type=DOCKER_LIST
    ),
    "chart": lambda name, there: helm_chart(name),
    "attested": lambda name, there: Index(Image(name), attestation_for(Image(name))),
    "index of what is there": lambda name, there: Index(there, annotations={"name": name}),
    "empty index": lambda name, there: Index(annotations={"name": name}),
    "no layers": lambda name, there: Image(name, layers=0),
}
ACCESSORIES: dict[str, Maker] = {
    "signature": lambda name, there: cosign_signature(there),
    "bundle": lambda name, there: sigstore_bundle(there),
    "sbom": lambda name, there: sbom_for(there),
    "signed sbom": lambda name, there: cosign_signature(sbom_for(there)),
    "referring index": lambda name, there: Index(
        Image(name), subject=there, artifact_type="application/x.test"
    ),
}
PUSHES = st.lists(
    st.tuples(
        st.sampled_from(REPOSITORIES),
        st.sampled_from([*MAKERS, *ACCESSORIES]),
        st.sampled_from(["a", "b", "c", "d"]),
        st.lists(st.sampled_from(["1.0", "latest", "UP_per-2"]), max_size=2, unique=True),
    ),
    max_size=14,
)


def fill_with(harbor: HarborDouble, pushes: list[tuple[str, str, str, list[str]]]) -> None:
    for name in ("one", "two", "2024"):
        harbor.create_project(name)
    there = {name: [Image("first")] for name in REPOSITORIES}
    for repository, kind, name, tags in pushes:
        of = there[repository][sum(name.encode()) % len(there[repository])]
        if kind in ACCESSORIES:
            # What refers to something that is not there is in none of Harbor's lists.
            harbor.push(repository, of)
            if kind == "signed sbom":
                harbor.push(repository, sbom_for(of))
            content = ACCESSORIES[kind](name, of)
        else:
            content = MAKERS[kind](name, of)
            there[repository].append(content)
        harbor.push(repository, content, *tags)


@pytest.fixture(params=["directory", "s3"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BackupStore]:
    """What makes one empty store after the other."""
    if request.param == "directory":
        numbers = itertools.count()
        return lambda: BackupStore(tmp_path / f"store-{next(numbers)}")
    server: S3Server = request.getfixturevalue("s3")
    return lambda: BackupStore(f"s3://{server.new_bucket()}", **server.options)


@given(pushes=PUSHES)
@settings(
    max_examples=4,
    phases=[Phase.generate],  # looking for a smaller one would take minutes
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_a_harbor_holds_comes_back(
    new_store: Callable[[], BackupStore], target: Target, pushes: list
) -> None:
    with HarborDouble() as harbor, HarborDouble() as other:
        fill_with(harbor, pushes)
        if isinstance(target, PlainRegistry):
            target.wipe()
        round_trip(harbor, new_store(), other if isinstance(target, HarborDouble) else target)


@given(pushes=PUSHES, others=PUSHES, data=st.data())
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_there_already_is_kept_and_completed(
    tmp_path: Path, pushes: list, others: list, data: st.DataObject
) -> None:
    """The target holds a part of it, and other things, under tags that may be the same."""
    with HarborDouble() as harbor, HarborDouble() as target:
        fill_with(harbor, pushes)
        some = [push for push in pushes if data.draw(st.booleans())]
        fill_with(target, [*others[:5], *some])
        before, there = holding(harbor), holding(target)
        store = BackupStore(tmp_path / harbor.url.rpartition(":")[2])
        assert night(harbor, store).complete
        place = reach(target)
        report = bring_back(store, place)
        assert {finding.reason for finding in report.findings(Status.FAILED)} <= {"tag-conflict"}
        after = holding(target)
        assert after.manifests == there.manifests | before.manifests
        assert after.tags == before.tags | there.tags
        assert len(report.findings(Status.FAILED)) <= len(
            {key for key, digest in there.tags.items() if before.tags.get(key, digest) != digest}
        )

        target.requests.reset()
        report = bring_back(store, place, overwrites=True)
        assert report.complete, report.failures()
        place.close()
        assert holding(target).tags == there.tags | before.tags
        assert holding(target).manifests == after.manifests
        assert {kind for kind in target.requests.by_kind() if "upload" in kind} == set()
