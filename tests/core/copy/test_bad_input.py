"""What goes wrong some night: one clear error that names it, and nothing lost ends green."""

from __future__ import annotations

import copy
import json
import time
from collections import Counter

import pytest

from airflow_provider_harbor.core.copy.opening import open_registry
from airflow_provider_harbor.core.copy.outcome import Finding, Status
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConnectionError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store import layout
from tests.core.rig import Backup, fill_small, make_immutable, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image, Index, cosign_signature, multi_arch
from tests.registry_server import PlainRegistry


@pytest.fixture
def pushed(harbor: HarborDouble) -> dict[str, Content]:
    return fill_small(harbor)


def failed(report: RunReport) -> list[Finding]:
    return report.findings(Status.FAILED)


def assert_partial(backup: Backup, report: RunReport) -> None:
    """The run is told and kept as what it is: not complete, with the sum right."""
    assert not report.complete
    directory = backup.store_path / "snapshots" / report.run
    assert (directory / "partial.json").exists()
    assert not (directory / "snapshot.json").exists()
    text = json.loads((backup.store_path / "reports" / f"{report.run}.json").read_text())
    assert text["complete"] is False
    for result in report.projects:
        if result.copy and result.inventory:
            assert result.copy.total == result.inventory.counts.records


def test_a_blob_that_harbor_lost_is_one_finding_and_the_rest_is_copied(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    lost = max(pushed["image"].blobs)
    harbor.state.lose_blob(lost)
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    (finding,) = failed(report)
    assert (finding.repository, finding.reason) == ("alpha/app", "missing-blob")
    assert finding.tags == ("1.0", "latest")
    assert lost in finding.message
    assert "Push the artifact again" in finding.message
    assert report.copied == report.counts.records - 1


def test_a_manifest_that_harbor_lost_is_told_from_one_that_was_deleted(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    harbor.state.lose_manifest("alpha/app", pushed["image"].digest)
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    (finding,) = failed(report)
    assert finding.reason == "missing-manifest"
    assert "storage has lost its manifest" in finding.message


def test_an_artifact_deleted_between_listing_and_copying_is_named(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    digest = pushed["untagged"].digest
    harbor.faults.add(
        Fault(
            path=f"/v2/alpha/app/manifests/{digest}",
            callback=lambda double: double.state.delete_artifact("alpha/app", digest),
        )
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    (finding,) = failed(report)
    assert (finding.digest, finding.reason) == (digest, "deleted-at-source")
    assert "Run the project again" in finding.message
    assert backup.run(reach(other_harbor)).complete


def test_a_project_deleted_between_listing_and_walking_is_named(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    harbor.faults.add(
        Fault(
            path="/projects/alpha/artifacts",
            callback=lambda double: double.state.delete_project("alpha"),
        )
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert report.unprotected == ("alpha",)
    (line,) = report.failures()
    assert line.startswith("project alpha: ")
    assert "deleted since it was listed" in line
    assert "Run the whole backup again" in line
    assert backup.run(reach(other_harbor)).complete


def test_a_project_deleted_between_listing_and_copying_fails_with_all_its_artifacts(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    harbor.faults.add(
        Fault(
            path="/service/token",
            callback=lambda double: double.state.delete_project("alpha"),
        )
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {finding.repository for finding in failed(report)} == {"alpha/app"}
    assert len(failed(report)) == 2
    assert all("deleted since it was listed" in finding.message for finding in failed(report))


def test_what_needs_a_lost_blob_fails_with_it_and_says_why(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    good, bad = Image("good"), Image("bad")
    index = harbor.push("p/multi", Index(good, bad), "1.0")
    signature = harbor.push(
        "p/multi", cosign_signature(index), *cosign_signature(index).default_tags
    )
    harbor.state.lose_blob(max(bad.blobs))
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    findings = {finding.digest: finding for finding in failed(report)}
    assert {d: f.reason for d, f in findings.items()} == {
        bad.digest: "missing-blob",
        index.digest: "not-tried",
    }
    assert registry_login(other_harbor).get_manifest("p/multi", signature.digest)
    assert bad.digest in findings[index.digest].message


def test_a_read_only_destination_is_told_once_for_each_artifact_and_soon(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    for name in ("p", "q"):
        harbor.create_project(name)
        other_harbor.create_project(name)
        for number in range(12):
            harbor.push(f"{name}/app", Image(f"image {number}"), f"v{number}")
    other_harbor.state.read_only = True
    other_harbor.requests.reset()
    report = backup.run(reach(other_harbor), workers=2)
    assert_partial(backup, report)
    assert report.failed == 24
    reasons = {finding.reason for finding in failed(report)}
    assert reasons == {"read-only", "not-tried"}
    assert all("read only" in finding.message for finding in failed(report))
    assert other_harbor.requests["upload.post"] < 40  # of 48 blobs


def test_a_project_that_cannot_be_created_is_named(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.state.read_only = True
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert report.unprotected == ("alpha", "beta")
    # Said once of each project, and not of each artifact.
    assert [line.split(": ")[0] for line in report.failures()] == ["project alpha", "project beta"]
    assert all("read only" in line for line in report.failures())


def test_a_full_quota_is_named_with_the_project(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.create_project("alpha", storage_limit_bytes=10)
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {(f.repository, f.reason) for f in failed(report)} == {("alpha/app", "quota")}
    assert "Raise it" in failed(report)[0].message
    assert [result.project for result in report.projects if result.ok] == ["beta", "library"]


def test_a_full_disk_of_the_destination_is_an_error_of_the_server(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.state.storage_full = True
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {f.reason for f in failed(report)} <= {"server-error", "not-tried"}
    other_harbor.state.storage_full = False
    assert backup.run(reach(other_harbor)).complete


def test_a_denied_push_says_which_permission_is_missing(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    for name in ("alpha", "beta"):
        other_harbor.create_project(name)
    other_harbor.state.deny_push("alpha")
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {(f.repository, f.reason) for f in failed(report)} == {("alpha/app", "denied")}
    assert "repository:push" in failed(report)[0].message


def test_a_push_that_another_registry_denies_is_a_matter_of_permissions(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    said = '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
    other_harbor.faults.add(
        Fault(method="POST", path="/v2/alpha/", times=None, status=403, body=said)
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {(f.repository, f.reason) for f in failed(report)} == {("alpha/app", "denied")}


def test_a_repository_that_the_destination_does_not_make_is_named(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    said = '{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}'
    other_harbor.faults.add(
        Fault(method="POST", path="/v2/alpha/", times=None, status=404, body=said)
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {(f.repository, f.reason) for f in failed(report)} == {("alpha/app", "no-repository")}
    assert "Create it there" in failed(report)[0].message


def test_a_proxy_cache_at_the_destination_takes_no_copy(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.create_project("alpha", registry_id=1)
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {(f.repository, f.reason) for f in failed(report)} == {("alpha/app", "policy")}


def test_a_destination_that_cannot_be_listed_is_told_from_the_source(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.create_project("alpha")
    other_harbor.push("alpha/app", Image("there"), "1")
    other_harbor.faults.add(Fault(path="/projects/alpha/artifacts", times=None, status=403))
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert report.failures()[0].startswith("project alpha: at the destination the login may not")


def test_an_immutable_tag_is_a_finding_and_the_others_go_on(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.create_project("alpha")
    other_harbor.push("alpha/app", Image("another"), "1.0")
    make_immutable(other_harbor, "alpha", "1.*")
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    (finding,) = failed(report)
    assert (finding.digest, finding.reason) == (pushed["image"].digest, "immutable")
    assert "1.0" in finding.message
    # Its content is kept all the same, and its other tag is set.
    there = registry_login(other_harbor)
    assert there.find_manifest("alpha/app", "latest") == pushed["image"].digest
    assert there.find_manifest("alpha/app", "1.0") == Image("another").digest


def test_an_answer_lost_under_an_immutable_tag_is_no_failure(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    other_harbor.create_project("alpha")
    make_immutable(other_harbor, "alpha", "**")
    other_harbor.faults.add(Fault(method="PUT", path="/manifests/1.0", lose_answer=True))
    report = backup.run(reach(other_harbor))
    assert report.complete, report.failures()


def test_equal_tags_are_not_put_again_so_that_immutable_ones_do_no_harm(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    backup.run(reach(other_harbor))
    make_immutable(other_harbor, "alpha", "**")
    harbor.push("alpha/app", Image("newer"), "1.1")
    assert backup.run(reach(other_harbor)).complete


def test_a_push_that_is_redirected_to_a_page_is_no_success(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    page = {"Location": "/api/v2.0/ping"}
    other_harbor.faults.add(
        Fault(method="PUT", path="/manifests/1.0", times=None, status=302, headers=page)
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    (finding,) = failed(report)
    assert finding.digest == pushed["image"].digest
    assert "a redirect to" in finding.message


@pytest.mark.parametrize("status", [200, 202, 204, 304])
@pytest.mark.parametrize("path", ["/manifests/", "/blobs/uploads/"])
def test_a_push_that_is_not_said_to_be_stored_is_no_success(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    pushed: dict[str, Content],
    path: str,
    status: int,
) -> None:
    other_harbor.faults.add(Fault(method="PUT", path=path, times=None, status=status))
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert report.copied == 0
    assert {f.reason for f in failed(report)} <= {"odd-answer", "not-tried"}
    assert f"was answered {status}" in failed(report)[0].message
    other_harbor.faults.clear()
    assert backup.run(reach(other_harbor)).complete


def test_a_page_for_maintenance_from_some_moment_on_is_no_success(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    for number in range(12):
        harbor.push("p/app", Image(f"image {number}"), f"v{number}")

    def begin(double: HarborDouble) -> None:
        double.faults.add(Fault(times=None, status=200, body="<html>Back soon</html>"))

    other_harbor.faults.add(Fault(method="PUT", path="/manifests/", skip=3, callback=begin))
    report = backup.run(reach(other_harbor), workers=1)
    assert_partial(backup, report)
    other_harbor.faults.clear()
    there = set(registry_login(other_harbor).iter_tags("p/app"))
    assert report.copied == len(there) < 12


def test_a_size_that_is_wrong_in_a_manifest_is_told_and_not_tried_again(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    image = Image("wrong size", layers=[5000])
    document = copy.deepcopy(image.document)
    right = document["layers"][0]["size"]
    for number, size in enumerate((10, 999_999)):
        document["layers"][0]["size"] = size
        wrong = Content(image.media_type, document, blobs=image.blobs.values())
        harbor.push(f"p/app{number}", wrong, "1.0")
    harbor.requests.reset()
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    messages = {finding.repository: finding.message for finding in failed(report)}
    assert {finding.reason for finding in failed(report)} == {"wrong-size"}
    assert f"has 10 bytes, but there are {right}" in messages["p/app0"]
    assert f"has 999999 bytes, but there are {right}" in messages["p/app1"]
    layer = document["layers"][0]["digest"]
    assert len([path for _, path, _ in harbor.requests.log if layer in path]) == 2


@pytest.mark.parametrize("repositories", [("a", "a"), ("a", "z"), ("z", "a")])
@pytest.mark.parametrize("wrong", range(4))
def test_a_wrong_size_of_a_layer_fails_one_manifest_alone_whoever_shares_it(
    harbor: HarborDouble, backup: Backup, wrong: int, repositories: tuple[str, str]
) -> None:
    harbor.create_project("alpha")
    right = Image("right", layers=[5000])
    document = copy.deepcopy(right.document)
    document["layers"][0]["size"] += 1
    document["annotations"] = {"number": str(wrong)}  # so that either may be the first to be copied
    lying = Content(right.media_type, document, blobs=right.blobs.values())
    harbor.push(f"alpha/{repositories[0]}", right, "right")
    harbor.push(f"alpha/{repositories[1]}", lying, "lying")
    for _ in range(2):
        (finding,) = failed(backup.run(backup.itself))
        assert finding.digest == lying.digest
        assert "the manifest says" in finding.message


def test_a_pull_policy_of_the_source_is_named(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    harbor.state.refuse_pulls(
        "alpha", "current image without vulnerability scanning cannot be pulled"
    )
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert {f.reason for f in failed(report)} == {"policy-at-source"}
    assert "vulnerability scanning" in failed(report)[0].message


def test_a_proxy_cache_is_skipped_and_said_so(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("cache", registry_id=1)
    harbor.push("cache/library/nginx", Image("nginx"), "1.25")
    report = backup.run(reach(other_harbor))
    assert report.complete
    (finding,) = report.findings(Status.SKIPPED)
    assert (finding.repository, finding.reason) == ("cache/library/nginx", "proxy-cache")
    assert harbor.requests["manifest.get"] == 0


def test_a_destination_that_nobody_answers_at_stops_the_project_soon(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    for number in range(20):
        harbor.push("p/app", Image(f"image {number}"), f"v{number}")
    fault = other_harbor.faults.add(Fault(path="/v2/p/", times=None, reset=True))
    report = backup.run(reach(other_harbor), workers=2)
    assert_partial(backup, report)
    assert {f.reason for f in failed(report)} == {"connection", "not-tried"}
    assert fault.hits < 250  # 40 blobs with 12 attempts each would be 480


def test_a_layer_that_fails_for_many_images_stops_no_others(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    shared = b"shared layer" * 500
    for number in range(8):
        harbor.push("p/a", Image(f"bad {number}", layers=[shared, 50]), f"v{number}")
        harbor.push("p/b", Image(f"good {number}"), f"v{number}")
    harbor.faults.add(Fault(path=f"/blobs/{digest_of(shared)}", times=None, status=500))
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert Counter((f.repository, f.reason) for f in failed(report)) == {("p/a", "server-error"): 8}


def test_a_repository_that_fails_stops_no_others(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    for number in range(12):
        harbor.push("p/a", Image(f"bad {number}"), f"v{number}")
        harbor.push("p/b", Image(f"good {number}"), f"v{number}")
    harbor.faults.add(Fault(method="GET", path="/v2/p/a/", times=None, status=500))
    report = backup.run(reach(other_harbor), workers=4)
    assert_partial(backup, report)
    assert {f.repository for f in failed(report)} == {"p/a"}
    assert {f.reason for f in failed(report)} == {"server-error", "not-tried"}


def test_a_source_that_fails_everywhere_is_soon_left_alone(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    for repository in range(10):
        for number in range(6):
            harbor.push(f"p/app-{repository}", Image(f"{repository} {number}"), f"v{number}")
    fault = harbor.faults.add(Fault(method="GET", path="/v2/p/", times=None, status=500))
    report = backup.run(reach(other_harbor), workers=8)
    assert_partial(backup, report)
    assert fault.hits < 400  # 60 manifests with 12 attempts each would be 720


def test_a_harbor_is_no_backup_of_itself(
    harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    for dry_run in (True, False):
        report = backup.run(reach(harbor), dry_run=dry_run)
        assert not report.complete
        assert report.unprotected == ("alpha", "beta", "library")
        assert "are the same registry" in report.failures()[0]


def test_a_damaged_inventory_is_not_copied(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    report = backup.run(reach(other_harbor), dry_run=True)
    ref = next(r.inventory for r in report.projects if r.project == "alpha")
    assert ref
    path = backup.store_path / layout.inventory("alpha", ref.sha256)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Exception, match="is damaged"):
        backup.copy(reach(other_harbor), report.run, ref)
    result = Results(backup.store.results, report.run).find("alpha")
    assert result
    assert "is damaged" in result.error


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (r"/projects/alpha/.*artifacts\?", "504"),
        ("/projects/alpha/repositories", "500"),
    ],
)
def test_a_project_that_cannot_be_listed_does_not_stop_the_others(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    pushed: dict[str, Content],
    path: str,
    what: str,
) -> None:
    harbor.faults.add(Fault(path=path, times=None, status=int(what), body="<html>"))
    report = backup.run(reach(other_harbor))
    assert_partial(backup, report)
    assert report.unprotected == ("alpha",)
    assert what in report.failures()[0]


# -- opening a destination


def test_a_harbor_and_a_plain_registry_are_told_apart(
    harbor: HarborDouble, plain_registry: PlainRegistry
) -> None:
    assert open_registry(harbor.url, harbor.user, harbor.password).kind == "Harbor"
    assert open_registry(plain_registry.url).kind == "plain registry"


def test_a_wrong_password_at_the_destination_is_an_error_at_once(harbor: HarborDouble) -> None:
    with pytest.raises(
        HarborAuthError, match=r"was not accepted\. Check name and password \(of a robot"
    ):
        open_registry(harbor.url, harbor.user, "wrong")


def test_an_expired_robot_at_the_destination_is_an_error_at_once(harbor: HarborDouble) -> None:
    robot = harbor.create_robot("push", push=True, expires_at=int(time.time()) - 5)
    with pytest.raises(HarborAuthError):
        open_registry(harbor.url, robot, "Robot-Secret1")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(times=None, status=404, body="<html>Not Found</html>"),
        Fault(times=None, status=200, body="<html>Hello</html>"),
    ],
    ids=["nothing there", "a web page"],
)
def test_what_is_neither_is_no_destination(harbor: HarborDouble, fault: Fault) -> None:
    harbor.faults.add(fault)
    with pytest.raises(HarborProtocolError, match="no registry at"):
        open_registry(harbor.url)


def test_nobody_at_the_destination_is_a_connection_error() -> None:
    with pytest.raises(HarborConnectionError, match=r"127\.0\.0\.1:9"):
        open_registry("http://127.0.0.1:9")


def test_an_attestation_that_is_lost_fails_its_index(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    index = harbor.push("p/multi", multi_arch("multi"), "1.0")
    attestation = next(c for c in index.walk() if c.platform and c.platform["os"] == "unknown")
    harbor.state.lose_manifest("p/multi", attestation.digest)
    report = backup.run(reach(other_harbor))
    assert {f.digest for f in failed(report)} == {attestation.digest, index.digest}


def test_the_numbers_of_a_failed_night_are_right_on_the_next(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, pushed: dict[str, Content]
) -> None:
    harbor.faults.add(Fault(path="/v2/beta/", times=None, status=404))
    first = backup.run(reach(other_harbor))
    assert_partial(backup, first)
    harbor.faults.clear()
    second = backup.run(reach(other_harbor))
    assert second.complete
    assert second.copied == first.failed
    assert second.present == first.copied
