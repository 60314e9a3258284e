"""Settings as bodies of requests, for tests of the double."""

from __future__ import annotations

from typing import Any

import requests

RULE = {
    "action": "immutable",
    "template": "immutable_template",
    "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "v*"}],
    "scope_selectors": {
        "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "a**"}]
    },
}
HOOK = {
    "name": "hook",
    "enabled": True,
    "event_types": ["PUSH_ARTIFACT"],
    "targets": [
        {"type": "http", "address": "https://hooks.example.com/x", "auth_header": "Bearer secret"}
    ],
}


def retention(number: int, cron: str = "", **rule: Any) -> dict[str, Any]:
    row = {
        "action": "retain",
        "template": "latestPushedK",
        "params": {"latestPushedK": 3},
        "tag_selectors": RULE["tag_selectors"],
        "scope_selectors": RULE["scope_selectors"],
    }
    return {
        "algorithm": "or",
        "scope": {"level": "project", "ref": number},
        "trigger": {"kind": "Schedule", "settings": {"cron": cron}},
        "rules": [{**row, **rule}],
    }


def number_of(answer: requests.Response) -> int:
    """Return the number of what was made."""
    assert answer.status_code == 201, answer.text
    return int(answer.headers["Location"].rpartition("/")[2])
