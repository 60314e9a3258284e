"""Walk a project of Harbor, and come back with everything that it holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborStatusError,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.harbor import HarborClient, split_repository
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.manifest import Platform
from airflow_provider_harbor.core.models import Accessory, Artifact, Repository, Tag
from airflow_provider_harbor.core.records import Record, Role

_SETTLE_ROUNDS = 3


@dataclass(slots=True)
class _Listing:
    """What is known of one repository; `accessories` maps a digest to its link and itself."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    accessories: dict[str, tuple[Accessory, Artifact]] = field(default_factory=dict)

    def members(self) -> Iterator[Artifact]:
        yield from self.artifacts.values()
        yield from (artifact for _, artifact in self.accessories.values())

    def visible(self) -> int:
        """Count as Harbor's `artifact_count` does: tagged, or no child of an index.

        Source: Harbor src/pkg/artifact/dao/dao.go, setBaseQuery.
        """
        children = self._children()
        return sum(1 for a in self.artifacts.values() if a.tags or a.digest not in children)

    def contradiction(self, count: int) -> str:
        """Return what shows that this was not listed in one moment; empty where nothing does.

        Args:
            count: Harbor's `artifact_count`.
        """
        if self.visible() != count:
            return f"Harbor counts {count} artifacts, but lists {self.visible()}"
        names = Counter(tag.name for member in self.members() for tag in member.tags)
        if twice := sorted(name for name, number in names.items() if number > 1):
            return f"Harbor lists two artifacts with the tag {twice[0]}"
        if missing := self._children() - self.artifacts.keys() - self.accessories.keys():
            return f"Harbor does not list {min(missing)}, which is a child of an index"
        return ""

    def _children(self) -> set[str]:
        return {r.child_digest for member in self.members() for r in member.references}


def take_inventory(
    client: HarborClient, project: str, *, progress: Progress | None = None
) -> list[Record]:
    """List everything that a project holds, and make sure that it is everything.

    What was found is compared with the count that Harbor itself keeps of each repository. Where
    they differ, or the list contradicts itself (a push or a deletion went on meanwhile), the
    repository is listed again.

    An accessory whose subject is not in its repository (a signature that was pushed before its
    image, say) is in none of Harbor's lists and counts: it is found once its subject is there.

    Returns:
        The records, sorted by repository, then digest.

    Raises:
        HarborNotFoundError: The project is gone.
        HarborAuthError: The login may not list it; to all but administrators Harbor says the same
            of a project that is gone.
        UnsettledHarborError: Harbor's list and Harbor's count go on to disagree.
    """
    try:
        return _list_all(client, project, progress or (lambda text: None))
    except HarborStatusError as err:
        err.hint = err.hint or _advice(err, project)
        raise


def _advice(err: HarborStatusError, project: str) -> str:
    if isinstance(err, HarborNotFoundError):
        return (
            f"project {project!r} was deleted since it was listed. Run the whole backup again, and "
            "it will not be listed any more"
        )
    if isinstance(err, HarborAuthError):
        return (
            f"the login may not list project {project!r}, or the project was deleted since it was "
            "listed. Give the login its permissions on the project, or run the whole backup again"
        )
    return (
        f"project {project!r} could not be listed, since Harbor, or a proxy before it, goes on to "
        "fail. Run the project again; if it stays so, the logs of both say why"
    )


def _list_all(client: HarborClient, project: str, tell: Progress) -> list[Record]:
    listings: dict[str, _Listing] = defaultdict(_Listing)
    for number, artifact in enumerate(client.iter_artifacts(project), start=1):
        listings[artifact.repository].artifacts[artifact.digest] = artifact
        if number % 1000 == 0:
            tell(f"{project}: {number} artifacts listed")
    for name, listing in listings.items():
        listing.accessories = _walk_accessories(client, name, listing.artifacts)
    repositories = {r.name: r for r in client.iter_repositories(project)}
    for name in listings.keys() | repositories.keys():
        listings[name] = _settle(client, name, repositories.get(name), listings[name])
    records = [
        record for name, listing in listings.items() for record in _records(project, name, listing)
    ]
    records.sort(key=lambda record: record.key)
    return records


def _settle(
    client: HarborClient, name: str, repository: Repository | None, listing: _Listing
) -> _Listing:
    """List one repository again until Harbor's count of it and its list agree."""
    project, short_name = split_repository(name)
    for _ in range(_SETTLE_ROUNDS):
        if repository and not listing.contradiction(repository.artifact_count):
            return listing
        try:
            repository = client.get_repository(project, short_name)
        except HarborNotFoundError:  # deleted while the project was listed
            return _Listing()
        artifacts = {a.digest: a for a in client.iter_artifacts(project, short_name)}
        listing = _Listing(artifacts, _walk_accessories(client, name, artifacts))
    contradiction = listing.contradiction(repository.artifact_count if repository else 0)
    if not contradiction:
        return listing
    raise UnsettledHarborError(
        f"repository {name}: {contradiction}, and went on to do so in {_SETTLE_ROUNDS} further "
        "listings. Run the project again; if it stays so, Harbor's database is damaged there"
    )


def _walk_accessories(
    client: HarborClient, repository: str, artifacts: dict[str, Artifact]
) -> dict[str, tuple[Accessory, Artifact]]:
    """Fetch the accessories of a repository, and theirs: a listing shows the first level only."""
    found: dict[str, tuple[Accessory, Artifact]] = {}
    waiting = [accessory for artifact in artifacts.values() for accessory in artifact.accessories]
    while waiting:
        accessory = waiting.pop()
        if accessory.digest in found:
            continue
        try:
            artifact = client.get_artifact(repository, accessory.digest)
        except HarborNotFoundError:  # deleted since its subject was listed
            continue
        found[accessory.digest] = (accessory, artifact)
        waiting += artifact.accessories
    return found


def _records(project: str, repository: str, listing: _Listing) -> Iterator[Record]:
    parents: dict[str, list[str]] = defaultdict(list)
    platforms: dict[str, list[Platform]] = defaultdict(list)
    for artifact in listing.members():
        for reference in artifact.references:
            parents[reference.child_digest].append(artifact.digest)
            if reference.platform:
                platforms[reference.child_digest].append(reference.platform)
    for artifact in listing.members():
        known = sorted(platforms[artifact.digest], key=str)
        link = listing.accessories.get(artifact.digest)
        yield Record(
            project=project,
            repository=repository,
            digest=artifact.digest,
            role=Role.ACCESSORY if link else _role(artifact, parents[artifact.digest], known),
            media_type=artifact.media_type,
            artifact_type=link[0].type if link else artifact.artifact_type,
            size_bytes=artifact.size_bytes,
            push_time=artifact.push_time,
            tags=_sorted_tags(artifact),
            platform=str(known[0]) if known else "",
            parents=tuple(sorted(parents[artifact.digest])),
            children=tuple(sorted(r.child_digest for r in artifact.references)),
            subject=link[0].subject_digest if link else "",
            labels=artifact.labels,
        )


def _sorted_tags(artifact: Artifact) -> tuple[Tag, ...]:
    return tuple(sorted(artifact.tags, key=lambda tag: tag.name))


def _role(artifact: Artifact, parents: Sequence[str], platforms: Sequence[Platform]) -> Role:
    """Tell what a row of Harbor's listing is; a tagged child is an artifact of its own."""
    if artifact.tags or not parents:
        return Role.ARTIFACT
    if platforms and all(platform.is_unknown for platform in platforms):
        return Role.ATTESTATION
    return Role.CHILD
