"""Ctrl-C and its relatives, noticed only where nothing is half done."""

from __future__ import annotations

import signal
import time
from types import FrameType

_SLICE_SECONDS = 0.2


class Interrupted(Exception):
    """Somebody wants the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interruption:
    """Notes the signals that ask a program to end; `pause` raises what was noted.

    An exception from a signal handler could come between the start of a process and the line that
    keeps its number, and then nothing would ever end that process.
    """

    def __init__(self) -> None:
        self._number = 0

    def listen(self) -> None:
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        # Under nohup it is ignored, and shall be.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self._number:
            raise Interrupted(self._number)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until a signal comes; raises `Interrupted` then."""
        end = time.monotonic() + seconds
        self.check()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_SECONDS))
            self.check()
