"""The rows of Harbor's database, as far as clients can see them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


class SortedIds:
    """Ids in ascending order; new ones come almost always at the end."""

    __slots__ = ("ids",)

    def __init__(self) -> None:
        self.ids: list[int] = []

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, number: int) -> None:
        if not self.ids or number > self.ids[-1]:
            self.ids.append(number)
        else:
            insort(self.ids, number)

    def remove(self, number: int) -> None:
        del self.ids[bisect_left(self.ids, number)]


class Listing:
    """The artifacts of a repository or a project, as Harbor lists them.

    Kept up to date with each change, so that a page costs no walk over all artifacts.

    Attributes:
        everything: What `q=base=*` lists: all but accessories.
        visible: What is listed otherwise: no untagged children of indexes either.
    """

    __slots__ = ("everything", "visible")

    def __init__(self) -> None:
        self.everything = SortedIds()
        self.visible = SortedIds()


@dataclass(eq=False)
class User:
    """A user. `cli_secret` is what users of OIDC have for programs, instead of a password."""

    id: int
    name: str
    password: str
    sysadmin: bool = False
    email: str = ""
    realname: str = ""
    comment: str = ""
    creation_time: int = 0
    update_time: int = 0
    cli_secret: str = ""


@dataclass(eq=False)
class Member:
    """That a user (`u`) or a group (`g`) belongs to a project."""

    id: int
    kind: str
    entity_id: int
    role: int


@dataclass(eq=False)
class Robot:
    """A robot account.

    Attributes:
        stored_name: Its name in the database: without the prefix, with the project it is of.
        configuration: Harbor's, where the prefix of all names is.
        project_id: 0 for robots of the system.
        editable: Not for those that are left from Harbor 1.x.
    """

    id: int
    stored_name: str
    configuration: dict[str, Any]
    secret: str
    permissions: list[dict[str, Any]]
    creation_time: int
    update_time: int
    duration: int = -1
    expires_at: int = -1
    disabled: bool = False
    description: str = ""
    project_id: int = 0
    creator_ref: int = 1
    creator_type: str = "local"
    editable: bool = True

    @property
    def name(self) -> str:
        """The full name, which is used to log in: another one as soon as the prefix is."""
        if not self.editable:
            return self.stored_name
        prefix: str = self.configuration["robot_name_prefix"]
        return prefix + self.stored_name

    @property
    def level(self) -> str:
        return "project" if self.project_id else "system"


@dataclass(eq=False)
class Quota:
    """How much a project may store; -1 is without limit."""

    id: int
    hard: int
    creation_time: int
    update_time: int


@dataclass(eq=False)
class Project:
    """A project.

    Attributes:
        quota: None where it was made while there were no quotas for projects.
        allowlist: Vulnerabilities that do not count, as they were set; None until then.
        blobs: Those that count for the quota, with their sizes.
    """

    id: int
    name: str
    owner: User
    creation_time: int
    metadata: dict[str, str]
    registry_id: int = 0
    quota: Quota | None = None
    update_time: int = 0
    allowlist: dict[str, Any] | None = None
    members: dict[tuple[str, int], Member] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    listing: Listing = field(default_factory=Listing)
    blobs: dict[str, int] = field(default_factory=dict)
    blob_users: Counter[str] = field(default_factory=Counter)
    storage_used: int = 0
    immutable_rules: list[dict[str, Any]] = field(default_factory=list)

    @property
    def public(self) -> bool:
        return self.metadata.get("public") == "true"

    def role_of(self, user: User) -> int:
        """Return the role of a user, or 0 where the user is no member."""
        member = self.members.get(("u", user.id))
        return member.role if member else 0


@dataclass(eq=False)
class Repository:
    """A repository. `name` includes the project."""

    id: int
    project: Project
    name: str
    creation_time: int
    update_time: int
    pull_count: int = 0
    description: str = ""
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    listing: Listing = field(default_factory=Listing)
    accessories_of: dict[str, list[Accessory]] = field(default_factory=dict)

    @property
    def short_name(self) -> str:
        return self.name.partition("/")[2]


@dataclass(eq=False, slots=True)
class Tag:
    id: int
    name: str
    artifact: Artifact
    push_time: int
    pull_time: int = 0


@dataclass(eq=False, slots=True)
class Reference:
    """That an index (the parent) lists a child."""

    parent: Artifact
    child: Artifact
    platform: dict[str, Any] | None
    annotations: dict[str, str] | None
    urls: list[str] | None


@dataclass(eq=False, slots=True)
class Accessory:
    """That an artifact belongs to a subject, which may not be there (yet)."""

    id: int
    artifact: Artifact
    subject_digest: str
    subject: Artifact | None
    type: str
    icon: str
    creation_time: int


@dataclass(eq=False, slots=True)
class Artifact:
    """An artifact: a manifest known to Harbor.

    Attributes:
        blob_digests: Manifest, config and layers: what it adds to the project's quota.
        parents: The references of indexes that list it.
        labels: Numbers of its labels.
        accessory: Set where this artifact is itself an accessory; it is then in no list.
        rendered: The last answer about it and for which options, until something changes.
    """

    id: int
    repository: Repository
    digest: str
    size: int
    type: str
    icon: str
    media_type: str
    manifest_media_type: str
    artifact_type: str
    extra_attrs: dict[str, Any]
    annotations: dict[str, str]
    addition_names: tuple[str, ...]
    blob_digests: tuple[str, ...]
    push_time: int
    pull_time: int = 0
    tags: dict[str, Tag] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    parents: list[Reference] = field(default_factory=list)
    labels: frozenset[int] = frozenset()
    accessory: Accessory | None = None
    listed_in: int = 0
    rendered: tuple[Any, str] | None = None
