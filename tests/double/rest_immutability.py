"""REST: rules of a project that make tags immutable."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from .rest_projects import checked_project
from .routes import route
from .state import State
from .tables import Row, columns, listed, shown
from .wire import HarborError, Page, Request, bad_request, created, not_found

RULES = "/projects/{project}/immutabletagrules"
FIELDS = columns("id", "disabled")
# What makes two rules the same.
CONTENT = ("action", "scope_selectors", "tag_selectors", "template")


def rule_json(row: Row) -> dict[str, Any]:
    return shown(
        row, "action", "disabled", "id", "priority", "scope_selectors", "tag_selectors", "template"
    )


def _read(body: dict[str, Any]) -> Row:
    row = {key: body.get(key) for key in (*CONTENT, "priority")}
    return {**row, "tag_selectors": row["tag_selectors"] or []}


def _same(one: Row, other: Row) -> bool:
    return all(
        json.dumps(one[key], sort_keys=True) == json.dumps(other[key], sort_keys=True)
        for key in CONTENT
    )


@route("GET", RULES)
def list_rules(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = checked_project(state, request, name, "immutable-tag", "list")
    return listed(request, page, project.immutable_rules, FIELDS, rule_json)


@route("POST", RULES)
def create_rule(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, "immutable-tag", "create")
    rule = _read(request.json())
    if any(_same(rule, each) for each in project.immutable_rules):
        raise HarborError(409, "CONFLICT", "immutable rule already exists")
    # A new rule is in force, whatever it says of being disabled.
    number = state.next_id("immutable_rule")
    project.immutable_rules.append({**rule, "disabled": False, "id": number})
    return created(f"{request.raw_path.rstrip('/')}/{number}")


@route("PUT", RULES + "/{rule}")
def update_rule(state: State, request: Request, name: str, number: str) -> Response:
    body = request.json()
    if str(body.get("id", 0)) != number:
        text = "the immutable_rule_id doesn't match the id in the payload body of ImmutableRule"
        raise bad_request(f"bad request: {text}")
    project = checked_project(state, request, name, "immutable-tag", "update")
    rule = _found(project.immutable_rules, number)
    disabled = bool(body.get("disabled"))
    # To switch it on or off is one thing, all else another: never both at once.
    if rule["disabled"] != disabled:
        rule["disabled"] = disabled
    else:
        rule.update(_read(body))
    project.immutable_rules.remove(rule)
    project.immutable_rules.append(rule)
    return Response(status_code=200)


@route("DELETE", RULES + "/{rule}")
def delete_rule(state: State, request: Request, name: str, number: str) -> Response:
    project = checked_project(state, request, name, "immutable-tag", "delete")
    project.immutable_rules.remove(_found(project.immutable_rules, number))
    return Response(status_code=200)


def _found(rules: list[Row], number: str) -> Row:
    for rule in rules:
        if str(rule["id"]) == number:
            return rule
    raise not_found(f"the immutable tag rule {number} not found")
