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


@pytest.mark.parametrize(
    ("sizes", "asked"), [((600, 400, 1), [2, 1]), ((600, 401), [1, 1]), ((1001, 1), [1, 1])]
)
def test_a_thousand_records_are_asked_for_together_and_no_more(
    sizes: tuple[int, ...], asked: list[int]
) -> None:
    groups = [(f"p/{n}", [record(DIGESTS[0])] * size) for n, size in enumerate(sizes)]
    view = _Recording()
    assert len([plan for chunk in iter_plans(groups, view) for plan in chunk]) == len(sizes)
    assert [len(names) for names in view.asked] == asked


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


def test_what_an_index_names_and_nobody_listed_is_no_circle() -> None:
    """A child that is lost, or is behind a gap: what is there of the others is copied."""
    index = record(DIGESTS[0], "1.0", children=(DIGESTS[1], DIGESTS[5]))
    child = record(DIGESTS[1])
    signature = record(DIGESTS[2], subject=DIGESTS[6], role=Role.ACCESSORY)
    plan = plan_repository("p/a", [index, child, signature], Held())
    assert not plan.excluded
    order = [step.record.digest for step in plan.steps]
    assert sorted(order) == sorted(DIGESTS[:3])
    assert order.index(DIGESTS[1]) < order.index(DIGESTS[0])
    assert {step.record.digest: step.after for step in plan.steps} == {
        DIGESTS[0]: (DIGESTS[1],),
        DIGESTS[1]: (),
        DIGESTS[2]: (),
    }
    assert not any(step.behind for step in plan.steps)


def test_a_step_waits_for_nothing_that_is_there() -> None:
    """A child that only gets a tag, which may be refused, must not keep its index waiting."""
    child = record(DIGESTS[0], "new tag")
    subject = record(DIGESTS[1], "another new tag")
    index = record(DIGESTS[2], "1.0", children=(DIGESTS[0],), subject=DIGESTS[1])
    held = Held(digests=frozenset(DIGESTS[:2]))
    steps = {
        step.record.digest: step
        for step in plan_repository("p/a", [child, subject, index], held).steps
    }
    assert len(steps) == 3
    assert (steps[DIGESTS[2]].after, steps[DIGESTS[2]].behind) == ((), ())
    assert steps[DIGESTS[1]].tags_last


def test_tags_wait_for_no_signature_that_is_there() -> None:
    image = record(DIGESTS[0], "1.0")
    signature = record(DIGESTS[1], role=Role.ACCESSORY, subject=DIGESTS[0])
    held = Held(digests=frozenset([DIGESTS[1]]))
    (step,) = plan_repository("p/a", [image, signature], held).steps
    assert (step.record, step.tags_last) == (image, False)


def test_what_a_dry_run_shows_of_a_step() -> None:
    index = record(DIGESTS[0], "1.0", "latest", size_bytes=50, children=(DIGESTS[1],))
    child = record(DIGESTS[1], size_bytes=40, role=Role.CHILD)
    plan = plan_repository("p/a", [index, child], Held())
    assert plan.counts.to_json() == {"to_copy": 2, "to_tag": 0, "present": 0, "most_bytes": 40}
    assert [step.to_json() for step in plan.steps] == [
        {
            "repository": "p/a",
            "digest": DIGESTS[1],
            "role": "child",
            "needs_content": True,
            "tags": [],
        },
        {
            "repository": "p/a",
            "digest": DIGESTS[0],
            "role": "artifact",
            "needs_content": True,
            "tags": ["1.0", "latest"],
        },
    ]


def test_a_tag_that_is_right_is_not_set_again() -> None:
    """Where it is immutable that would be refused."""
    held = Held(digests=frozenset(DIGESTS[:1]), tags={"v1": DIGESTS[0]})
    (step,) = plan_repository("p/a", [record(DIGESTS[0], "v1", "v2")], held).steps
    assert (step.needs_content, step.tags) == (False, ("v2",))
    plan = plan_repository("p/a", [record(DIGESTS[0], "v1")], held)
    assert (plan.steps, [r.digest for r in plan.present]) == ((), [DIGESTS[0]])


def test_an_index_that_refers_to_something_comes_behind_that_and_its_children() -> None:
    first, *others = sorted(DIGESTS[:4])
    index = record(first, children=tuple(others[:2]), subject=others[2], role=Role.ACCESSORY)
    steps = plan_repository("p/a", [index, *map(record, others)], Held()).steps
    assert [step.record.digest for step in steps] == [*others, first]
    assert (steps[-1].after, steps[-1].behind) == (tuple(others[:2]), (others[2],))
