"""Harbor's REST API through the client: all of every list, whatever Harbor does in between."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRefusedError,
    HarborServerError,
    RefusalReason,
    is_passing,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from tests.core.rig import fast_session, login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, cosign_signature, multi_arch, sbom_for
from tests.double.server import ROBOT_SECRET


def small_pages(harbor: HarborDouble, page_size: int = 2) -> HarborClient:
    return HarborClient(
        harbor.url,
        harbor.user,
        harbor.password,
        page_size=page_size,
        session=fast_session(harbor.url),
    )


def fill(harbor: HarborDouble, number: int) -> list[str]:
    harbor.create_project("many")
    return [harbor.push("many/app", Image(f"image {i}"), f"v{i}").digest for i in range(number)]


def test_ping_finds_a_harbor(harbor: HarborDouble) -> None:
    login(harbor).ping()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404, times=None, body="<html>Not Found</html>"),
        Fault(status=200, times=None, body="<html>Welcome to nginx!</html>"),
    ],
    ids=["nothing there", "a web page"],
)
def test_ping_tells_a_url_without_a_harbor(harbor: HarborDouble, fault: Fault) -> None:
    harbor.faults.add(fault)
    with pytest.raises(HarborProtocolError, match="there is no Harbor at"):
        login(harbor).ping()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, HarborAuthError, "the login 'admin' was not accepted. Check name and password"),
        (403, HarborAuthError, "what stands before Harbor lets nobody ask /api/v2.0. Have it let"),
        (404, HarborProtocolError, "there is no Harbor at .* Check the URL"),
    ],
)
def test_a_system_that_says_nothing_of_itself_is_told_with_what_to_do(
    harbor: HarborDouble, status: int, kind: type[Exception], words: str
) -> None:
    harbor.faults.add(Fault(path="/systeminfo", status=status, times=None))
    with pytest.raises(kind, match=words):
        login(harbor).check_login()


def test_a_request_that_harbor_got_too_slowly_may_pass(harbor: HarborDouble) -> None:
    harbor.faults.add(Fault(path="/systeminfo", status=408, times=None))
    with pytest.raises(HarborServerError) as caught:
        login(harbor).check_login()
    assert is_passing(caught.value)


def test_the_version_is_read_as_numbers(harbor: HarborDouble) -> None:
    assert login(harbor).version == (2, 15, 2)


def test_a_login_that_harbor_takes_for_nobody_is_an_error(harbor: HarborDouble) -> None:
    with pytest.raises(HarborAuthError, match="'admin' was not accepted"):
        _ = login(harbor, password="wrong").version


def test_a_robot_is_no_user(harbor: HarborDouble) -> None:
    robot = harbor.create_robot("backup")
    assert login(harbor, robot, ROBOT_SECRET).get_current_user() is None


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5])
def test_all_pages_are_read(harbor: HarborDouble, number: int) -> None:
    digests = fill(harbor, number)
    assert [a.digest for a in small_pages(harbor).iter_artifacts("many")] == digests


def test_a_full_last_page_needs_no_empty_one_behind_it(harbor: HarborDouble) -> None:
    fill(harbor, 4)
    client = small_pages(harbor)
    _ = client.version
    harbor.requests.reset()
    list(client.iter_artifacts("many"))
    assert harbor.requests.total() == 2


def test_an_artifact_deleted_between_two_pages_hides_no_other(harbor: HarborDouble) -> None:
    digests = fill(harbor, 6)
    harbor.faults.add(
        Fault(
            path=r"/projects/many/artifacts",
            skip=1,
            callback=lambda double: double.state.delete_artifact("many/app", digests[0]),
        )
    )
    assert [a.digest for a in small_pages(harbor).iter_artifacts("many")] == digests


def test_an_artifact_pushed_between_two_pages_is_listed_once(harbor: HarborDouble) -> None:
    digests = fill(harbor, 4)
    late = Image("late")
    harbor.faults.add(
        Fault(
            path=r"/projects/many/artifacts",
            skip=1,
            callback=lambda double: double.push("many/app", late, "late"),
        )
    )
    listed = [a.digest for a in small_pages(harbor).iter_artifacts("many")]
    assert listed == [*digests, late.digest]


def test_projects_and_repositories_are_read_page_by_page(harbor: HarborDouble) -> None:
    for name in ("one", "two", "three"):
        harbor.create_project(name)
        for repository in ("a", "b/c", "d/e/f"):
            harbor.push(f"{name}/{repository}", Image(name + repository), "1")
    client = small_pages(harbor)
    assert {p.name for p in client.iter_projects()} == {"library", "one", "two", "three"}
    assert {r.name for r in client.iter_repositories("two")} == {"two/a", "two/b/c", "two/d/e/f"}


def test_hidden_children_are_listed_and_accessories_hang_on_their_subject(
    harbor: HarborDouble,
) -> None:
    harbor.create_project("p")
    index = harbor.push("p/multi", multi_arch("multi"), "1")
    signature = harbor.push("p/multi", cosign_signature(index))
    artifacts = {a.digest: a for a in login(harbor).iter_artifacts("p")}
    assert set(artifacts) == {content.digest for content in index.walk()}
    assert [a.digest for a in artifacts[index.digest].accessories] == [signature.digest]
    assert {r.child_digest for r in artifacts[index.digest].references} == set(artifacts) - {
        index.digest
    }


def test_a_repository_with_slashes_is_found_by_its_name(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/a/b/c", Image("deep"), "1")
    client = login(harbor)
    assert [a.digest for a in client.iter_artifacts("p", "a/b/c")] == [image.digest]
    assert client.get_repository("p", "a/b/c").artifact_count == 1
    assert client.get_artifact("p/a/b/c", "1").digest == image.digest


def test_a_purely_numeric_project_is_taken_for_a_name(harbor: HarborDouble) -> None:
    harbor.create_project("2024")
    image = harbor.push("2024/app", Image("numeric"), "1")
    client = login(harbor)
    assert client.get_project("2024").name == "2024"
    assert [a.digest for a in client.iter_artifacts("2024")] == [image.digest]
    assert [r.name for r in client.iter_repositories("2024")] == ["2024/app"]


def test_an_older_harbor_is_listed_repository_by_repository() -> None:
    with HarborDouble(version="v2.10.3-abc") as harbor:
        harbor.create_project("p")
        pushed = {harbor.push(f"p/{name}", Image(name), "1").digest for name in ("a", "b/c", "d")}
        artifacts = list(small_pages(harbor).iter_artifacts("p"))
        assert {a.digest for a in artifacts} == pushed
        assert {a.repository for a in artifacts} == {"p/a", "p/b/c", "p/d"}


def test_the_first_level_accessories_of_an_artifact_can_be_listed(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("signed"), "1")
    attached = [harbor.push("p/app", make(image)) for make in (cosign_signature, sbom_for)]
    listed = list(small_pages(harbor, 1).iter_accessories("p/app", image.digest))
    assert {a.digest for a in listed} == {content.digest for content in attached}
    assert {a.subject_digest for a in listed} == {image.digest}


def test_a_created_project_is_private(harbor: HarborDouble) -> None:
    client = login(harbor)
    assert not client.has_project("new")
    client.create_project("new")
    assert client.has_project("new")
    assert not client.get_project("new").public
    with pytest.raises(HarborRefusedError) as caught:
        client.create_project("new")
    assert caught.value.reason is RefusalReason.CONFLICT


def test_a_project_that_is_not_there_is_not_found(harbor: HarborDouble) -> None:
    with pytest.raises(HarborNotFoundError):
        login(harbor).get_project("nothing")


def test_a_proxy_cache_is_told_from_other_projects(harbor: HarborDouble) -> None:
    harbor.create_project("cache", registry_id=1)
    assert login(harbor).get_project("cache").is_proxy_cache
    assert not login(harbor).get_project("library").is_proxy_cache


@pytest.mark.parametrize("size", [0, -1, 101])
def test_a_page_size_that_harbor_takes_for_something_else_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="page_size"):
        HarborClient("http://127.0.0.1:9", page_size=size)


@pytest.mark.parametrize(
    "body",
    ['{"errors": []}', "[1, 2]", '[{"id": "7"}]', '[{"id": 7, "digest": "latest"}]', "null"],
)
def test_an_answer_of_another_shape_names_what_is_wrong(harbor: HarborDouble, body: str) -> None:
    harbor.faults.add(
        Fault(path="/artifacts", status=200, body=body, content_type="application/json")
    )
    with pytest.raises(HarborProtocolError):
        list(login(harbor).iter_artifacts("library"))


def test_the_password_is_not_in_what_a_client_shows(harbor: HarborDouble) -> None:
    assert harbor.password not in repr(login(harbor))


def test_repositories_with_negative_ids_are_listed(harbor: HarborDouble) -> None:
    """As those have that were migrated from Harbor 1."""
    harbor.create_project("p")
    for number in range(5):
        harbor.push(f"p/app{number}", Image(f"{number}"), "1")
    for number in range(3):
        harbor.state.repositories[f"p/app{number}"].id = number - 3
    client = HarborClient(harbor.url, harbor.user, harbor.password, page_size=2)
    assert [r.name for r in client.iter_repositories("p")] == [f"p/app{n}" for n in range(5)]


@pytest.mark.parametrize(("projects", "pages"), [(2, 1), (3, 2), (4, 2)])
def test_a_list_by_page_number_is_read_to_its_end_and_no_further(
    harbor: HarborDouble, projects: int, pages: int
) -> None:
    for number in range(projects - 1):  # and the library
        harbor.create_project(f"p{number}")
    client = HarborClient(harbor.url, harbor.user, harbor.password, page_size=2)
    assert len(set(client.iter_quota_projects())) == projects
    assert len([path for _, path, _ in harbor.requests.log if "/quotas" in path]) == pages


def test_an_artifact_comes_with_its_tags_labels_and_accessories(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    api = f"{harbor.url}/api/v2.0"
    auth = (harbor.user, harbor.password)
    label = {"name": "checked", "scope": "g"}
    made = requests.post(f"{api}/labels", json=label, auth=auth, timeout=120)
    made.raise_for_status()
    requests.post(
        f"{api}/projects/p/repositories/app/artifacts/1.0/labels",
        json={"id": int(made.headers["Location"].rpartition("/")[2])},
        auth=auth,
        timeout=120,
    ).raise_for_status()
    client = login(harbor)
    for artifact in (*client.iter_artifacts("p"), client.get_artifact("p/app", "1.0")):
        assert [tag.name for tag in artifact.tags] == ["1.0"]
        assert artifact.labels == ("checked",)
        assert [accessory.digest for accessory in artifact.accessories] == [sbom.digest]
