"""What a run comes to, as one sum whose parts add up, with what is not known shown as that.

The words, which are the same in every output for people:

    manifest     whatever has a digest in a repository; each is one of the next four
    artifact     what Harbor's list of a repository shows
    child        a manifest that an index lists, mostly one for each platform
    accessory    a signature, an SBOM, or whatever else refers to another manifest
    attestation  a child that says how an image was built; it is no digest of the inventory, and is
                 copied with its index
    digest       an artifact, a child or an accessory

    new          it was not where the content goes, and is now
    unchanged    it was there already
    left out     it is not there, for a reason that is no failure
    failed       it is not there
    not known    its project stopped before that was clear
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_harbor.core.copy.outcome import (
    UNCHANGED,
    WORDS,
    Status,
    parts_in_words,
    sum_in_words,
)
from airflow_provider_harbor.core.harbor.records import Counts
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.results import ProjectResult

NOT_KNOWN = "not known"
_SHOWN_PROJECTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the manifests of a run came to.

    Attributes:
        parts: How many ended in which way, by the word for it; in the order to show them in.
        unlisted: Projects that could not be listed: nobody knows how many manifests they have.
        gaps: How many repositories could not be listed whole; likewise.
    """

    parts: Mapping[str, int]
    unlisted: tuple[str, ...] = ()
    gaps: int = 0

    @property
    def total(self) -> int:
        """How many manifests were listed: the sum of the parts."""
        return sum(self.parts.values())

    @property
    def unknown(self) -> str:
        """What is in no number, in words; empty where everything is."""
        parts = []
        if self.unlisted:
            names = ", ".join(self.unlisted[:_SHOWN_PROJECTS])
            more = len(self.unlisted) - _SHOWN_PROJECTS
            names += f" and {more:,} more" if more > 0 else ""
            parts.append(f"{human_count(len(self.unlisted), 'project')} ({names})")
        if self.gaps:
            parts.append(human_count(self.gaps, "repository"))
        return f"what {' and '.join(parts)} hold{'' if self._is_plural else 's'}" if parts else ""

    @property
    def _is_plural(self) -> bool:
        return len(self.unlisted) + self.gaps > 1

    @property
    def row(self) -> str:
        """The sum and its parts, where it is clear that manifests are counted."""
        return ": ".join(filter(None, (f"{self.total:,}", parts_in_words(self.parts))))

    def __str__(self) -> str:
        return sum_in_words(self.parts)


def sum_up(projects: Iterable[ProjectResult], missing: Iterable[str]) -> Totals:
    """Return what the projects of a run come to.

    Args:
        projects: How those ended that left a result.
        missing: Names of those that left none.
    """
    parts: Counter[str] = Counter()
    unlisted, gaps = list(missing), 0
    for result in projects:
        gaps += len(result.gaps)
        if result.inventory is None:
            unlisted.append(result.project)
            continue
        ended = _ends_of(result)
        parts.update(ended)
        parts[NOT_KNOWN] += max(result.inventory.counts.records - sum(ended.values()), 0)
    order = ("to copy", "to tag", *WORDS.values(), NOT_KNOWN)
    return Totals(
        parts={word: parts[word] for word in order if word in parts},
        unlisted=tuple(sorted(unlisted)),
        gaps=gaps,
    )


def _ends_of(result: ProjectResult) -> dict[str, int]:
    if (copy := result.copy) is not None:
        return {
            WORDS[Status.COPIED]: copy.copied,
            UNCHANGED: copy.present,
            WORDS[Status.SKIPPED]: copy.skipped,
            WORDS[Status.FAILED]: copy.failed,
        }
    if (plan := result.plan) is not None:
        return {"to copy": plan.to_copy, "to tag": plan.to_tag, UNCHANGED: plan.present}
    return {}


def kinds_in_words(counts: Counts) -> str:
    """Return what the manifests of an inventory are; they are as many as the sum of these."""
    kinds = (
        f"{human_count(counts.artifacts, 'artifact')}, {_children(counts.children)} and "
        f"{human_count(counts.accessories, 'accessory')}"
    )
    digests = human_count(counts.digests, "digest")
    return f"{kinds} are {digests}; and {human_count(counts.attestations, 'attestation')}"


def _children(number: int) -> str:
    return f"{number:,} {'child' if number == 1 else 'children'}"
