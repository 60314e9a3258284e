"""Secrets that an import of settings makes: each goes into a file at once, or is shown once."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.jobs.settings.made_robots import MadeRobots, Told

_IS_THERE = (
    "--new-secrets: {} is there already, and may have secrets of an earlier import. Name a file "
    "that is not there yet"
)


class NewSecrets:
    """Secrets that were made: in a file, each as soon as it is there, or shown at the end.

    They are shown on the standard error: the standard output may be a file that others read, or a
    pipe that nobody reads to its end.

    Args:
        path: The file, which must not be there yet; None to show them.
        console: Where they are shown.

    Attributes:
        is_done: Whether the import came to its end.

    Raises:
        HarborConfigurationError: The file is there already, or cannot be written.
    """

    def __init__(self, path: str | None, console: Console) -> None:
        self.path = Path(path) if path else None
        self.is_done = False
        self._console = console
        self._made: dict[str, str] = {}
        self._kept: list[str] = []
        self._shown: list[str] = []
        if self.path:
            self._begin(self.path)

    def _begin(self, path: Path) -> None:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._write(path, {})
        except FileExistsError:
            raise HarborConfigurationError(_IS_THERE.format(path)) from None
        except OSError as err:
            raise HarborConfigurationError(f"--new-secrets: {path}: {err.strerror}") from None

    def add(self, key: str, text: str) -> Told:
        """Keep a secret.

        Raises:
            HarborConfigurationError: It cannot be written. It is shown then, and those of before
                are in the file.
        """
        self._made[key] = text
        if not self.path:
            return Told.LATER
        try:
            self._write(self.path, {k: self._made[k] for k in (*self._kept, key)})
        except OSError as err:
            why = f"{self.path}: {err.strerror}"
            if self._show([key], f"A new secret that could not be written to {why}:"):
                self._shown.append(key)
            raise HarborConfigurationError(f"--new-secrets: {why}") from None
        self._kept.append(key)
        return Told.NOW

    @staticmethod
    def _write(path: Path, data: dict[str, str]) -> None:
        """Write the file beside, then in its place: a full disk must not take what it has."""
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
                json.dump(data, file, indent=2, ensure_ascii=False)
                file.flush()
                os.fsync(number)
            beside.replace(path)
        except OSError:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        with suppress(OSError):  # not all file systems can
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def leave_no_empty_file(self) -> None:
        """Delete the file where nothing was begun, such as by a wrong login."""
        if self.path and not self._kept and not self.is_done:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def show(self, robots: MadeRobots) -> None:
        """Show those that are in no file; robots whose secrets are told are remembered no more."""
        left = [key for key in self._made if key not in (*self._kept, *self._shown)]
        if left and self._show(left, "New secrets, shown this once:"):
            self._shown += left
        for key in self._shown:
            robots.end(key)

    def _show(self, keys: list[str], heading: str) -> bool:
        """Show secrets; returns whether they could be written."""
        lines = [heading, *(f"  {key}  {self._made[key]}" for key in keys)]
        return all([self._console.error(line) for line in lines])

    def lines(self) -> list[str]:
        """Return where they are, without any of them."""
        if not self._kept:
            return []
        return [f"The new secrets are in {self.path}: {', '.join(self._kept)}"]
