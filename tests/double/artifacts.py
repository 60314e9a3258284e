"""What happens to artifacts: pushed, tagged, pulled, deleted. Handlers and tests both end here."""

from __future__ import annotations

import threading
from typing import Any

from .abstracts import (
    ACCESSORY_ICONS,
    FOREIGN_LAYER,
    abstract,
    accessory_type,
    cosign_subject,
    descriptors_of,
    is_index,
)
from .content import Content, digest_of
from .immutability import is_immutable
from .manifests import check_manifest, is_digest, parse_manifest, sizes_of
from .model import Accessory, Artifact, Listing, Project, Reference, Repository, Tag
from .storage import Storage
from .wire import HarborError, internal_error, not_found

EVERYTHING, VISIBLE = 1, 2
LONGEST_NAME = 255  # of a repository


def size_text(size: int) -> str:
    """Return a size as Harbor prints it in its messages on quotas."""
    if size < 1024:
        return f"{size} B"
    number, unit = float(size), -1
    while number >= 1024 and unit < 5:
        number /= 1024
        unit += 1
    return f"{number:.1f} {'KMGTPE'[unit]}iB"


class Artifacts:
    """The part of the state that is about artifacts; `State` adds the rest."""

    lock: threading.RLock
    configuration: dict[str, Any]
    version_numbers: tuple[int, ...]
    pulls_wait: bool
    storage: Storage
    project_names: dict[str, Project]

    def __init__(self) -> None:
        self.artifacts: dict[int, Artifact] = {}
        self.repositories: dict[str, Repository] = {}
        self._pulls: list[tuple[Artifact, str, int]] = []
        self.known_blobs: dict[str, int] = {}
        self.storage_consumption = 0

    def now(self) -> int:
        raise NotImplementedError

    def next_id(self, table: str) -> int:
        raise NotImplementedError

    # -- looking up ----------------------------------------------------------------------------

    def artifact(self, repository: str, reference: str) -> Artifact:
        """Return an artifact by tag or digest, or raise what Harbor answers where there is none."""
        found = self.repositories.get(repository)
        if is_digest(reference):
            artifact = found.artifacts.get(reference) if found else None
            if artifact is None:
                raise not_found(f"artifact {repository}@{reference} not found")
            return artifact
        if found is None:
            raise not_found(f"repository {repository} not found")
        tag = found.tags.get(reference)
        if tag is None:
            raise not_found(f"artifact {repository}:{reference} not found")
        return tag.artifact

    # -- pushing -------------------------------------------------------------------------------

    def push(self, repository: str, content: Content, *tags: str) -> None:
        """Push content with all it is made of, below the tags given. Asks for no permission."""
        with self.lock:
            project = self.project_names[repository.partition("/")[0]]
            for each in content.walk():
                for digest, data in each.blobs.items():
                    self.storage.put_blob(repository, digest, data)
                    self.count_blob(project, digest, len(data))
                references: tuple[str, ...] = (each.digest,)
                if each is content and (tags or content.default_tags):
                    references = tags or content.default_tags
                for reference in references:
                    self.put_manifest(repository, reference, each.media_type, each.manifest)

    def put_manifest(self, name: str, reference: str, media_type: str, data: bytes) -> str | None:
        """Store a manifest and make it an artifact. Return the subject's digest, if it has one."""
        project = self.project_names[name.partition("/")[0]]
        self._refuse_immutable(project, name, reference)
        document = parse_manifest(media_type, data)
        digest = digest_of(data)
        sizes = sizes_of(digest, data, media_type, document)
        self.check_quota(project, sizes)
        repository = self._ensure_repository(project, name)
        check_manifest(self.storage, name, reference, digest, media_type, document, len(data))
        # Storage has it from here on, also where Harbor refuses it next.
        self.storage.put_manifest(name, digest, media_type, data)
        children = self._children(name, media_type, document)
        artifact = repository.artifacts.get(digest)
        if artifact is None:
            artifact = self._create(repository, digest, media_type, data, document, children)
        self.repositories[name] = project.repositories[name] = repository
        for counted, size in sizes.items():
            self.count_blob(project, counted, size)
        if not is_digest(reference):
            self._ensure_tag(artifact, reference)
            subject = cosign_subject(reference, document)
            if subject is not None:
                self._ensure_accessory(artifact, subject, "signature.cosign")
        subject = (document.get("subject") or {}).get("digest")
        if subject:
            self._ensure_accessory(artifact, subject, accessory_type(document))
        return subject

    def _refuse_immutable(self, project: Project, name: str, reference: str) -> None:
        repository = self.repositories.get(name)
        if repository and reference in repository.tags and is_immutable(repository, reference):
            text = f"Failed to process request due to '{repository.short_name}:{reference}'"
            raise HarborError(412, "PRECONDITION", f"{text} configured as immutable.")

    def _ensure_repository(self, project: Project, name: str) -> Repository:
        """Return the repository. A new one is not there yet: the transaction may be rolled back."""
        found = self.repositories.get(name)
        if found is not None:
            return found
        if len(name) > LONGEST_NAME:
            raise internal_error()  # too long for its column
        now = self.now()
        return Repository(self.next_id("repository"), project, name, now, now)

    def _children(
        self, name: str, media_type: str, document: dict[str, Any]
    ) -> list[tuple[Artifact, dict[str, Any]]]:
        """Return the children of an index: artifacts of its repository, each only once."""
        if not is_index(media_type):
            return []
        children: dict[str, tuple[Artifact, dict[str, Any]]] = {}
        for member in document.get("manifests") or []:
            digest = member["digest"]
            child = self.artifact(name, digest)
            if digest in children:
                raise not_found(f"artifact {name}@{digest_of(digest.encode())} not found")
            children[digest] = (child, member)
        return list(children.values())

    def _create(
        self,
        repository: Repository,
        digest: str,
        media_type: str,
        data: bytes,
        document: dict[str, Any],
        children: list[tuple[Artifact, dict[str, Any]]],
    ) -> Artifact:
        if digest not in self.storage.blobs:
            # Harbor reads a new artifact's manifest back from the registry below.
            raise not_found("http status code: 404, body: manifest unknown")
        facts = abstract(media_type, data, document, self._read_blob)
        blobs = [] if is_index(media_type) else [
            each["digest"]
            for each in descriptors_of(document)
            if each.get("mediaType") != FOREIGN_LAYER
        ]  # fmt: skip
        artifact = Artifact(
            self.next_id("artifact"), repository, digest,
            facts.size + sum(child.size for child, _ in children),
            facts.type, facts.icon, facts.media_type, media_type, facts.artifact_type,
            facts.extra_attrs, facts.annotations, facts.addition_names,
            (digest, *dict.fromkeys(blobs)), self.now(),
        )  # fmt: skip
        self.artifacts[artifact.id] = repository.artifacts[digest] = artifact
        repository.project.blob_users.update(artifact.blob_digests)
        for child, member in children:
            reference = Reference(
                artifact, child, member.get("platform"), member.get("annotations"),
                member.get("urls"),
            )  # fmt: skip
            artifact.references.append(reference)
            child.parents.append(reference)
            self.relist(child)
        artifact.references.sort(key=lambda reference: reference.child.id)
        for accessory in repository.accessories_of.get(digest, []):
            accessory.subject = artifact
        self.relist(artifact)
        self.touch(repository)
        return artifact

    def _ensure_tag(self, artifact: Artifact, name: str) -> None:
        repository = artifact.repository
        tag = repository.tags.get(name)
        if tag is None:
            tag = Tag(self.next_id("tag"), name, artifact, self.now())
            repository.tags[name] = tag
        elif tag.artifact is artifact:
            return  # nothing changes, nor does any time
        else:
            previous = tag.artifact
            del previous.tags[name]
            self.relist(previous)
            tag.artifact, tag.push_time = artifact, self.now()
        artifact.tags[name] = tag
        self.relist(artifact)
        self.touch(repository)

    def _ensure_accessory(self, artifact: Artifact, subject_digest: str, kind: str) -> None:
        if artifact.accessory is not None:
            return
        repository = artifact.repository
        accessory = Accessory(
            self.next_id("accessory"), artifact, subject_digest,
            repository.artifacts.get(subject_digest), kind, ACCESSORY_ICONS.get(kind, ""),
            self.now(),
        )  # fmt: skip
        artifact.accessory = accessory
        repository.accessories_of.setdefault(subject_digest, []).append(accessory)
        if accessory.subject is not None:
            accessory.subject.rendered = None
        self.relist(artifact)

    # -- tags, pulls, deletes ------------------------------------------------------------------

    def create_tag(self, artifact: Artifact, name: str) -> None:
        with self.lock:
            repository = artifact.repository
            if name in repository.tags:
                text = f"tag {name} already exists under the repository {repository.id}"
                raise HarborError(409, "CONFLICT", text)
            self._ensure_tag(artifact, name)

    def delete_tag(self, artifact: Artifact, name: str) -> None:
        with self.lock:
            if name not in artifact.tags:
                raise not_found(f"tag {name} attached to artifact {artifact.id} not found")
            repository = artifact.repository
            self.refuse_immutable_delete(repository, [name])
            del artifact.tags[name]
            del repository.tags[name]
            self.relist(artifact)
            self.touch(repository)

    def record_pull(self, artifact: Artifact, reference: str) -> None:
        """Count a pull; at once, unless pulls wait until they are flushed."""
        self._pulls.append((artifact, reference, self.now()))
        if not self.pulls_wait:
            self.flush_pulls()

    def flush_pulls(self) -> None:
        """Write down the pulls that wait: their times, of parents as well, and their number."""
        with self.lock:
            pulls, self._pulls = self._pulls, []
            for artifact, reference, moment in pulls:
                for each in (artifact, *(parent.parent for parent in artifact.parents)):
                    each.pull_time = moment
                    each.rendered = None
                if reference in artifact.tags:
                    artifact.tags[reference].pull_time = moment
                artifact.repository.pull_count += 1
                artifact.repository.update_time = self.now()

    def delete_artifact(self, repository: str, reference: str) -> None:
        """Delete an artifact, its accessories, and the children that nothing else needs."""
        with self.lock:
            artifact = self.artifact(repository, reference)
            if artifact.parents:
                text = "the deleting artifact is referenced by others"
                raise HarborError(412, "VIOLATE_FOREIGN_KEY_CONSTRAINT", text)
            self.refuse_immutable_delete(artifact.repository, list(artifact.tags))
            self._delete(artifact)
            self.touch(artifact.repository)

    def forget_repository(self, repository: Repository) -> None:
        """Delete a repository with all its artifacts, whatever refers to what."""
        with self.lock:
            for artifact in list(repository.artifacts.values()):
                self._drop(artifact)
            del self.repositories[repository.name]
            del repository.project.repositories[repository.name]

    def _delete(self, artifact: Artifact) -> None:
        for accessory in self.accessories(artifact):
            self._delete(accessory.artifact)
        children = [reference.child for reference in artifact.references]
        self._drop(artifact)
        for child in children:
            if not child.tags and not child.parents:
                self._delete(child)

    def _drop(self, artifact: Artifact) -> None:
        repository = artifact.repository
        if repository.artifacts.pop(artifact.digest, None) is None:
            return
        del self.artifacts[artifact.id]
        for name in artifact.tags:
            del repository.tags[name]
        self._list(artifact, 0)
        for reference in artifact.references:
            reference.child.parents.remove(reference)
            if reference.child.digest in repository.artifacts:
                self.relist(reference.child)
        if artifact.accessory is not None:
            repository.accessories_of[artifact.accessory.subject_digest].remove(artifact.accessory)
            if artifact.accessory.subject is not None:
                artifact.accessory.subject.rendered = None
        self._uncount_blobs(artifact)

    def accessories(self, artifact: Artifact) -> list[Accessory]:
        """Return the accessories of an artifact, first level only."""
        return list(artifact.repository.accessories_of.get(artifact.digest, ()))

    def refuse_immutable_delete(self, repository: Repository, names: list[str]) -> None:
        for name in names:
            if is_immutable(repository, name):
                text = f"the tag {name} configured as immutable, cannot be deleted"
                raise HarborError(412, "PRECONDITION", text)

    # -- listings, quotas ----------------------------------------------------------------------

    def relist(self, artifact: Artifact) -> None:
        """Put an artifact into the lists it belongs to after anything about it changed."""
        artifact.rendered = None
        lists = 0
        if artifact.accessory is None:
            lists = EVERYTHING if artifact.parents and not artifact.tags else EVERYTHING | VISIBLE
        self._list(artifact, lists)

    def _list(self, artifact: Artifact, lists: int) -> None:
        changed = artifact.listed_in ^ lists
        artifact.listed_in = lists
        if not changed:
            return
        for listing in (artifact.repository.listing, artifact.repository.project.listing):
            _change(listing, artifact.id, changed, lists)

    def touch(self, repository: Repository) -> None:
        """Move the time of a repository's last change; before 2.15.2 only pulls moved it."""
        if self.version_numbers >= (2, 15, 2):
            repository.update_time = self.now()

    def count_blob(self, project: Project, digest: str, size: int) -> None:
        """Count a blob for a project's quota and for the statistics."""
        if digest not in project.blobs:
            project.blobs[digest] = size
            project.storage_used += size
        if digest not in self.known_blobs:
            self.known_blobs[digest] = size
            self.storage_consumption += size

    def check_quota(self, project: Project, sizes: dict[str, int]) -> None:
        """Refuse blobs (digest to size) that a project has no room for."""
        if not self.configuration["quota_per_project_enable"]:
            return
        new = sum(size for digest, size in sizes.items() if digest not in project.blobs)
        if not new:
            return
        if project.quota is None:  # made while there were no quotas, which there are again
            raise not_found(f"quota not found for (project, {project.id})")
        if 0 <= project.quota.hard < project.storage_used + new:
            text = (
                f"adding {size_text(new)} of storage resource, which when updated to current usage "
                f"of {size_text(project.storage_used)} will exceed the configured upper limit of "
                f"{size_text(project.quota.hard)}."
            )
            raise HarborError(403, "DENIED", text)

    def _uncount_blobs(self, artifact: Artifact) -> None:
        project = artifact.repository.project
        for digest in artifact.blob_digests:
            project.blob_users[digest] -= 1
            if project.blob_users[digest] <= 0:
                del project.blob_users[digest]
                project.storage_used -= project.blobs.pop(digest, 0)

    def _read_blob(self, digest: str) -> bytes:
        blob = self.storage.blobs.get(digest)
        if blob is None:  # the registry said that it has it, but it has lost it
            raise internal_error()
        return b"".join(blob.read())


def _change(listing: Listing, number: int, changed: int, lists: int) -> None:
    for bit, ids in ((EVERYTHING, listing.everything), (VISIBLE, listing.visible)):
        if changed & bit:
            (ids.add if lists & bit else ids.remove)(number)
