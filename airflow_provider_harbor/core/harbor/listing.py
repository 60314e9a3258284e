"""What Harbor lists of one repository: artifacts and accessories, and what contradicts that."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_harbor.core.exceptions import HarborNotFoundError, HarborRouteError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.models import Accessory, Artifact, Tag
from airflow_provider_harbor.core.harbor.paths import split_repository
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.manifest import Platform
from airflow_provider_harbor.core.oci.names import is_tag_name
from airflow_provider_harbor.core.side_by_side import do_all


@dataclass(slots=True)
class Listing:
    """What is known of one repository. Two that are equal were made of the same content.

    Attributes:
        artifacts: Those that Harbor lists, by digest.
        accessories: Those that hang on them, at any depth: the link and the accessory itself.
        denied: Accessories that a list names, and that are not there when they are asked for.
    """

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    accessories: dict[str, tuple[Accessory, Artifact]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)

    def members(self) -> Iterator[Artifact]:
        """Yield artifacts and accessories."""
        yield from self.artifacts.values()
        yield from (artifact for _, artifact in self.accessories.values())

    def links(self) -> list[Accessory]:
        """Return the accessories that the artifacts name and that were not asked for yet."""
        return self.unknown(link for a in self.artifacts.values() for link in a.accessories)

    def unknown(self, links: Iterable[Accessory]) -> list[Accessory]:
        """Return those accessories that were not asked for yet, each once."""
        by_digest = {link.digest: link for link in links}
        known = self.accessories.keys() | self.denied
        return [link for digest, link in by_digest.items() if digest not in known]

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
        if self.denied:
            return f"Harbor lists {min(self.denied)}, and says that it is not there"
        if self.visible() != count:
            return f"Harbor counts {count} artifacts, but lists {self.visible()}"
        names = Counter(tag.name for member in self.members() for tag in member.tags)
        if twice := sorted(name for name, number in names.items() if number > 1):
            return f"Harbor lists two artifacts with the tag {twice[0]}"
        if missing := self._children() - self.artifacts.keys() - self.accessories.keys():
            return f"Harbor does not list {min(missing)}, which is a child of an index"
        return ""

    def take_odd_tags(self) -> list[str]:
        """Take away the tags that no tag can be called, and return them as they may be shown."""
        odd: list[str] = []
        for digest, artifact in self.artifacts.items():
            self.artifacts[digest] = _without_odd_tags(artifact, odd)
        for digest, (link, artifact) in self.accessories.items():
            self.accessories[digest] = (link, _without_odd_tags(artifact, odd))
        return sorted(odd)

    def iter_records(self, project: str, repository: str) -> Iterator[Record]:
        """Yield a record for each digest, in no order."""
        parents: dict[str, list[str]] = defaultdict(list)
        platforms: dict[str, list[Platform]] = defaultdict(list)
        for artifact in self.members():
            for reference in artifact.references:
                parents[reference.child_digest].append(artifact.digest)
                if reference.platform:
                    platforms[reference.child_digest].append(reference.platform)
        for artifact in self.members():
            known = sorted(platforms[artifact.digest], key=str)
            link, _ = self.accessories.get(artifact.digest, (None, None))
            yield Record(
                project=project,
                repository=repository,
                digest=artifact.digest,
                role=Role.ACCESSORY if link else _role(artifact, parents[artifact.digest], known),
                media_type=artifact.media_type,
                artifact_type=link.type if link else artifact.artifact_type,
                size_bytes=artifact.size_bytes,
                push_time=artifact.push_time,
                tags=_sorted_tags(artifact),
                platform=str(known[0]) if known else "",
                parents=tuple(sorted(parents[artifact.digest])),
                children=tuple(sorted(r.child_digest for r in artifact.references)),
                subject=link.subject_digest if link else "",
                labels=artifact.labels,
            )

    def _children(self) -> set[str]:
        return {r.child_digest for member in self.members() for r in member.references}


def list_repository(client: HarborClient, name: str, *, workers: int = 1) -> Listing:
    """List one repository with its accessories; nothing of one that is gone.

    Args:
        client: The login.
        name: Full name of the repository.
        workers: How many of its accessories are asked for at once.

    Raises:
        HarborRouteError: A 404 came that does not say that the repository, or an accessory, is
            gone.
    """
    listing = Listing()
    try:
        for artifact in client.iter_artifacts(*split_repository(name)):
            listing.artifacts[artifact.digest] = artifact
    except HarborNotFoundError as err:
        # Most Harbors list nothing of a repository that is not there; some say that it is not.
        if not err.names(name):
            raise HarborRouteError(err) from err
        return Listing()
    walk_accessories(client, name, listing, workers=workers)
    return listing


def walk_accessories(
    client: HarborClient, name: str, listing: Listing, *, workers: int = 1
) -> None:
    """Fetch the accessories of a repository, and theirs: a list shows the first level only.

    Args:
        client: The login.
        name: Full name of the repository.
        listing: Its artifacts; the accessories are added.
        workers: How many are asked for at once.

    Raises:
        HarborRouteError: A 404 came that does not say that an accessory is gone.
    """
    links = listing.links()
    while links:
        found: dict[str, Artifact | None] = {}

        def fetch(link: Accessory, found: dict[str, Artifact | None] = found) -> None:
            found[link.digest] = _find_accessory(client, name, link.digest)

        do_all(links, fetch, workers, "accessories")
        waiting: list[Accessory] = []
        for link in links:
            artifact = found[link.digest]
            if artifact is None:
                # Deleted since its subject was listed, maybe. Whether it is, another list tells.
                listing.denied.add(link.digest)
            else:
                listing.accessories[link.digest] = (link, artifact)
                waiting += artifact.accessories
        links = listing.unknown(waiting)


def _find_accessory(client: HarborClient, name: str, digest: str) -> Artifact | None:
    try:
        return client.get_artifact(name, digest)
    except HarborNotFoundError as err:
        if not err.names(digest):
            raise HarborRouteError(err) from err
        return None


def _without_odd_tags(artifact: Artifact, odd: list[str]) -> Artifact:
    names = [ascii(tag.name)[:80] for tag in artifact.tags if not is_tag_name(tag.name)]
    if not names:
        return artifact
    odd += names
    return replace(artifact, tags=tuple(t for t in artifact.tags if is_tag_name(t.name)))


def _sorted_tags(artifact: Artifact) -> tuple[Tag, ...]:
    return tuple(sorted(artifact.tags, key=lambda tag: tag.name))


def _role(artifact: Artifact, parents: Sequence[str], platforms: Sequence[Platform]) -> Role:
    """Tell what a row of Harbor's listing is; a tagged child is an artifact of its own."""
    if artifact.tags or not parents:
        return Role.ARTIFACT
    if platforms and all(platform.is_unknown for platform in platforms):
        return Role.ATTESTATION
    return Role.CHILD
