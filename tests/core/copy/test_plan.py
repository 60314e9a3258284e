"""The plan, by its algebra: whatever the records, the order holds and nothing is there twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_harbor.core.copy.places import Group, View
from airflow_provider_harbor.core.copy.plan import (
    PlanCounts,
    RepositoryPlan,
    TagRule,
    iter_plans,
    plan_repository,
)
from airflow_provider_harbor.core.exceptions import HarborServerError
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.known import Held

DIGESTS = [digest_of(str(number).encode()) for number in range(12)]


@st.composite
def some_records(draw: st.DrawFn) -> list[Record]:
    """Draw repositories whose artifacts refer to earlier ones, as digests force them to."""
    records = []
    for repository in draw(st.sets(st.sampled_from(["p/a", "p/b", "p/c/d"]))):
        number = draw(st.integers(0, len(DIGESTS)))
        order = draw(st.permutations(DIGESTS))[:number]
        for position, digest in enumerate(order):
            earlier = order[:position]
            children = draw(st.sets(st.sampled_from(earlier), max_size=3)) if earlier else set()
            is_referrer = bool(earlier) and draw(st.booleans())
            records.append(
                Record(
                    project="p",
                    repository=repository,
                    digest=digest,
                    role=Role.ACCESSORY if is_referrer else Role.ARTIFACT,
                    size_bytes=draw(st.integers(0, 1000)),
                    children=tuple(sorted(children)),
                    subject=draw(st.sampled_from(earlier)) if is_referrer else "",
                    tags=tuple(
                        Tag(name=f"t{position}-{n}") for n in range(draw(st.integers(0, 2)))
                    ),
                )
            )
    return draw(st.permutations(records))


@st.composite
def some_held(draw: st.DrawFn, records: list[Record]) -> dict[str, Held]:
    held: dict[str, Held] = {}
    for repository, listed in by_repository(records).items():
        full = Held.of_records(record for record in listed if draw(st.booleans()))
        tags = {tag: digest for tag, digest in full.tags.items() if draw(st.booleans())}
        held[repository] = Held(digests=full.digests, tags=tags)
    return held


def by_repository(records: list[Record]) -> dict[str, list[Record]]:
    grouped: dict[str, list[Record]] = {}
    for one in sorted(records, key=lambda item: item.repository):
        grouped.setdefault(one.repository, []).append(one)
    return grouped


def plan_all(records: list[Record], held: dict[str, Held]) -> list[RepositoryPlan]:
    return [
        plan_repository(name, listed, held.get(name, Held()))
        for name, listed in by_repository(records).items()
    ]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_record_is_a_step_or_present_and_never_both(data: st.DataObject) -> None:
    records = data.draw(some_records())
    plans = plan_all(records, data.draw(some_held(records)))
    keys = [step.record.key for plan in plans for step in plan.steps]
    keys += [record.key for plan in plans for record in plan.present]
    assert sorted(keys) == sorted(record.key for record in records)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_a_step_needs_comes_before_it_or_is_there(data: st.DataObject) -> None:
    records = data.draw(some_records())
    held = data.draw(some_held(records))
    for plan in plan_all(records, held):
        there = held[plan.repository].digests
        sent: set[str] = set()
        for step in plan.steps:
            record = step.record
            for digest in (*record.children, *([record.subject] if record.subject else [])):
                assert digest in there or digest in sent
                waits_for = step.after if digest in record.children else step.behind
                assert digest in there or digest in waits_for
            if step.needs_content:
                assert record.digest not in there
                sent.add(record.digest)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_after_the_plan_nothing_is_left_to_do(data: st.DataObject) -> None:
    records = data.draw(some_records())
    grouped = by_repository(records)
    plans = plan_all(records, {name: Held.of_records(grouped[name]) for name in grouped})
    assert not [step for plan in plans for step in plan.steps]
    assert sum(len(plan.present) for plan in plans) == len(records)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_plan_does_not_depend_on_the_order_of_the_records(data: st.DataObject) -> None:
    records = data.draw(some_records())
    held = data.draw(some_held(records))
    assert plan_all(records, held) == plan_all(records[::-1], held)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_place_without_tags_gets_content_and_no_tags(data: st.DataObject) -> None:
    records = data.draw(some_records())
    for name, listed in by_repository(records).items():
        held = data.draw(some_held(listed))[name]
        plan = plan_repository(name, listed, held, TagRule.NO_TAGS)
        assert not [step for step in plan.steps if step.tags or not step.needs_content]
        assert {r.digest for r in plan.present} == {r.digest for r in listed} & held.digests


class _Recording(View):
    """A place that holds nothing, and writes down what it is asked for together."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def find(self, groups: Sequence[Group]) -> dict[str, Held]:
        self.asked.append([name for name, _ in groups])
        return {name: Held() for name, _ in groups}


def test_repositories_are_asked_for_some_at_a_time_and_a_large_one_alone() -> None:
    groups = [(f"p/small{n:03}", [record(DIGESTS[0])]) for n in range(100)]
    groups.insert(70, ("p/small069x", [record(DIGESTS[0])] * 1500))
    view = _Recording()
    plans = [plan for chunk in iter_plans(groups, view) for plan in chunk]
    assert [plan.repository for plan in plans] == [name for name, _ in groups]
    assert [len(names) for names in view.asked] == [64, 6, 1, 30]


def record(digest: str, *tags: str, **fields: object) -> Record:
    values = {"project": "p", "repository": "p/a", "role": Role.ARTIFACT, **fields}
    return Record(digest=digest, tags=tuple(Tag(name=t) for t in tags), **values)  # type: ignore[arg-type]


def test_tags_wait_for_the_signatures_that_come_with_their_artifact() -> None:
    image = record(DIGESTS[0], "1.0")
    signature = record(DIGESTS[1], "sig", role=Role.ACCESSORY, subject=DIGESTS[0])
    first, second = plan_repository("p/a", [signature, image], Held()).steps
    assert (first.record, first.tags_last) == (image, True)
    assert (second.record, second.tags_last) == (signature, False)
    assert (second.after, second.behind) == ((), (DIGESTS[0],))


def test_a_tag_that_names_something_else_there_is_set_again() -> None:
    held = Held(digests=frozenset(DIGESTS[:2]), tags={"v1": DIGESTS[1]})
    (step,) = plan_repository("p/a", [record(DIGESTS[0], "v1")], held).steps
    assert (step.needs_content, step.tags) == (False, ("v1",))


@pytest.mark.parametrize(
    "fields",
    [
        ({"children": (DIGESTS[1],)}, {"children": (DIGESTS[0],)}),
        ({"children": (DIGESTS[1],)}, {"subject": DIGESTS[0]}),
        ({"children": (DIGESTS[1],)}, {"children": (DIGESTS[1],)}),
        ({"subject": DIGESTS[1]}, {"subject": DIGESTS[1]}),
    ],
    ids=["two indexes", "an index and its subject", "a child of itself", "a subject of itself"],
)
def test_what_is_listed_in_a_circle_is_excluded_and_the_rest_goes_on(
    fields: tuple[dict[str, object], dict[str, object]],
) -> None:
    circle = [record(DIGESTS[n], **values) for n, values in enumerate(fields)]
    other = record(DIGESTS[2])
    plan = plan_repository("p/a", [*circle, other], Held())
    assert {r.digest for r, error in plan.excluded if "circle" in str(error)} == set(DIGESTS[:2])
    assert [step.record for step in plan.steps] == [other]


def test_nothing_is_planned_where_the_destination_could_not_be_asked() -> None:
    error = HarborServerError(status=500)
    held = Held(error=error)
    plan = plan_repository("p/a", [record(DIGESTS[0]), record(DIGESTS[1])], held)
    assert [(r.digest, e) for r, e in plan.excluded] == [(d, error) for d in sorted(DIGESTS[:2])]
    assert not plan.steps


@pytest.mark.parametrize("rule", [TagRule.KEEP_NEWER, TagRule.KEEP_OTHER])
def test_a_tag_that_names_something_else_is_left_and_those_that_are_not_there_are_set(
    rule: TagRule,
) -> None:
    held = Held(digests=frozenset(DIGESTS[:2]), tags={"v1": DIGESTS[1]})
    plan = plan_repository("p/a", [record(DIGESTS[0], "v1", "v2")], held, rule)
    (step,) = plan.steps
    assert (step.needs_content, step.tags) == (False, ("v2",))
    assert plan.withheld == {DIGESTS[0]: ("v1",)}
    assert plan.rule is rule


def test_a_dry_run_says_how_much_there_is_to_do() -> None:
    held = Held(digests=frozenset([DIGESTS[1], DIGESTS[2]]))
    plan = plan_repository(
        "p/a",
        [
            record(DIGESTS[0], "new", size_bytes=10),
            record(DIGESTS[1], "retagged", size_bytes=20),
            record(DIGESTS[2], size_bytes=40),
        ],
        held,
    )
    assert plan.counts == PlanCounts(to_copy=1, to_tag=1, present=1, most_bytes=10)
    assert plan.steps[0].to_json()["digest"] == DIGESTS[0]
