"""What a destination is, what it needs, and what is said where it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme

from airflow_provider_harbor.core.copy.opening import open_registry
from airflow_provider_harbor.core.copy.registry_places import HarborPlace
from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborRouteError,
    HarborTlsError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.core.rig import Backup, fast_session, login, reach
from tests.double import ROBOT_SECRET, Fault, HarborDouble
from tests.double.content import Image


def test_a_proxy_before_the_destination_that_changes_paths_is_found_before_the_night(
    harbor: HarborDouble,
) -> None:
    message = "path /api/v2.0/projects/x/repositories/nested/name was not found"
    body = json.dumps({"errors": [{"code": "NOT_FOUND", "message": message}]})
    harbor.faults.add(
        Fault(path="%252F", status=404, body=body, content_type="application/json", times=None)
    )
    with pytest.raises(HarborRouteError, match="%252F"):
        open_registry(harbor.url, harbor.user, harbor.password)


def test_a_destination_needs_no_right_to_create_projects_that_are_there(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    for double in (harbor, other_harbor):
        double.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    robot = other_harbor.create_robot("copy", push=True)
    registry = RegistryClient(
        other_harbor.url, robot, ROBOT_SECRET, session=fast_session(other_harbor.url)
    )
    destination = HarborPlace(login(other_harbor, robot, ROBOT_SECRET), registry)
    assert backup.run(destination).complete
    assert registry.find_manifest("p/app", "1.0") == image.digest
    assert not [m for m, path, _ in other_harbor.requests.log if path.endswith("/projects")]


def test_the_same_registry_is_named_once_and_an_alias_by_both_names(harbor: HarborDouble) -> None:
    source = login(harbor)
    with pytest.raises(HarborConfigurationError, match=f"the same registry, {harbor.url}: that is"):
        reach(harbor).require_other(source)
    alias = harbor.url.replace("127.0.0.1", "localhost")
    destination = HarborPlace(
        HarborClient(alias, harbor.user, harbor.password), RegistryClient(alias)
    )
    with pytest.raises(HarborConfigurationError) as caught:
        destination.require_other(source)
    assert all(url in str(caught.value) for url in (harbor.url, alias))


@pytest.mark.parametrize("kind", ["Harbor", "plain registry"])
def test_a_certificate_is_verified_with_the_file_that_was_given(tmp_path: Path, kind: str) -> None:
    ca, server = tmp_path / "ca.pem", tmp_path / "server.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    with HarborDouble(certfile=server) as harbor:
        with pytest.raises(HarborTlsError):
            open_registry(harbor.url, harbor.user, harbor.password)
        if kind == "plain registry":
            harbor.faults.add(Fault(path="/api/v2.0/", status=404, times=None))
        opened = open_registry(harbor.url, harbor.user, harbor.password, verify=str(ca))
        assert opened.kind == kind
        assert not set(opened.registry.iter_tags("library/nothing"))
        opened.close()


# -- one Harbor under two names


def test_a_harbor_under_another_name_is_no_backup_of_itself(harbor: HarborDouble) -> None:
    alias = harbor.url.replace("127.0.0.1", "localhost")
    destination = HarborPlace(
        type(login(harbor))(alias, harbor.user, harbor.password), RegistryClient(alias)
    )
    with pytest.raises(HarborConfigurationError, match="the same Harbor"):
        destination.require_other(login(harbor))


def test_two_harbors_with_one_external_url_are_told_apart_by_their_projects(
    harbor: HarborDouble, other_harbor: HarborDouble
) -> None:
    harbor.create_project("p")
    harbor.state.external_url = other_harbor.state.external_url = "https://reg.mydomain.com"
    destination = reach(other_harbor)
    with pytest.raises(HarborConfigurationError):
        destination.require_other(login(harbor))  # both have nothing but their library
    for double in (harbor, other_harbor):
        double.state.external_url = ""  # so they do not say who they are
    reach(other_harbor).require_other(login(harbor))
    harbor.state.external_url = other_harbor.state.external_url = "https://reg.mydomain.com"
    harbor.create_project("here-only")
    other_harbor.create_project("there-only")
    with pytest.raises(HarborConfigurationError):
        destination.require_other(login(harbor))
    other_harbor.create_project("p")
    destination.require_other(login(harbor))
