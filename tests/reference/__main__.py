"""Writes `docs/reference.md`."""

from __future__ import annotations

from tests.reference.page import PAGE, render

PAGE.write_text(render())
