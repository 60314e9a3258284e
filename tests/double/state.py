"""Harbor's database in memory: projects, accounts, settings; and the switches tests turn.

Artifacts have their own module (`artifacts.py`). Every change of the state happens with `lock`
held; handlers run in one thread, tests may call from any other.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .artifacts import Artifacts
from .configuration import initial_configuration
from .model import Member, Project, Quota, Robot, User
from .settings import PROXY_RETENTION, Settings
from .storage import Storage
from .wire import HarborError, bad_request

NAME = re.compile(r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$")
INSTALLED = 1_690_000_000_000  # July 2023: before anything is pushed, and the same in each run
COMPONENTS = (
    "core", "database", "jobservice", "portal", "redis", "registry", "registryctl",
)  # fmt: skip
ROLES = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}


class State(Artifacts, Settings):
    """All that one double knows.

    Switches, which tests may set at any time:
        read_only: Nothing can be written but the configuration.
        storage_full: Uploads fail for want of room.
        behind_nginx: The nginx of Harbor stands before it; see `nginx.py`.
        login_lock_seconds: After a wrong password even the right one is anonymous for so long; a
            real Harbor has 1.5.
        login_seconds: How much longer each request with a user's name and password takes; a real
            Harbor hashes for 0.1.
        relative_locations: Locations of the registry come without scheme and host.
        redirect_blobs: GET and HEAD of a blob are answered 307 to a signed URL on another host, as
            with S3 below Harbor; sending the credentials on to there is an error.
        registry_cache: What storage lost is still known by its size, and answered with 200 and not
            one byte, as real Harbors do; without it, it is unknown.
        pulls_wait: Pulls are counted when `flush_pulls` is called; a real Harbor does that every
            ten seconds.
        configuration_is_given: By CONFIG_OVERWRITE_JSON; nobody can change it then.
        unknown_keys: Filters of artifacts and repositories that it ignores, as Harbor does with
            those that it does not know.
        external_url: What Harbor says it is, whatever name the client used; by default the URL it
            was started on.
    """

    def __init__(self, version: str, user: str, password: str) -> None:
        self.lock = threading.RLock()
        self.version = version
        match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
        self.version_numbers = tuple(int(each or 0) for each in match.groups()) if match else (0,)
        # What later ones keep to themselves.
        self.shows_credentials = not ((2, 14, 4) <= self.version_numbers < (2, 15)
                                      or self.version_numbers >= (2, 15, 1))  # fmt: skip
        self.secret = secrets.token_bytes(32)
        self.storage = Storage()
        self.configuration = initial_configuration(self.version_numbers)
        self.storage_full = False
        self.behind_nginx = False
        self.relative_locations = False
        self.redirect_blobs = False
        self.external_url = ""
        self.login_seconds = 0.0
        self.pulls_wait = False
        self.unknown_keys: set[str] = set()
        self.configuration_is_given = False
        self.login_lock_seconds = 0.0
        self.locked_until: dict[str, float] = {}
        self.unhealthy: dict[str, str] = {}
        self.denied_pushes: set[str] = set()
        self.pull_refusals: dict[str, str] = {}
        self._sequences: Counter[str] = Counter()
        self._last_time = 0
        self._pretended: int | None = None
        self.users: dict[str, User] = {}
        self.robots: dict[int, Robot] = {}
        self.projects: dict[int, Project] = {}
        self.project_names: dict[str, Project] = {}
        self.sessions: dict[str, str] = {}
        Artifacts.__init__(self)
        with self.pretended_time(INSTALLED):
            Settings.__init__(self, self.now)
            self.admin = self.create_user(user, password, sysadmin=True)
            self.create_project("library", public=True)
        self.admin.realname, self.admin.comment = "system admin", "admin user"

    # -- clock and sequences -------------------------------------------------------------------

    def now(self) -> int:
        """Return the time in milliseconds; always later than the last one that was returned.

        So that each change has its own time also where only milliseconds are shown, and artifacts
        are in the same order by id and by time of push.
        """
        now = int(time.time() * 1000) if self._pretended is None else self._pretended
        self._last_time = max(now, self._last_time + 1)
        return self._last_time

    def seconds(self) -> int:
        """Return the time in seconds, which is not before anything that has happened."""
        return max(int(time.time()), self._last_time // 1000)

    @contextmanager
    def pretended_time(self, start_milliseconds: int) -> Iterator[None]:
        """Let time stand at a moment, from which each change counts on by a millisecond."""
        self._pretended = start_milliseconds
        try:
            yield
        finally:
            self._pretended = None

    def next_id(self, table: str) -> int:
        """Return the next number of a sequence; one that is rolled back is used up, too."""
        self._sequences[table] += 1
        return self._sequences[table]

    # -- switches ------------------------------------------------------------------------------

    @property
    def read_only(self) -> bool:
        return bool(self.configuration["read_only"])

    @read_only.setter
    def read_only(self, on: bool) -> None:
        self.configuration["read_only"] = on

    def set_unhealthy(self, component: str, message: str = "connection refused") -> None:
        """Let /health report a component as unhealthy; everything else goes on working."""
        if component not in COMPONENTS:
            raise ValueError(f"no such component: {component}; there are {', '.join(COMPONENTS)}")
        self.unhealthy[component] = message

    def set_healthy(self, component: str | None = None) -> None:
        if component is None:
            self.unhealthy.clear()
        else:
            self.unhealthy.pop(component, None)

    def deny_push(self, project: str, denied: bool = True) -> None:
        """Take the right to push into a project from everybody, administrators included."""
        (self.denied_pushes.add if denied else self.denied_pushes.discard)(project)

    def refuse_pulls(self, project: str, reason: str | None) -> None:
        """Let a policy of the project refuse all manifests, as for vulnerabilities, until None."""
        if reason is None:
            self.pull_refusals.pop(project, None)
        else:
            self.pull_refusals[project] = reason

    def lose_blob(self, digest: str) -> None:
        """Lose a blob from storage, in all repositories; the database goes on knowing it."""
        with self.lock:
            self.storage.lose(digest)

    def lose_manifest(self, repository: str, digest: str) -> None:
        """Lose a manifest from storage, in all repositories; the database goes on listing it."""
        with self.lock:
            if digest not in self.storage.manifests[repository]:
                raise KeyError(digest)
            self.storage.lose(digest)

    @property
    def registry_cache(self) -> bool:
        return self.storage.cached

    @registry_cache.setter
    def registry_cache(self, on: bool) -> None:
        self.storage.cached = on

    # -- accounts ------------------------------------------------------------------------------

    def create_user(
        self, name: str, password: str, *, sysadmin: bool = False, **profile: str
    ) -> User:
        with self.lock:
            now = self.now()
            user = User(
                self.next_id("user"), name, password, sysadmin,
                creation_time=now, update_time=now, **profile,
            )  # fmt: skip
            self.users[name] = user
            return user

    def user_by_id(self, number: int) -> User | None:
        return next((user for user in self.users.values() if user.id == number), None)

    def add_member(self, project: str, user: str, role: int) -> None:
        """Make a user a member; for the roles see `ROLES`."""
        with self.lock:
            self.join(self.project_names[project], "u", self.users[user].id, role)

    def join(self, project: Project, kind: str, number: int, role: int) -> Member:
        member = Member(self.next_id("member"), kind, number, role)
        project.members[kind, number] = member
        return member

    def create_robot(
        self,
        name: str,
        permissions: list[dict[str, Any]],
        *,
        secret: str,
        level: str = "system",
        duration: int = -1,
        expires_at: int | None = None,
        disabled: bool = False,
        description: str = "",
    ) -> Robot:
        """Create a robot account; its full name gets the prefix that is configured."""
        with self.lock:
            if NAME.match(name) is None:
                raise bad_request("robot name is not in lower case or contains illegal characters")
            project_id, stored_name = 0, name
            if level == "project":
                project = self.project_names[permissions[0]["namespace"]]
                project_id, stored_name = project.id, f"{project.name}+{name}"
            for each in self.robots.values():
                if (each.project_id, each.stored_name) == (project_id, stored_name):
                    text = f"robot account {project_id}:{stored_name} already exists"
                    raise HarborError(409, "CONFLICT", text)
            now = self.now()
            if expires_at is None:
                expires_at = -1 if duration == -1 else now // 1000 + duration * 86400
            robot = Robot(
                self.next_id("robot"), stored_name, self.configuration, secret, permissions,
                now, now, duration=duration, expires_at=expires_at, disabled=disabled,
                description=description, project_id=project_id,
            )  # fmt: skip
            self.robots[robot.id] = robot
            return robot

    def robot_named(self, name: str) -> Robot | None:
        """Return the robot account that logs in with this name."""
        return next((robot for robot in self.robots.values() if robot.name == name), None)

    def expire_robot(self, name: str) -> None:
        """Let a robot account have expired an hour ago. `name` is the full one."""
        robot = self.robot_named(name)
        if robot is None:
            raise KeyError(name)
        robot.expires_at = int(time.time()) - 3600

    # -- projects ------------------------------------------------------------------------------

    def create_project(
        self,
        name: str,
        *,
        public: bool = False,
        storage_limit: int | None = None,
        registry_id: int | None = None,
        metadata: dict[str, str] | None = None,
        owner: User | None = None,
    ) -> Project:
        with self.lock:
            if len(name) > 255 or NAME.match(name) is None:
                raise bad_request(
                    "project name is not in lower case or contains illegal characters"
                )
            if name in self.project_names:
                message = f"The project named {name} already exists"
                raise HarborError(409, "CONFLICT", message)
            if registry_id and self.registries.get(registry_id) is None:
                self._create_registry(registry_id)
            owner = owner or self.admin
            now = self.now()
            project = Project(
                self.next_id("project"), name, owner, now,
                {"public": str(public).lower(), **(metadata or {})},
                registry_id=registry_id or 0, update_time=now,
            )  # fmt: skip
            if self.configuration["quota_per_project_enable"]:
                limit = storage_limit or self.configuration["storage_per_project"]
                project.quota = Quota(self.next_id("quota"), limit, now, now)
            self.join(project, "u", owner.id, 1)
            if registry_id:
                retention = self.add_retention(project.id, PROXY_RETENTION)
                project.metadata["retention_id"] = str(retention["id"])
            self.projects[project.id] = self.project_names[name] = project
            return project

    def project(self, name_or_id: str | int) -> Project | None:
        if isinstance(name_or_id, int):
            return self.projects.get(name_or_id)
        return self.project_names.get(name_or_id)

    def delete_project(self, name: str) -> None:
        """Delete a project with all that is in it. Storage keeps the content, as in Harbor.

        Over HTTP a project with repositories cannot be deleted; this does it whatever it holds.
        """
        with self.lock:
            project = self.project_names.pop(name)
            del self.projects[project.id]
            for repository in list(project.repositories.values()):
                self.forget_repository(repository)
            for robot in list(self.robots.values()):
                if robot.project_id == project.id:
                    del self.robots[robot.id]
                robot.permissions = [
                    each for each in robot.permissions if each["namespace"] != project.name
                ]
            self.forget_settings(project.id)

    def _create_registry(self, number: int) -> None:
        row = self.registries.add(
            name=f"upstream-{number}", description="", type="docker-registry", insecure=False,
            url="https://upstream.example.com", credential={}, ca_certificate="", status="healthy",
        )  # fmt: skip
        self.registries.move(row, number)
