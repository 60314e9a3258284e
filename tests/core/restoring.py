"""What the tests of restore begin with: a night, a way back, and what is there before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.cookiejar import DefaultCookiePolicy

import requests

from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.registry_places import RegistrySource
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.harbor.check import list_projects
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.choosing import LATEST, Choice, Restore, find_snapshot
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.restore import (
    choose,
    finish_restore,
    restore_project,
)
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.oci.registry import referrers_tag
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.contract.client import ACCEPT
from tests.core.rig import login, registry_login
from tests.double import HarborDouble
from tests.double.content import (
    DOCKER_MANIFEST,
    Content,
    Image,
    Index,
    cosign_signature,
    digest_of,
    helm_chart,
    multi_arch,
    sbom_for,
)
from tests.registry_server import PlainRegistry

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Holding:
    """All that a Harbor holds, as far as a backup brings it back.

    Attributes:
        manifests: Bytes by repository and digest.
        tags: Digest by repository and tag.
        subjects: What accessories belong to, with their type, by repository and digest.
        blobs: What each manifest needs: digests by repository.
    """

    projects: frozenset[str]
    manifests: dict[Key, bytes] = field(default_factory=dict)
    tags: dict[Key, str] = field(default_factory=dict)
    subjects: dict[Key, tuple[str, str]] = field(default_factory=dict)
    blobs: dict[str, set[str]] = field(default_factory=dict)

    @property
    def repositories(self) -> set[str]:
        return {repository for repository, _ in self.manifests}


def holding(harbor: HarborDouble, *projects: str) -> Holding:
    """Return what a double holds, by its own database and storage."""
    state = harbor.state
    with state.lock:
        found = Holding(projects=frozenset(state.project_names))
        for name, repository in state.repositories.items():
            if projects and repository.project.name not in projects:
                continue
            for digest, artifact in repository.artifacts.items():
                stored = state.storage.manifest_in(name, digest)
                found.manifests[name, digest] = stored[1] if stored else b""
                if artifact.accessory:
                    accessory = artifact.accessory
                    found.subjects[name, digest] = (accessory.subject_digest, accessory.type)
                needed = set(artifact.blob_digests) - {digest}
                found.blobs.setdefault(name, set()).update(needed)
            for tag in repository.tags.values():
                found.tags[name, tag.name] = tag.artifact.digest
    return found


def night(
    harbor: HarborDouble, store: BackupStore, run: str = "2026-11-24T01-00-00.000000Z"
) -> RunReport:
    """Back everything up into a store."""
    started_at = datetime.now(timezone.utc)
    with login(harbor) as client, registry_login(harbor) as registry:
        store.begin_for(client.url)
        names = [project.name for project in list_projects(client)]
        for name in names:
            ref = inventory_project(client, store, run, name)
            copy_project(client, RegistrySource(registry), StorePlace(store), store, run, ref)
    return finish_run(
        store, run, names, harbor_url=harbor.url, destination=store.url, started_at=started_at
    )


def bring_back(
    store: BackupStore,
    place: Place,
    *,
    which: str = LATEST,
    choice: Choice | None = None,
    renames: dict[str, str] | None = None,
    source: Source | None = None,
    overwrites: bool = False,
) -> RunReport:
    """Restore a snapshot, and conclude it."""
    started_at = datetime.now(timezone.utc)
    choice = choice or Choice()
    restore = Restore(
        store=store,
        snapshot=find_snapshot(store, which, choice.project_patterns),
        choice=choice,
        renames=renames or {},
        overwrites=overwrites,
    )
    results: list[ProjectResult] = []
    projects = choose(restore)
    for project, counts in projects.items():
        restore_project(
            restore, project, place, run="way-back", keep=results.append, counts=counts,
            source=source,
        )  # fmt: skip
    report, _ = finish_restore(
        restore,
        "way-back",
        projects,
        results,
        destination=place.url,
        started_at=started_at,
    )
    return report


# -- asking a target as any client does


class Reader:
    """A client that knows nothing but the distribution API."""

    def __init__(self, target: HarborDouble | PlainRegistry) -> None:
        self._url = target.url
        self._session = requests.Session()
        self.is_harbor = isinstance(target, HarborDouble)
        if isinstance(target, HarborDouble):
            self._session.auth = (target.user, target.password)
            # Harbor takes a cookie for a login of its portal.
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def ask(self, method: str, path: str) -> requests.Response:
        headers = {"Accept": ACCEPT, "User-Agent": "harbor-registry-client"}
        return self._session.request(method, f"{self._url}/v2/{path}", headers=headers, timeout=120)

    def manifest(self, repository: str, reference: str) -> bytes:
        answer = self.ask("GET", f"{repository}/manifests/{reference}")
        assert answer.status_code == 200, (repository, reference, answer.text)
        return answer.content

    def digest(self, repository: str, tag: str) -> str:
        """Return what a tag names; empty where there is no such tag."""
        answer = self.ask("HEAD", f"{repository}/manifests/{tag}")
        return answer.headers["Docker-Content-Digest"] if answer.status_code == 200 else ""

    def tags(self, repository: str) -> set[str]:
        answer = self.ask("GET", f"{repository}/tags/list?n=1000")
        return set(answer.json()["tags"] or ()) if answer.status_code == 200 else set()

    def referrers(self, repository: str, subject: str) -> set[str]:
        """Return what refers to something; a plain registry has it under a tag."""
        if self.is_harbor:
            listed = self.ask("GET", f"{repository}/referrers/{subject}").json()
        else:
            listed = json.loads(self.manifest(repository, referrers_tag(subject)))
        return {entry["digest"] for entry in listed["manifests"]}


def assert_served(target: HarborDouble | PlainRegistry, wanted: Holding) -> None:
    """Every manifest, tag, blob and referrer of a holding is served by a target."""
    reader = Reader(target)
    for (repository, digest), content in wanted.manifests.items():
        assert reader.manifest(repository, digest) == content
    for repository in wanted.repositories:
        tags = {tag: digest for (name, tag), digest in wanted.tags.items() if name == repository}
        referrers = referrers_of(wanted, repository)
        lists = set() if reader.is_harbor else {referrers_tag(subject) for subject in referrers}
        assert reader.tags(repository) - lists == tags.keys(), repository
        assert {tag: reader.digest(repository, tag) for tag in tags} == tags
        for subject, digests in referrers.items():
            # Harbor lists signatures of cosign 2, too, which do not name their subject.
            assert digests <= reader.referrers(repository, subject), (repository, subject)
    read: set[str] = set()
    for repository, digests in wanted.blobs.items():
        for digest in digests:
            method = "HEAD" if digest in read else "GET"
            answer = reader.ask(method, f"{repository}/blobs/{digest}")
            assert answer.status_code == 200, (repository, digest)
            assert method == "HEAD" or digest_of(answer.content) == digest
            read.add(digest)


def referrers_of(wanted: Holding, repository: str) -> dict[str, set[str]]:
    """Return what refers to what in a repository, by the field `subject` of its manifests."""
    found: dict[str, set[str]] = {}
    for (name, digest), content in wanted.manifests.items():
        subject = (json.loads(content).get("subject") or {}).get("digest")
        if name == repository and subject:
            found.setdefault(subject, set()).add(digest)
    return found


# -- things to lose


def fill_team(harbor: HarborDouble) -> dict[str, Content]:
    """Make two projects with one of everything, and one that is empty."""
    for name in ("team", "shop", "bare"):
        harbor.create_project(name)
    made = {
        "app": harbor.push("team/app", Image("app", layers=2), "1.0", "latest"),
        "untagged": harbor.push("team/app", Image("untagged")),
        "multi": harbor.push("team/deep/multi", multi_arch("multi"), "2.0"),
        "nested": harbor.push("team/nested", Index(Index(Image("leaf")), Image("other")), "3.0"),
        "docker": harbor.push("shop/old", Image("docker", media_type=DOCKER_MANIFEST), "1.0"),
        "chart": harbor.push("shop/charts/web", helm_chart("web"), "1.0.0"),
        "copy": harbor.push("shop/app", Image("app", layers=2), "again"),
    }
    made["signature"] = harbor.push("team/app", cosign_signature(made["app"]))
    made["sbom"] = harbor.push("team/app", sbom_for(made["app"]))
    made["signed sbom"] = harbor.push("team/app", cosign_signature(made["sbom"]))
    return made


def writes(harbor: HarborDouble) -> list[tuple[str, str, int]]:
    """Return what changed something at a double since its counter was reset."""
    return [entry for entry in harbor.requests.log if entry[0] not in ("GET", "HEAD")]
