"""Attempts: which producers a newer run of the work supersedes, for any family of processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.process_end import Attempt
from standpipe_server.broker.lifecycle.attempts import (
    has_open_children,
    is_newer,
    numbered_by,
    place_producers,
    with_number,
)
from standpipe_server.broker.messages.parsed_message import read_lineage
from standpipe_server.broker.values.state import AttemptNumbers, InvocationState, Lineage, ProducerState, replace

INVOCATION = InvocationState(pk=1, id="inv", created_at=0, open_within=60.0, settle=10.0, lease_seconds=60.0)
NAMES = ["a", "b", "c", "d", "anonymous"]
attempts = st.sampled_from([(), (1,), (1, 1), (2,)])
lineages = st.builds(
    Lineage,
    role=st.sampled_from([None, None, "supervisor"]),
    parent=st.sampled_from([None, *NAMES]),
    own_attempt=st.none() | attempts,
    rank_attempt=attempts,
    attempt_name=st.sampled_from([None, "pod-a", "pod-b"]),
    launcher_attempt=attempts,
)
families = st.lists(
    st.builds(
        ProducerState,
        pk=st.integers(1, 99),
        name=st.sampled_from(NAMES),
        opened=st.integers(0, 1),
        closed=st.integers(0, 1),
        process=st.none() | st.builds(lambda rank: {"rank": rank}, st.integers(0, 1)),
        lineage=lineages,
    ),
    max_size=5,
    unique_by=lambda producer: producer.name,
)
given_numbers = st.builds(
    AttemptNumbers,
    launcher=attempts,
    names=st.dictionaries(st.sampled_from(["pod-a", "pod-b"]), attempts, max_size=2),
)


def numbered(family: list[ProducerState], given: AttemptNumbers | None) -> InvocationState:
    numbers = given
    if given is not None:
        newest = max([given.launcher, *given.names.values()], default=())
        numbers = replace(given, newest=newest)
    for producer in family:
        if producer.opened and producer.name != "anonymous":
            numbers = numbered_by(numbers, producer)
    return replace(INVOCATION, attempts=numbers)


@given(family=families, given=st.none() | given_numbers)
def test_what_is_superseded_follows_from_the_numbers(family: list[ProducerState], given: AttemptNumbers | None) -> None:
    state, placed = place_producers(numbered(family, given), family)
    by_name = {producer.name: producer for producer in placed}
    if state.attempts is None:
        assert placed == family
        return
    for producer in placed:
        if not producer.opened or producer.name == "anonymous":
            assert not producer.superseded
            continue
        assert producer.attempt is not None
        if producer.attempt < state.attempts.newest:
            assert producer.superseded
        parent = by_name.get(producer.lineage.parent or "")
        own = producer.lineage.own_attempt is not None
        if parent is not None and parent.superseded and not own:
            assert producer.superseded
        alone = producer.lineage.parent not in by_name and not (producer.process or {}).get("rank") is not None
        if producer.superseded and alone and producer.process is None:
            assert producer.attempt < state.attempts.newest
    current = [producer for producer in placed if producer.opened and not producer.superseded]
    assert (state.producers_opened, state.producers_open) == (len(current), sum(p.is_open for p in current))
    assert place_producers(state, placed) == (state, placed)


@given(family=families, given=given_numbers, attempt=attempts)
def test_a_newer_number_supersedes_more_and_never_less(
    family: list[ProducerState], given: AttemptNumbers, attempt: Attempt
) -> None:
    before = numbered(family, given)
    _, placed = place_producers(before, family)
    after = replace(before, attempts=with_number(before.attempts, attempt=attempt, name=None))
    _, again = place_producers(after, family)
    assert all(new.superseded or not old.superseded for old, new in zip(placed, again, strict=True))


@given(family=families)
def test_numbers_of_ranks_alone_never_supersede_a_whole_family(family: list[ProducerState]) -> None:
    # A parent comes before its children: a circle of parents is nonsense, and may supersede itself.
    before: list[str] = []
    ranks: list[ProducerState] = []
    for producer in family:
        parent = producer.lineage.parent if producer.lineage.parent in before else None
        lineage = replace(producer.lineage, own_attempt=None, launcher_attempt=(), parent=parent)
        ranks.append(replace(producer, lineage=lineage))
        before.append(producer.name)
    _, placed = place_producers(numbered(ranks, None), ranks)
    opened = [producer for producer in placed if producer.opened]
    assert not opened or any(not producer.superseded for producer in opened)


def test_a_report_is_newer_by_the_job_and_within_it_by_the_rank() -> None:
    old = ProducerState(pk=1, name="old", attempt=(), superseded=True)
    new = ProducerState(pk=2, name="new", attempt=(1,))
    again = replace(new, name="again", lineage=Lineage(rank_attempt=(1,)))
    worker = replace(new, name="worker", superseded=True)
    assert is_newer(new, old)
    assert not is_newer(old, new)
    assert not is_newer(new, new)
    assert is_newer(again, worker)
    assert not is_newer(worker, again)
    assert not is_newer(replace(new, attempt=None), old)


def test_an_opening_names_where_it_comes_from_as_far_as_it_can_be_read() -> None:
    extras = {"parent": "py-1", "attempt": [1, 0], "rank_attempt": [0], "attempt_name": "uid", "role": "supervisor"}
    assert read_lineage(extras) == Lineage(
        role="supervisor", parent="py-1", own_attempt=(1,), rank_attempt=(), attempt_name="uid"
    )
    nonsense = {"parent": "no spaces", "attempt": "1", "rank_attempt": [-1], "attempt_name": 3, "role": "boss"}
    assert read_lineage(nonsense) == Lineage()


def test_only_a_child_whose_parent_has_closed_is_waited_for() -> None:
    parent = ProducerState(pk=1, name="p", opened=1, closed=1)
    child = ProducerState(pk=2, name="c", opened=1, lineage=Lineage(parent="p"))
    assert has_open_children([parent, child])
    assert not has_open_children([replace(parent, closed=0), child])
    assert not has_open_children([parent, replace(child, closed=1)])
    assert not has_open_children([parent, replace(child, superseded=True)])
    assert not has_open_children([parent, replace(child, lineage=Lineage())])
