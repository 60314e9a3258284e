"""What was asked of the double, counted by kind."""

from __future__ import annotations

import re
import threading
from collections import Counter

_KINDS = [
    (None, r"^/service/token$", "token"),
    ("POST", r"^/v2/.+/blobs/uploads/?\?(.*&)?mount=", "mount"),
    ("*", r"^/v2/.+/blobs/uploads(/[^/]*)?$", "upload"),
    ("*", r"^/v2/.+/blobs/[^/]+$", "blob"),
    ("*", r"^/v2/.+/manifests/[^/]+$", "manifest"),
    (None, r"^/v2/.+/tags/list$", "tags"),
    (None, r"^/v2/.+/referrers/[^/]+$", "referrers"),
    (None, r"^/v2/_catalog$", "catalog"),
    (None, r"^/v2(/|$)", "v2.other"),
    (None, r"^/api/v2\.0/projects/?$", "rest.projects"),
    (None, r"^/api/v2\.0/(projects/[^/]+/)?repositories/?$", "rest.repositories"),
    (None, r"^/api/v2\.0/projects/[^/]+(/repositories/[^/]+)?/artifacts", "rest.artifacts"),
    (None, r"^/api/", "rest.other"),
]
_COMPILED = [(method, re.compile(pattern), kind) for method, pattern, kind in _KINDS]


def kind_of(method: str, target: str) -> str:
    """Return the kind of a request, e.g. `rest.artifacts`, `manifest.get`, `upload.patch`."""
    path = target.partition("?")[0]
    for only, pattern, kind in _COMPILED:
        if only == "*" and pattern.search(path):
            return f"{kind}.{method.lower()}"
        if only == method and pattern.search(target):
            return kind
        if only is None and pattern.search(path):
            return kind
    return "other"


class RequestCounter:
    """Counts requests by kind and keeps a log of them; safe to use from any thread.

    A request counts when its answer begins, so a client that has its answer finds itself counted.

    Attributes:
        log: (method, path with query, status) of each request in order of answering; the status is
            0 where the connection was cut instead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.log: list[tuple[str, str, int]] = []

    def add(self, method: str, target: str, status: int) -> None:
        with self._lock:
            self._counts[kind_of(method, target)] += 1
            self.log.append((method, target, status))

    def __getitem__(self, kind: str) -> int:
        with self._lock:
            return self._counts[kind]

    def total(self) -> int:
        with self._lock:
            return len(self.log)

    def by_kind(self) -> dict[str, int]:
        with self._lock:
            return dict(sorted(self._counts.items()))

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
            self.log.clear()
