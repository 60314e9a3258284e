"""The plan, by its algebra: whatever the records, the order holds and nothing is there twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_harbor.core.copy.plan import plan_copy
from airflow_provider_harbor.core.exceptions import HarborServerError
from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.known import Holdings

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
def some_holdings(draw: st.DrawFn, records: list[Record]) -> Holdings:
    held = [record for record in records if draw(st.booleans())]
    full = Holdings.of_records(held)
    tags = {
        repository: {tag: digest for tag, digest in named.items() if draw(st.booleans())}
        for repository, named in full.tags.items()
    }
    return Holdings(digests=full.digests, tags=tags)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_record_is_a_step_or_present_and_never_both(data: st.DataObject) -> None:
    records = data.draw(some_records())
    plan = plan_copy(records, data.draw(some_holdings(records)))
    keys = [step.record.key for step in plan.steps] + [record.key for record in plan.present]
    assert sorted(keys) == sorted(record.key for record in records)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_a_step_needs_comes_before_it_or_is_there(data: st.DataObject) -> None:
    records = data.draw(some_records())
    held = data.draw(some_holdings(records))
    plan = plan_copy(records, held)
    sent: set[tuple[str, str]] = set()
    for step in plan.steps:
        record = step.record
        for digest in (*record.children, *([record.subject] if record.subject else [])):
            is_there = digest in held.digests.get(record.repository, ())
            assert is_there or (record.repository, digest) in sent
            waits_for = step.after if digest in record.children else step.behind
            assert is_there or digest in waits_for
        if step.needs_content:
            assert not held.has(record)
            sent.add(record.key)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_after_the_plan_nothing_is_left_to_do(data: st.DataObject) -> None:
    records = data.draw(some_records())
    plan = plan_copy(records, Holdings.of_records(records))
    assert plan.steps == ()
    assert len(plan.present) == len(records)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_plan_does_not_depend_on_the_order_of_the_records(data: st.DataObject) -> None:
    records = data.draw(some_records())
    held = data.draw(some_holdings(records))
    assert plan_copy(records, held) == plan_copy(records[::-1], held)


def record(digest: str, *tags: str, **fields: object) -> Record:
    values = {"project": "p", "repository": "p/a", "role": Role.ARTIFACT, **fields}
    return Record(digest=digest, tags=tuple(Tag(name=t) for t in tags), **values)  # type: ignore[arg-type]


def test_tags_wait_for_the_signatures_that_come_with_their_artifact() -> None:
    image = record(DIGESTS[0], "1.0")
    signature = record(DIGESTS[1], "sig", role=Role.ACCESSORY, subject=DIGESTS[0])
    first, second = plan_copy([signature, image], Holdings()).steps
    assert (first.record, first.tags_last) == (image, True)
    assert (second.record, second.tags_last) == (signature, False)
    assert (second.after, second.behind) == ((), (DIGESTS[0],))


def test_a_tag_that_names_something_else_there_is_set_again() -> None:
    held = Holdings(digests={"p/a": frozenset(DIGESTS[:2])}, tags={"p/a": {"v1": DIGESTS[1]}})
    (step,) = plan_copy([record(DIGESTS[0], "v1")], held).steps
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
    plan = plan_copy([*circle, other], Holdings())
    assert {r.digest for r, error in plan.excluded if "circle" in str(error)} == set(DIGESTS[:2])
    assert [step.record for step in plan.steps] == [other]


def test_nothing_is_planned_where_the_destination_could_not_be_asked() -> None:
    error = HarborServerError(status=500)
    held = Holdings(unknown={"p/a": error})
    plan = plan_copy([record(DIGESTS[0]), record(DIGESTS[1])], held)
    assert [(r.digest, e) for r, e in plan.excluded] == [(d, error) for d in sorted(DIGESTS[:2])]
    assert not plan.steps


def test_an_older_inventory_moves_no_tag_but_sets_those_that_are_not_there() -> None:
    held = Holdings(digests={"p/a": frozenset(DIGESTS[:2])}, tags={"p/a": {"v1": DIGESTS[1]}})
    wanted = record(DIGESTS[0], "v1", "v2")
    plan = plan_copy([wanted], held, moves_tags=False)
    (step,) = plan.steps
    assert (step.needs_content, step.tags) == (False, ("v2",))
    assert plan.withheld == {wanted.key: ("v1",)}


def test_a_dry_run_says_how_much_there_is_to_do() -> None:
    held = Holdings(digests={"p/a": frozenset([DIGESTS[1], DIGESTS[2]])})
    shown = plan_copy(
        [
            record(DIGESTS[0], "new", size_bytes=10),
            record(DIGESTS[1], "retagged", size_bytes=20),
            record(DIGESTS[2], size_bytes=40),
        ],
        held,
    ).to_json()
    assert (shown["to_copy"], shown["to_tag"], shown["present"], shown["most_bytes"]) == (
        1,
        1,
        1,
        10,
    )
    assert shown["steps"][0]["digest"] == DIGESTS[0]
