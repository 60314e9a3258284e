"""All that a robot account can be allowed to do (src/common/rbac/const.go)."""

from __future__ import annotations

Table = dict[str, list[tuple[str, str]]]

# Resource and actions; what came with a version stands behind it.
_SYSTEM = """
audit-log list
preheat-instance read create delete list update
project list create
replication-policy read create delete list update
replication read create list
replication-adapter list
registry read create delete list update
scan-all read update stop create
system-volumes read
garbage-collection read create list update stop
purge-audit read create list update stop
jobservice-monitor list stop
scanner read create delete list update
label read create delete update
security-hub read list
catalog read
quota read list
2.12
robot create read list delete
user create read update list delete
ldap-user create list
quota update
user-group create read update list delete
"""
_PROJECT = """
log list
project read delete update
metadata read create delete list update
repository read update delete list pull push
artifact read create list delete
scan create read stop
sbom create stop read
tag create list delete
accessory list
artifact-addition read
artifact-label create delete
scanner create read
preheat-policy read create delete list update
immutable-tag create delete list update
notification-policy read create delete list update
tag-retention read create delete list update
label read create delete list update
quota read
2.12
robot create read list delete
export-cve create read
member create read update list delete
"""


def grantable(version: tuple[int, ...]) -> Table:
    """Return what a version knows, by the kind of permission."""
    return {"system": _read(_SYSTEM, version), "project": _read(_PROJECT, version)}


def _read(text: str, version: tuple[int, ...]) -> list[tuple[str, str]]:
    rows = []
    for line in text.split("\n"):
        if line[:1].isdigit():
            if version < tuple(int(part) for part in line.split(".")):
                break
            continue
        resource, *actions = line.split() or [""]
        rows += [(resource, action) for action in actions]
    return rows
