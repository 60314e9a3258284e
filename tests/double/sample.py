"""A realistic sample."""

from __future__ import annotations

from .state import State


def fill(state: State) -> None:
    """Fill an empty state with the sample."""
