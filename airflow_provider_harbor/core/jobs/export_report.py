"""How an export ended: what is in the layout, and what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.human import human_count, human_size


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFailure:
    """An artifact that is not in the layout.

    Attributes:
        message: Why, and what to do.
    """

    digest: str
    tags: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        tags = f" (tag {', '.join(self.tags)})" if self.tags else ""
        return f"{self.digest}{tags}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Return the failure by names."""
        return {"digest": self.digest, "tags": list(self.tags), "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """How an export ended.

    Attributes:
        tags: Names of the tags in the layout, sorted.
        manifests: Number of manifests in the layout.
        linked, copied: Number of files that are hard links of the store's, and that are not; the
            lists of referrers are among the latter.
        size_bytes: Of all content of the layout.
        foreign: Number of layers that the source did not hold either, and that are not there.
        failures: What is not in the layout, but should be.
    """

    tags: tuple[str, ...] = ()
    manifests: int = 0
    linked: int = 0
    copied: int = 0
    size_bytes: int = 0
    foreign: int = 0
    failures: tuple[ExportFailure, ...] = ()

    def summary(self) -> str:
        """Return it as a sentence."""
        text = (
            f"{human_count(self.manifests, 'manifest')}, {human_count(len(self.tags), 'tag')}, "
            f"{human_size(self.size_bytes)} in {human_count(self.linked + self.copied, 'file')} "
            f"({self.linked:,} linked, {self.copied:,} copied)"
        )
        if self.foreign:
            text += f"; {human_count(self.foreign, 'foreign layer')} left to where it comes from"
        if self.failures:
            text += f"; NOT exported: {human_count(len(self.failures), 'artifact')}"
        return text

    def to_json(self) -> dict[str, Any]:
        """Return the report by names."""
        return {
            "tags": list(self.tags),
            "manifests": self.manifests,
            "linked": self.linked,
            "copied": self.copied,
            "size_bytes": self.size_bytes,
            "foreign": self.foreign,
            "failures": [failure.to_json() for failure in self.failures],
        }
