"""What ends the work of a thread that is told to stop, as Ctrl-C tells the main one."""

from __future__ import annotations


class StoppedError(BaseException):
    """The work is to stop: something else failed or was interrupted.

    As `KeyboardInterrupt` it is no error of what was being done, so that nothing keeps it as one.
    """
