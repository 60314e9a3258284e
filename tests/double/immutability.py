"""Rules that make tags immutable, and the globs they are written in."""

from __future__ import annotations

import re
from typing import Any

from .model import Repository


def is_immutable(repository: Repository, tag: str) -> bool:
    """Return whether a rule of the project makes a tag immutable."""
    return any(
        not rule.get("disabled")
        and all(
            _selected(selector, repository.short_name)
            for selector in rule["scope_selectors"].get("repository", [])
        )
        and all(_selected(selector, tag) for selector in rule["tag_selectors"])
        for rule in repository.project.immutable_rules
    )


def _selected(selector: dict[str, Any], name: str) -> bool:
    matches = doublestar(selector["pattern"]).match(name) is not None
    excludes = str(selector["decoration"]).lower().endswith("excludes")
    return matches != excludes


def doublestar(pattern: str) -> re.Pattern[str]:
    """Return a doublestar glob as an expression: `*` is within a path component, `**` across."""
    out, index = "", 0
    while index < len(pattern):
        char = pattern[index]
        if pattern.startswith("**", index):
            out, index = out + ".*", index + 2
        elif char == "{" and "}" in pattern[index:]:
            end = pattern.index("}", index)
            choices = pattern[index + 1 : end].split(",")
            out += "(?:" + "|".join(doublestar(each).pattern[:-2] for each in choices) + ")"
            index = end + 1
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
            index += 1
    return re.compile(out + r"\Z")
