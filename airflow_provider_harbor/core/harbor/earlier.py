"""What was listed before, and is believed: repositories that did not change since.

Harbor 2.15.2 and newer moves a repository's `update_time` with every push, tag, retag and deletion,
signatures and bills of materials included; and when pulls are counted, which is a false alarm. It
does not move with labels, so that those may come up to seven nights late. Whatever else it should
miss does, too: each repository is really listed at least once in seven nights, and a seventh of
them each night.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from airflow_provider_harbor.core.harbor.models import Repository
from airflow_provider_harbor.core.harbor.records import Record

# A change may show its time before it shows itself: what was being committed while it was listed
# would else be believed for ever. Clocks of Harbor's machines may differ by as much, too.
_QUIET = timedelta(minutes=10)
_BELIEVED_FOR = timedelta(days=7)
# Two runs of one day are one night.
_A_NIGHT = timedelta(hours=12)
# There was no Harbor before; and a calendar ends.
_FIRST_YEAR, _LAST_YEAR = 2016, 9000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A repository as Harbor said it when it was last listed whole, in peace.

    Attributes:
        repository_id, update_time, artifact_count: As `Repository` has them.
        listed_at: When that listing began, with a time zone: by Harbor's clock, or by ours where
            that one is behind.
        user: Who listed it. Another login may see less.
        fingerprint: Of what was listed, see `fingerprint_of`.
    """

    repository_id: int
    update_time: str
    artifact_count: int
    listed_at: datetime
    user: str
    fingerprint: str

    def is_of(self, repository: Repository) -> bool:
        """Tell whether Harbor says the same of the repository now.

        One that was deleted and made again has another id.
        """
        return (self.repository_id, self.update_time, self.artifact_count) == (
            repository.repository_id,
            repository.update_time,
            repository.artifact_count,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what is to be kept of it."""
        return {
            "id": self.repository_id,
            "update_time": self.update_time,
            "artifact_count": self.artifact_count,
            "listed_at": self.listed_at.isoformat(timespec="seconds"),
            "user": self.user,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Seen:
        """Read what `to_json` returned; raises as reading JSON does on anything else."""
        listed_at = datetime.fromisoformat(data["listed_at"])
        if listed_at.tzinfo is None or not _FIRST_YEAR <= listed_at.year < _LAST_YEAR:
            raise ValueError(f"{listed_at} has no time zone, or is no time of a listing")
        return cls(
            repository_id=_of_type(int, data["id"]),
            update_time=_of_type(str, data["update_time"]),
            artifact_count=_of_type(int, data["artifact_count"]),
            listed_at=listed_at,
            user=_of_type(str, data["user"]),
            fingerprint=_of_type(str, data["fingerprint"]),
        )

    @property
    def was_quiet(self) -> bool:
        """Whether its last change was over when the listing began, however slow it was."""
        changed = _moment(self.update_time)
        return changed is not None and changed <= self.listed_at - _QUIET

    def is_due(self, name: str, now: datetime) -> bool:
        """Tell whether it is time to list a repository really, whatever Harbor says of it.

        Args:
            name: Full name of the repository; it decides which night is its own.
            now: With a time zone.
        """
        age = now - self.listed_at
        # A time to come was taken from a wrong clock, and is believed as little as an old one.
        if abs(age) >= _BELIEVED_FOR:
            return True
        day = now.astimezone(timezone.utc).toordinal()
        return (zlib.crc32(name.encode()) + day) % 7 == 0 and age > _A_NIGHT


class Beliefs:
    """What one walk believes of an earlier one, and what it leaves to the next one.

    Args:
        earlier: What an earlier walk has seen, empty where nothing was there; None for unknown.
        user: Who lists now.
        listed_at: When the walk began, by Harbor's clock, see `Clock.now`; None where that is not
            known, or where Harbor does not tell changes. Nothing is believed then.
        now: The time by our clock.

    Attributes:
        seen: What the next walk may believe, by name.
    """

    def __init__(
        self,
        earlier: Mapping[str, Seen] | None,
        user: str,
        listed_at: datetime | None,
        now: datetime,
    ) -> None:
        self._earlier = earlier
        self._user = user
        self._listed_at = listed_at
        self._now = now
        self.seen: dict[str, Seen] = {}

    @property
    def knows_anything(self) -> bool:
        """Whether anything can be believed at all."""
        return self._listed_at is not None

    @property
    def was_empty(self) -> bool:
        """Whether nothing was there."""
        return self._earlier == {} and self.knows_anything

    def believes(self, repository: Repository) -> bool:
        """Tell whether a repository needs no listing; if so the next walk may believe it, too."""
        seen = self._find(repository)
        if seen is None or seen.is_due(repository.name, self._now):
            return False
        self.seen[repository.name] = seen
        return True

    def is_as_seen(self, repository: Repository, records: Iterable[Record]) -> bool:
        """Tell whether what was listed, sorted by digest, is what was there before."""
        seen = self._find(repository)
        return seen is not None and seen.fingerprint == fingerprint_of(records)

    def note(self, repository: Repository, records: Iterable[Record]) -> None:
        """Note what was listed in peace, for the next walk.

        Args:
            repository: As Harbor said it before it was listed, and again after that.
            records: All that was listed of it, sorted by digest.
        """
        if self._listed_at is None or repository.update_time is None:
            return
        seen = Seen(
            repository_id=repository.repository_id,
            update_time=repository.update_time,
            artifact_count=repository.artifact_count,
            listed_at=self._listed_at.replace(microsecond=0),
            user=self._user,
            fingerprint="",
        )
        if seen.was_quiet:  # else it would never be believed
            self.seen[repository.name] = replace(seen, fingerprint=fingerprint_of(records))

    def _find(self, repository: Repository) -> Seen | None:
        """Return how a repository was seen that did not change since, as Harbor says."""
        seen = (self._earlier or {}).get(repository.name)
        if seen is None or self._listed_at is None or not seen.was_quiet:
            return None
        return seen if seen.user == self._user and seen.is_of(repository) else None


def fingerprint_of(records: Iterable[Record]) -> str:
    """Return a text that is another one wherever records differ in anything that can change.

    Args:
        records: Of one repository, sorted by digest.
    """
    hashed = hashlib.sha256()
    for record in records:
        parts = [record.digest, record.role.value, record.subject, record.platform]
        for names in (record.parents, record.children, record.labels):
            parts += [str(len(names)), *names]
        for tag in record.tags:
            parts += [tag.name, tag.push_time or ""]
        hashed.update("\0".join(parts).encode(errors="surrogatepass"))
        hashed.update(b"\n\0\n")
    return hashed.hexdigest()


def _of_type(kind: type[T], value: object) -> T:
    if isinstance(value, kind):
        return value
    raise TypeError(f"{value!r} is not {kind.__name__}")


def _moment(text: str) -> datetime | None:
    """Return a time as Harbor prints it (RFC 3339); None where it is something else."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
