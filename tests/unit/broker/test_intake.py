"""The append table: next in line, retry, gap, too late, rejected, noted."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.limits import Limits
from standpipe_server.broker.intake.decide_append import Append, Gap, Known, NeedsDigests, TooLate, decide_append
from standpipe_server.broker.messages.batches import parse_batch
from standpipe_server.broker.messages.parsed_message import ParsedMessage
from standpipe_server.broker.outcome.receipt import Digests
from standpipe_server.broker.values.state import InvocationState, ProducerState, replace

AB = "ab" * 32
NOW = 1_700_000_000_000_000


def invocation(**changes: object) -> InvocationState:
    fixed: dict[str, object] = {"pk": 1, "id": "inv", "created_at": 0, "open_within": 60.0, "settle": 10.0}
    return InvocationState(**(fixed | {"lease_seconds": 60.0} | changes))  # type: ignore[arg-type]


def producer(**changes: object) -> ProducerState:
    return ProducerState(pk=1, name="p", **changes)  # type: ignore[arg-type]


def messages(*wires: dict[str, object]) -> list[ParsedMessage]:
    return list(parse_batch(json.dumps(wires).encode(), media="json", limits=Limits()).messages)


def opened() -> dict[str, object]:
    return {"method": "opened", "params": {}}


def closed(**envelope: object) -> dict[str, object]:
    return {"method": "closed", "params": {}} | envelope


def log(level: str = "INFO") -> dict[str, object]:
    return {"method": "log", "params": {"message": "m", "level": level}}


def materialized(key: str) -> dict[str, object]:
    return {"method": "report_asset_materialization", "params": {"asset_key": key}}


def check(key: str, name: str = "c") -> dict[str, object]:
    return {"method": "report_asset_check", "params": {"asset_key": key, "check_name": name, "passed": True}}


def append(
    *wires: dict[str, object],
    to: InvocationState | None = None,
    by: ProducerState | None = None,
    first_seq: int | None = None,
    known: Known | None = None,
) -> Append:
    by = by or producer()
    decision = decide_append(
        to or invocation(),
        by,
        messages(*wires),
        first_seq=by.last_seq + 1 if first_seq is None else first_seq,
        known=known or Known(),
        now=NOW,
    )
    assert isinstance(decision, Append)
    return decision


def test_what_is_next_in_line_is_numbered_on() -> None:
    decision = append(log(), log(), to=invocation(last_position=7), by=producer(last_seq=3))
    assert (decision.skip, decision.first_seq, decision.first_position) == (0, 4, 8)
    assert (decision.producer.last_seq, decision.invocation.last_position) == (5, 9)


def test_of_an_overlap_only_what_is_new_is_stored() -> None:
    decision = append(log(), log(), log(), by=producer(last_seq=2), first_seq=1)
    assert (decision.skip, decision.first_seq) == (2, 3)
    assert decision.producer.last_seq == 3


def test_what_holds_nothing_new_changes_nothing() -> None:
    state, before = invocation(last_position=4), producer(last_seq=4)
    decision = append(log(), log(), to=state, by=before, first_seq=2)
    assert decision.skip == 2
    assert (decision.invocation, decision.producer) == (state, before)


def test_a_gap_names_the_number_to_send_from() -> None:
    by = producer(last_seq=2)
    decision = decide_append(invocation(), by, messages(log()), first_seq=5, known=Known(), now=NOW)
    assert decision == Gap(3)


def test_new_messages_after_a_final_verdict_come_too_late_but_a_retry_does_not() -> None:
    by = producer(last_seq=2)
    for verdict in ("succeeded", "cancelled"):
        state = invocation(status="ended", verdict=verdict)
        assert decide_append(state, by, messages(log()), first_seq=3, known=Known(), now=NOW) == TooLate()
        retried = decide_append(state, by, messages(log()), first_seq=2, known=Known(), now=NOW)
        assert isinstance(retried, Append)


def test_new_messages_after_any_other_verdict_are_stored() -> None:
    for verdict in ("lost", "incomplete", "failed"):
        decision = append(log(), to=invocation(status="ended", verdict=verdict, lease_lost=True))
        assert decision.invocation.last_position == 1
        assert not decision.invocation.lease_lost


def test_only_the_invocations_keys_may_be_reported_where_it_has_some() -> None:
    narrow = invocation(asset_keys=frozenset({"a"}))
    assert set(append(materialized("b"), check("b"), materialized("a"), to=narrow).problems) == {0, 1}
    assert append(materialized("b"), to=invocation(asset_keys=frozenset())).problems == {}


def test_a_second_materialization_of_a_key_is_rejected_wherever_the_first_is() -> None:
    assert list(append(materialized("a"), materialized("a"), materialized("b")).problems) == [1]
    stored = append(materialized("a"), known=Known(materialized=frozenset({"a"})))
    assert stored.problems[0].name == "duplicate-materialization"


def test_a_rejected_message_is_numbered_like_any_other_and_counts_as_nothing_else() -> None:
    decision = append(opened(), materialized("b"), to=invocation(asset_keys=frozenset({"a"})))
    assert decision.producer.last_seq == 2
    assert (decision.producer.rejected, decision.producer.counts["report_asset_materialization"]) == (1, 1)
    assert decision.contents == []
    assert decision.producer.first_rejection is not None
    assert decision.producer.first_rejection.startswith("position 2:")


def test_remarks_are_made_on_what_is_odd_and_accepted() -> None:
    decision = append(log(), opened(), check("a"), check("a"), closed(), log(), closed())
    codes = {offset: [note["code"] for note in notes] for offset, notes in decision.notes.items()}
    assert codes == {0: ["before-opened"], 3: ["repeated-check"], 5: ["after-closed"], 6: ["after-closed"]}


def test_captured_output_neither_opens_nor_starts_an_invocation() -> None:
    output = {"method": "log_external_stream", "params": {"stream": "stdout", "text": "x"}}
    decision = append(output)
    assert (decision.invocation.status, decision.notes) == ("registered", {})


def test_producers_that_are_open_are_counted() -> None:
    first = append(opened())
    assert (first.invocation.producers_opened, first.invocation.producers_open) == (1, 1)
    assert first.invocation.opened_at == NOW
    second = append(opened(), closed(), to=first.invocation, by=ProducerState(pk=2, name="q"))
    assert (second.invocation.producers_opened, second.invocation.producers_open) == (2, 1)
    third = append(closed(), to=second.invocation, by=first.producer)
    assert third.invocation.producers_open == 0


def test_a_ledger_with_a_digest_waits_until_that_of_what_is_stored_is_known() -> None:
    batch = messages(opened(), closed(ledger={"messages": 7, "sha256": AB}))

    def decided(digests: Digests | None) -> object:
        by = producer(last_seq=5)
        return decide_append(invocation(), by, batch, first_seq=6, known=Known(), now=NOW, digests=digests)

    for useless in (None, Digests(4, {7: AB}), Digests(5, {6: AB})):
        assert isinstance(decided(useless), NeedsDigests)
    agreeing = decided(Digests(5, {7: AB}))
    assert isinstance(agreeing, Append)
    assert (agreeing.producer.ledger, agreeing.producer.declared) == (
        "agrees",
        {"messages": 7, "dropped_logs": 0, "sha256": AB},
    )
    differing = decided(Digests(5, {7: "cd" * 32}))
    assert isinstance(differing, Append)
    assert "SHA-256 abababababab…, what is stored of it cdcdcdcdcdcd…" in str(differing.producer.ledger)


def test_a_producer_remembers_who_it_said_it_is_and_when_it_was_heard() -> None:
    extras = {"rank": 3, "host": "x" * 500, "pid": True, "world_size": 10**20, "other": 1}
    first = append({"method": "opened", "params": {"extras": extras}}).producer
    assert first.process == {"rank": 3, "host": "x" * 128}
    assert first.heard_at == NOW
    assert append(log(), to=invocation(opened_at=1), by=producer(opened=1)).producer.heard_at == NOW


def test_a_ledger_is_compared_with_what_is_stored() -> None:
    good = closed(ledger={"messages": 3, "by_method": {"opened": 1, "log": 1, "closed": 1}})
    assert append(opened(), log(), good).producer.ledger == "agrees"
    short = closed(ledger={"messages": 9, "by_method": {}})
    assert "sent 9" in str(append(opened(), short).producer.ledger)
    wrong = closed(ledger={"messages": 2, "by_method": {"opened": 2}})
    assert "counted" in str(append(opened(), wrong).producer.ledger)


def test_a_word_renews_a_running_lease_and_begins_none() -> None:
    assert append(log()).invocation.lease_expires_at is None
    assert append(log(), to=invocation(lease_expires_at=5)).invocation.lease_expires_at == NOW + 60_000_000


def test_captured_output_is_no_word_of_a_process_that_has_opened() -> None:
    output = {"method": "log_external_stream", "params": {"stream": "stdout", "text": "x"}}
    running = invocation(lease_expires_at=5, opened_at=1, status="running", producers_opened=1, producers_open=1)
    launcher = producer(last_seq=1)
    assert append(output, to=running, by=launcher).invocation.lease_expires_at == 5
    assert append(output, to=running, by=launcher, first_seq=1).invocation.lease_expires_at == 5
    assert append(output, log(), to=running).invocation.lease_expires_at == NOW + 60_000_000
    assert append(output, to=invocation(lease_expires_at=5)).invocation.lease_expires_at == NOW + 60_000_000
    lost = invocation(status="ended", verdict="lost", lease_lost=True, opened_at=1, producers_opened=1)
    assert append(output, to=lost).invocation.lease_lost
    assert not append(log(), to=lost).invocation.lease_lost


@given(
    sizes=st.lists(st.integers(min_value=1, max_value=5), min_size=1, max_size=8),
    retries=st.lists(st.integers(min_value=0, max_value=7), max_size=12),
)
def test_whatever_is_sent_again_each_number_is_stored_once_and_in_order(sizes: list[int], retries: list[int]) -> None:
    batches: list[tuple[int, list[ParsedMessage]]] = []
    first = 1
    for size in sizes:
        batches.append((first, messages(*([log()] * size))))
        first += size
    state, by = invocation(), producer()
    stored: list[tuple[int, int]] = []
    sent = 0
    for again in [None, *retries, *[None] * len(batches)]:
        if again is None and sent < len(batches):
            number, sent = sent, sent + 1
        else:
            number = (again or 0) % len(batches)
        first_seq, batch = batches[number]
        decision = decide_append(state, by, batch, first_seq=first_seq, known=Known(), now=NOW)
        if isinstance(decision, Gap):
            assert decision.expected_seq == len(stored) + 1
            continue
        assert isinstance(decision, Append)
        new = len(batch) - decision.skip
        stored += [(decision.first_seq + i, decision.first_position + i) for i in range(new)]
        state, by = decision.invocation, decision.producer
    assert stored == [(n, n) for n in range(1, len(stored) + 1)]
    assert len(stored) == sum(sizes)


_WIRES = [opened(), closed(), log(), log("ERROR"), materialized("a"), check("a"), {"method": "none"}]
_WIRES += [{"method": "log_external_stream", "params": {"stream": "stdout", "text": "x", "extras": {}}}]
_WIRES += [{"method": "report_custom_message", "params": {"payload": number}} for number in range(3)]


@given(
    wires=st.lists(st.sampled_from(_WIRES), min_size=1, max_size=8),
    is_open=st.booleans(),
    closed_before=st.booleans(),
    superseded=st.booleans(),
)
def test_messages_that_are_counted_at_once_come_to_what_each_by_itself_comes_to(
    wires: list[dict[str, object]], is_open: bool, closed_before: bool, superseded: bool
) -> None:
    state = invocation(opened_at=1, status="running") if is_open else invocation()
    counts = {"report_custom_message": 4}
    by = producer(last_seq=4, numbered=9, opened=1, closed=int(closed_before), counts=counts, superseded=superseded)

    def decided(batch: list[ParsedMessage]) -> object:
        return decide_append(state, by, batch, first_seq=5, known=Known(), now=NOW)

    batch = messages(*wires)
    assert decided(batch) == decided([replace(message, plain=False) for message in batch])


def test_what_was_numbered_is_remembered_while_it_has_not_come() -> None:
    running, by = invocation(opened_at=1, status="running"), producer(last_seq=4, numbered=9, opened=1)
    for wires in ([log()], [log(), log()], [closed()]):
        assert append(*wires, to=running, by=by).producer.numbered == 9
    assert append(*[log()] * 7, to=running, by=by).producer.numbered == 11
