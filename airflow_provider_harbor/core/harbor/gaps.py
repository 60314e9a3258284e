"""What of a project could not be listed, and when that is so much that it is given up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborServerError,
    HarborStatusError,
    UnexpectedError,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.harbor.records import Gap
from airflow_provider_harbor.core.oci.names import is_repository_name

log = logging.getLogger(__name__)

# So many repositories in a row, and none that could be listed: it is not the repositories.
_FAILURES = 3
_SERVERS_ERRORS = (
    HarborConnectionError,
    HarborAuthError,
    HarborRateLimitError,
    HarborServerError,
)
_REASONS: tuple[tuple[type[HarborBackupError], str], ...] = (
    (UnsettledHarborError, "unsettled"),
    (HarborConnectionError, "connection"),
    (HarborRateLimitError, "rate-limit"),
    (HarborServerError, "server-error"),
    (HarborAuthError, "denied-at-source"),
    (HarborProtocolError, "odd-answer"),
)


class Gaps:
    """The gaps of one walk. One repository that cannot be listed does not stop the others.

    May be shared by threads.

    Args:
        project: Name of the project.
        probe: Asks Harbor for something small that it must be able to answer.
    """

    def __init__(self, project: str, probe: Callable[[], object]) -> None:
        self._project = project
        self._probe = probe
        self._lock = threading.Lock()
        self._gaps: dict[str, Gap] = {}
        self._in_a_row = 0
        self._is_any_listed = False

    def __contains__(self, name: object) -> bool:
        return name in self._gaps

    def __len__(self) -> int:
        return len(self._gaps)

    def sorted(self) -> tuple[Gap, ...]:
        """Return the gaps, sorted by the repositories' names."""
        return tuple(self._gaps[name] for name in sorted(self._gaps))

    def is_ours(self, name: str) -> bool:
        """Tell whether this can be a repository of the project; what cannot is a gap, and left."""
        if is_repository_name(name) and name.startswith(f"{self._project}/"):
            return True
        self._gaps[name] = Gap(
            repository=ascii(name)[1:-1][:80],
            reason="odd-name",
            message="Harbor lists it in this project, where no repository can be called so. "
            "Nothing of it was listed; see what answers for Harbor at this URL",
        )
        return False

    def note_odd_tags(self, name: str, tags: Sequence[str]) -> None:
        """Note that tags of a repository were left out; they are as they may be shown."""
        if tags and name not in self._gaps:
            self._gaps[name] = Gap(
                repository=name,
                reason="odd-name",
                message=f"Harbor lists the tag {tags[0]}, which no tag can be called. It was "
                "left out; see what answers for Harbor at this URL",
            )

    def guard(
        self,
        name: str,
        work: Callable[[str], object],
        *,
        raised: tuple[type[HarborBackupError], ...] = (),
    ) -> None:
        """Do a part of the listing that concerns one repository only.

        Args:
            name: Full name of the repository.
            work: Called with the name. What it raises is a gap.
            raised: What is raised again instead.

        Raises:
            HarborBackupError: Too much has failed, see `fail`.
        """
        try:
            work(name)
        except raised:
            raise
        except HarborBackupError as err:
            self.fail(name, err)
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self.fail(name, UnexpectedError(err))
        else:
            with self._lock:
                self._in_a_row = 0
                self._is_any_listed = True

    def fail(self, name: str, err: HarborBackupError) -> None:
        """Note that a repository could not be listed whole.

        Raises:
            HarborBackupError: It is not the repositories: some failed, and none could be listed;
                or some failed in a row, and Harbor does not answer the probe either.
        """
        is_servers = isinstance(err, _SERVERS_ERRORS)
        with self._lock:
            self._in_a_row += 1
            in_a_row = self._in_a_row
            if is_servers and in_a_row >= _FAILURES and not self._is_any_listed:
                raise err
            if isinstance(err, HarborStatusError) and not err.hint:
                err.hint = "it could not be listed whole"
            reason = next((word for kind, word in _REASONS if isinstance(err, kind)), "error")
            self._gaps[name] = Gap(repository=name, reason=reason, message=str(err))
        if is_servers and in_a_row % _FAILURES == 0:
            # A Harbor that went down midway would else be asked for each repository that is left.
            self._probe()
