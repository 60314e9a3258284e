"""The walk of a project: every digest, each in its role, and what disagrees is never kept quiet."""

from __future__ import annotations

import io
from collections import Counter

import pytest
import requests

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.harbor.check import check_harbor, list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.harbor.records import (
    Record,
    Role,
    count_records,
    read_records,
    write_records,
)
from tests.core.harbor.walks import behind_the_listing
from tests.core.rig import list_patiently, list_whole, login
from tests.double import Fault, HarborDouble
from tests.double.content import (
    Content,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    multi_arch,
    sbom_for,
)
from tests.double.server import ROBOT_SECRET


def by_digest(records: list[Record]) -> dict[str, Record]:
    return {record.digest: record for record in records}


@pytest.fixture
def project(harbor: HarborDouble) -> str:
    harbor.create_project("p")
    return "p"


def test_an_index_is_listed_with_children_and_attestations(
    harbor: HarborDouble, project: str
) -> None:
    index = harbor.push("p/multi", multi_arch("multi"), "1.0", "latest")
    records = by_digest(list_whole(login(harbor), project))
    assert set(records) == {content.digest for content in index.walk()}
    assert Counter(r.role for r in records.values()) == {
        Role.ARTIFACT: 1,
        Role.CHILD: 2,
        Role.ATTESTATION: 2,
    }
    top = records[index.digest]
    assert [tag.name for tag in top.tags] == ["1.0", "latest"]
    assert set(top.children) == set(records) - {index.digest}
    children = [r for r in records.values() if r.role is Role.CHILD]
    assert {r.platform for r in children} == {"linux/amd64", "linux/arm64/v8"}
    assert all(r.parents == (index.digest,) for r in children)


def test_attestations_are_not_in_the_digest_list(harbor: HarborDouble, project: str) -> None:
    harbor.push("p/multi", multi_arch("multi"), "1.0")
    counts = count_records(list_whole(login(harbor), project))
    assert (counts.records, counts.digests, counts.attestations) == (5, 3, 2)
    assert (counts.artifacts, counts.children, counts.tags, counts.repositories) == (1, 2, 1, 1)


def test_a_tagged_child_is_an_artifact_of_its_own(harbor: HarborDouble, project: str) -> None:
    amd, arm = Image("amd"), Image("arm", architecture="arm64")
    index = harbor.push("p/multi", Index(amd, arm), "1.0")
    harbor.push("p/multi", amd, "1.0-amd64")
    records = by_digest(list_whole(login(harbor), project))
    assert records[amd.digest].role is Role.ARTIFACT
    assert records[amd.digest].parents == (index.digest,)
    assert records[arm.digest].role is Role.CHILD


def test_a_nested_index_is_walked_to_its_leaves(harbor: HarborDouble, project: str) -> None:
    leaf = Image("leaf")
    inner = Index(leaf)
    middle = Index(inner)
    outer = harbor.push("p/nested", Index(middle, attestation_for(leaf)), "1.0")
    records = by_digest(list_whole(login(harbor), project))
    assert set(records) == {content.digest for content in outer.walk()}
    assert records[leaf.digest].parents == (inner.digest,)
    assert records[inner.digest].children == (leaf.digest,)


def test_an_untagged_artifact_is_listed(harbor: HarborDouble, project: str) -> None:
    image = harbor.push("p/app", Image("untagged"))
    (record,) = list_whole(login(harbor), project)
    assert (record.digest, record.role, record.tags) == (image.digest, Role.ARTIFACT, ())


def test_accessories_are_found_at_every_depth(harbor: HarborDouble, project: str) -> None:
    image = harbor.push("p/app", Image("signed"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    signature = harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    nested = harbor.push("p/app", cosign_signature(sbom), *cosign_signature(sbom).default_tags)
    records = by_digest(list_whole(login(harbor), project))
    accessories = {d: r for d, r in records.items() if r.role is Role.ACCESSORY}
    assert {d: r.subject for d, r in accessories.items()} == {
        sbom.digest: image.digest,
        signature.digest: image.digest,
        nested.digest: sbom.digest,
    }
    assert accessories[signature.digest].artifact_type == "signature.cosign"
    assert [t.name for t in accessories[signature.digest].tags] == list(signature.default_tags)


def test_a_signature_of_a_child_hangs_on_the_child(harbor: HarborDouble, project: str) -> None:
    child = Image("child")
    harbor.push("p/multi", Index(child), "1.0")
    sbom = harbor.push("p/multi", sbom_for(child))
    records = by_digest(list_whole(login(harbor), project))
    assert records[sbom.digest].subject == child.digest


def test_an_index_that_is_an_accessory_brings_its_children(
    harbor: HarborDouble, project: str
) -> None:
    image = harbor.push("p/app", Image("subject"), "1.0")
    part = Image("part")
    attached = harbor.push("p/app", Index(part, subject=image))
    records = by_digest(list_whole(login(harbor), project))
    assert records[attached.digest].role is Role.ACCESSORY
    assert records[part.digest].role is Role.CHILD
    assert records[part.digest].parents == (attached.digest,)


def test_one_digest_in_two_repositories_is_two_records(harbor: HarborDouble, project: str) -> None:
    image = Image("same")
    harbor.push("p/a", image, "1")
    harbor.push("p/b", image, "2")
    records = list_whole(login(harbor), project)
    assert [(r.repository, r.digest) for r in records] == [
        ("p/a", image.digest),
        ("p/b", image.digest),
    ]


def test_an_empty_project_has_an_empty_inventory(harbor: HarborDouble, project: str) -> None:
    assert list_whole(login(harbor), project) == []


def test_the_sizes_of_indexes_are_not_counted_twice(harbor: HarborDouble, project: str) -> None:
    index = harbor.push(
        "p/multi", Index(Image("one", layers=[1000]), Image("two", layers=[2000])), "1"
    )
    records = by_digest(list_whole(login(harbor), project))
    leaves = sum(r.size_bytes for d, r in records.items() if d != index.digest)
    assert count_records(records.values()).size_bytes == leaves


def test_what_is_pushed_while_the_project_is_listed_is_found(
    harbor: HarborDouble, project: str
) -> None:
    harbor.push("p/app", Image("first"), "1")
    late = Image("late")
    behind_the_listing(harbor, lambda d: d.push("p/app", late, "2"))
    assert late.digest in by_digest(list_whole(login(harbor), project))


def test_what_is_deleted_while_the_project_is_listed_is_gone(
    harbor: HarborDouble, project: str
) -> None:
    first = harbor.push("p/app", Image("first"), "1")
    second = harbor.push("p/app", Image("second"), "2")
    behind_the_listing(harbor, lambda d: d.state.delete_artifact("p/app", first.digest))
    assert set(by_digest(list_whole(login(harbor), project))) == {second.digest}


def small_pages(harbor: HarborDouble) -> HarborClient:
    return HarborClient(harbor.url, harbor.user, harbor.password, page_size=2)


def test_a_tag_that_moves_while_the_project_is_listed_is_on_one_artifact(
    harbor: HarborDouble, project: str
) -> None:
    harbor.push("p/app", Image("first"), "1", "latest")
    harbor.push("p/app", Image("second"), "2")
    harbor.push("p/app", Image("third"), "3")
    new = Image("new")
    harbor.faults.add(
        Fault(
            path="/projects/p/artifacts",
            skip=1,
            callback=lambda double: double.push("p/app", new, "latest"),
        )
    )
    records = list_whole(small_pages(harbor), project)
    assert [r.digest for r in records if "latest" in {t.name for t in r.tags}] == [new.digest]


def test_a_child_that_harbor_goes_on_not_to_list_is_a_gap(
    harbor: HarborDouble, project: str
) -> None:
    index = harbor.push("p/app", Index(Image("child")), "1")
    body = requests.get(
        f"{harbor.url}/api/v2.0/projects/p/repositories/app/artifacts/{index.digest}",
        auth=(harbor.user, harbor.password),
        timeout=120,
    ).text
    harbor.faults.add(
        Fault(
            path=r"/artifacts\?",
            times=None,
            status=200,
            body=f"[{body}]",
            content_type="application/json",
            headers={"X-Total-Count": "1"},
        )
    )
    inventory = list_patiently(login(harbor), project)
    (gap,) = inventory.gaps
    assert (gap.repository, gap.reason) == ("p/app", "unsettled")
    assert f"does not list {Image('child').digest}" in gap.message
    assert [record.digest for record in inventory.records] == [index.digest]


def test_a_count_that_goes_on_to_disagree_is_a_gap_with_both_numbers(
    harbor: HarborDouble, project: str
) -> None:
    harbor.push("p/app", Image("first"), "1")
    wrong = '{"id": 1, "name": "p/app", "artifact_count": 7}'
    harbor.faults.add(
        Fault(
            path=r"/repositories\?",
            times=None,
            status=200,
            body=f"[{wrong}]",
            content_type="application/json",
            headers={"X-Total-Count": "1"},
        )
    )
    harbor.faults.add(
        Fault(
            path="/repositories/app$",
            times=None,
            status=200,
            body=wrong,
            content_type="application/json",
        )
    )
    inventory = list_patiently(login(harbor), project)
    (gap,) = inventory.gaps
    assert "Harbor counts 7 artifacts, but lists 1" in gap.message
    assert len(inventory.records) == 1


def test_a_project_that_is_gone_is_not_an_empty_one(harbor: HarborDouble) -> None:
    with pytest.raises(HarborNotFoundError):
        list_whole(login(harbor), "gone")
    robot = harbor.create_robot("backup")
    with pytest.raises(HarborAuthError):
        list_whole(login(harbor, robot, ROBOT_SECRET), "gone")


def test_a_robot_with_the_least_rights_lists_what_the_administrator_lists(
    harbor: HarborDouble, project: str
) -> None:
    image = harbor.push("p/app", multi_arch("multi"), "1.0")
    harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    robot = harbor.create_robot("backup")
    assert list_whole(login(harbor, robot, ROBOT_SECRET), project) == list_whole(
        login(harbor), project
    )


def test_a_thousand_artifacts_of_ten_projects_take_forty_requests_at_most(
    harbor: HarborDouble,
) -> None:
    harbor.generate(projects=10, repositories=100, artifacts=1000)
    client = login(harbor)
    harbor.requests.reset()
    check_harbor(client)
    counts = [count_records(list_whole(client, project.name)) for project in list_projects(client)]
    assert sum(c.artifacts for c in counts) == 1000
    assert sum(c.repositories for c in counts) == 100
    assert harbor.requests.total() <= 40


def test_a_long_listing_tells_how_far_it_is(harbor: HarborDouble) -> None:
    harbor.generate(projects=1, repositories=1, artifacts=2001)
    client = login(harbor)
    (name,) = (project.name for project in list_projects(client) if project.name != "library")
    lines: list[str] = []
    take_inventory(client, name, progress=lines.append)
    assert lines == [f"{name}: {number} artifacts listed" for number in (1000, 2000)]


def push_all(harbor: HarborDouble, *contents: Content) -> None:
    for content in contents:
        harbor.push("p/app", content, f"tag-{content.digest[7:12]}")


def test_equal_content_gives_an_equal_file(harbor: HarborDouble) -> None:
    contents = [Image("a"), multi_arch("b"), Image("c")]
    files = []
    with HarborDouble() as other:
        for double, order in ((harbor, contents), (other, contents[::-1])):
            double.create_project("p")
            push_all(double, *order)
            stream = io.BytesIO()
            write_records(stream, list_whole(login(double), "p"))
            files.append(stream.getvalue())
    without_times = [[line.split(b'"push_time"')[0] for line in f.splitlines()] for f in files]
    assert without_times[0] == without_times[1]
    assert files[0].splitlines()[0] == b'{"format_version":1,"kind":"harbor-inventory"}'


def test_an_unchanged_project_gives_the_same_bytes_also_after_pulls(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    push_all(harbor, Image("a"), multi_arch("b"))
    files = []
    for _ in range(2):
        stream = io.BytesIO()
        write_records(stream, list_whole(login(harbor), "p"))
        files.append(stream.getvalue())
        requests.get(
            f"{harbor.url}/v2/p/app/manifests/{Image('a').digest}",
            auth=(harbor.user, harbor.password),
            headers={"Accept": Image("a").media_type},
            timeout=120,
        ).raise_for_status()
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json\n",
        b'{"format_version":2,"kind":"harbor-inventory"}\n',
        b'{"format_version":1,"kind":"something"}\n',
        b'{"format_version":1,"kind":"harbor-inventory"}\n{"project":"p"}\n',
        b'{"format_version":1,"kind":"harbor-inventory"}\n{"project":"p","repos',
    ],
    ids=["empty", "no JSON", "newer", "another kind", "no record", "cut"],
)
def test_what_is_no_inventory_is_refused(content: bytes) -> None:
    with pytest.raises(HarborProtocolError):
        list(read_records(io.BytesIO(content)))
