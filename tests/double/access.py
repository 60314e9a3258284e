"""Who asks, and what they may do.

Permissions are evaluated from a robot's access list, a user's roles, or a token's claims; nothing
is known of particular names. Credentials that do not fit are nobody's: the request goes on as an
anonymous one.
"""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, field

from .model import Project, Robot, User
from .state import State
from .tokens import read_token
from .wire import HarborError, Request

SELF = "project"

# What a role may do in its project: resource to actions (src/common/rbac/project/rbac_role.go).
_READS = {
    SELF: "read", "quota": "read", "repository": "read list pull", "configuration": "read",
    "scan": "read", "sbom": "read", "scanner": "read", "tag": "list", "accessory": "list",
    "artifact": "read list", "artifact-addition": "read",
}  # fmt: skip
_GUEST = _READS | {"member": "read list", "label": "read list", "robot": "read list"}
_DEVELOPER = _GUEST | {
    "repository": "create read update list push pull", "artifact": "create read list",
    "tag": "list create", "artifact-label": "create delete", "export-cve": "create read list",
    "tag-retention": "create read update delete list operate",
}  # fmt: skip
_MAINTAINER = _DEVELOPER | {
    "metadata": "read", "label": "create read update delete list",
    "repository": "create read update delete list push pull",
    "immutable-tag": "create update delete list", "notification-policy": "read list",
    "scan": "create read stop", "sbom": "create stop read",
    "artifact": "create read delete list", "tag": "list create delete",
}  # fmt: skip
_ADMIN = _MAINTAINER | {
    SELF: "read update delete", "member": "create read update delete list", "log": "list",
    "metadata": "create read update delete", "configuration": "read update",
    "robot": "create read update delete list", "scanner": "read create",
    "notification-policy": "create update delete list read",
    "preheat-policy": "create read update delete list",
}  # fmt: skip
ROLE_POLICIES = {
    number: {(resource, action) for resource, text in table.items() for action in text.split()}
    for number, table in {1: _ADMIN, 2: _DEVELOPER, 3: _GUEST, 4: _MAINTAINER, 5: _READS}.items()
}
PUBLIC_POLICIES = {
    (SELF, "read"), ("label", "read"), ("label", "list"), ("repository", "list"),
    ("repository", "pull"), ("scan", "read"), ("scanner", "read"), ("tag", "list"),
    ("artifact", "read"), ("artifact", "list"), ("artifact-addition", "read"),
    ("accessory", "list"),
}  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """Who sent a request. `grants` is set for registry tokens: project to actions."""

    kind: str = "anonymous"
    name: str = ""
    user: User | None = None
    robot: Robot | None = None
    grants: dict[str, set[str]] = field(default_factory=dict)
    issued_at: int = 0

    @property
    def authenticated(self) -> bool:
        return bool(self.name)

    @property
    def sysadmin(self) -> bool:
        return self.user is not None and self.user.sysadmin

    def can(self, state: State, project: Project | None, resource: str, action: str) -> bool:
        """Return whether the caller may do something in a project."""
        if project is not None and project.name in state.denied_pushes and action == "push":
            return False
        if self.kind == "token":
            return self._token_can(project, resource, action)
        if self.sysadmin:
            return True
        if project is None:
            return False
        if project.public and (resource, action) in PUBLIC_POLICIES:
            return True
        if self.user is not None:
            role = project.role_of(self.user)
            return (resource, action) in ROLE_POLICIES.get(role, ())
        return self.robot is not None and _robot_can(self.robot, project, resource, action)

    def can_in_system(self, resource: str, action: str) -> bool:
        """Return whether the caller may do something that belongs to no project."""
        if self.sysadmin:
            return True
        if self.robot is None or self.robot.level != "system":
            return False
        return any(
            access["resource"] == resource and access["action"] == action
            for permission in self.robot.permissions
            if permission["kind"] == "system"
            for access in permission["access"]
        )

    def namespaces(self) -> set[str]:
        """The namespaces a robot has permissions on; `*` for all projects."""
        if self.robot is None:
            return set()
        return {p["namespace"] for p in self.robot.permissions if p["kind"] == "project"}

    def _token_can(self, project: Project | None, resource: str, action: str) -> bool:
        if project is None or resource != "repository":
            return False
        # A token older than the project is not for this one, but for its predecessor of that name.
        if self.issued_at < project.creation_time // 1000:
            return False
        return action in self.grants.get(project.name, ())


def _robot_can(robot: Robot, project: Project, resource: str, action: str) -> bool:
    for permission in robot.permissions:
        if permission["kind"] != "project" or permission["namespace"] not in ("*", project.name):
            continue
        everywhere = permission["namespace"] == "*"
        for access in permission["access"]:
            # project:read on all projects becomes the policy /project/*, which matches whatever is
            # below a project as well.
            fits = access["resource"] == resource or (everywhere and access["resource"] == SELF)
            actions = {access["action"]}
            if robot.level == "project" and access["action"] == "push":
                actions.add("pull")
            if fits and action in actions and access.get("effect", "allow") != "deny":
                return True
    return False


def identify(state: State, request: Request) -> Caller:
    """Return who sent a request."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    caller = Caller()
    if scheme.lower() == "basic":
        caller = _basic(state, request, value)
    elif scheme.lower() == "bearer" and request.raw_path.startswith("/v2"):
        caller = _bearer(state, value)
    if caller.authenticated:
        return caller
    user = state.users.get(state.sessions.get(request.cookies.get("sid", ""), ""))
    return Caller() if user is None else Caller("user", user.name, user=user)


def _basic(state: State, request: Request, value: str) -> Caller:
    try:
        name, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Caller()
    robot = state.robot_named(name)
    if robot is not None:
        expired = robot.expires_at != -1 and robot.expires_at <= time.time()
        if robot.secret == password and not robot.disabled and not expired:
            return Caller("robot", robot.name, robot=robot)
        return Caller()
    request.names_user = name in state.users
    user = log_in(state, name, password)
    return Caller() if user is None else Caller("user", user.name, user=user)


def log_in(state: State, name: str, password: str) -> User | None:
    user = state.users.get(name)
    if user is None or time.monotonic() < state.locked_until.get(name, 0.0):
        return None
    if user.password != password:
        state.locked_until[name] = time.monotonic() + state.login_lock_seconds
        return None
    return user


def _bearer(state: State, value: str) -> Caller:
    claims = read_token(state.secret, value)
    if claims is None:
        return Caller()
    grants: dict[str, set[str]] = {}
    for access in claims["access"]:
        if access["type"] == "repository":
            # The last scope of a project wins: Harbor keys a token by project, not by repository.
            grants[access["name"].partition("/")[0]] = set(access["actions"])
    return Caller("token", claims["sub"], grants=grants, issued_at=claims["iat"])


def require_login(caller: Caller) -> None:
    if not caller.authenticated:
        raise HarborError(401, "UNAUTHORIZED", "unauthorized")


def require_system(caller: Caller, resource: str, action: str) -> None:
    require_login(caller)
    if not caller.can_in_system(resource, action):
        raise HarborError(403, "FORBIDDEN", caller.name)


def require_project(
    state: State, caller: Caller, project: Project | None, resource: str, action: str
) -> None:
    if caller.can(state, project, resource, action):
        return
    require_login(caller)
    raise HarborError(403, "FORBIDDEN", "forbidden")
