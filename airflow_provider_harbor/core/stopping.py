"""Telling threads to stop, as Ctrl-C tells the main one."""

from __future__ import annotations

import threading


class StoppedError(BaseException):
    """The work is to stop: something else failed or was interrupted.

    As `KeyboardInterrupt` it is no error of what was being done, so that nothing keeps it as one.
    """


class Stop:
    """Whether work is to stop. May be shared by threads.

    Attributes:
        event: Set where it is.
    """

    def __init__(self) -> None:
        self.event = threading.Event()

    @property
    def is_set(self) -> bool:
        """Whether it is to stop."""
        return self.event.is_set()

    def set(self) -> None:
        """Have it stop."""
        self.event.set()

    def check(self) -> None:
        """Do nothing, or end the work.

        Raises:
            StoppedError: It is to stop.
        """
        if self.event.is_set():
            raise StoppedError
