"""The append: the one command that the service is made for.

Decides on the batch by `broker.intake` under the invocation's row lock, inserts the segment and the projections, and
words the answer of the protocol's table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import insert, select

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import Problem
from standpipe_server.broker.intake import decide_append as intake
from standpipe_server.broker.intake.decide_append import NeedsDigests
from standpipe_server.broker.lifecycle import leases as lifecycle
from standpipe_server.broker.messages.batches import Batch
from standpipe_server.broker.messages.parsed_message import Check, Materialization, Observation, error_summary
from standpipe_server.broker.outcome.receipt import Digests
from standpipe_server.broker.values.state import InvocationState, ProducerState, replace
from standpipe_server.store.commands import attempt_numbers as attempts
from standpipe_server.store.commands import lifecycle as commands
from standpipe_server.store.commands.refuse import take_back
from standpipe_server.store.database import tables
from standpipe_server.store.database.carried_text import carry
from standpipe_server.store.errors import Conflict
from standpipe_server.store.events.segments import Run, StoredSegment, encode_batch, segment_runs
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.writer import BatchCommand

_DIGESTED_BYTES = 64 * 1024
_NOTHING_KNOWN = intake.Known()


class AppendOutcome(msgspec.Struct, frozen=True, gc=False):
    """An answer, ready to be encoded: status, body, and whether the body is a problem."""

    status: int
    body: Mapping[str, JsonValue]

    @property
    def is_problem(self) -> bool:
        return self.status >= 400


class Append(BatchCommand, frozen=True, kw_only=True, gc=False):
    """Messages `first_seq`, `first_seq`+1, ... of a producer; without a producer the server numbers them.

    `encoded` is the whole batch as a segment's body.
    """

    batch: Batch
    first_seq: int | None = None
    idempotency_key: str | None = None
    body_digest: bytes = b""
    numbered: int | None = None
    digests: Digests | None = None
    """What the ledgers of the batch are compared with; made when `execute` asked for it."""

    @classmethod
    def of(
        cls,
        pk: int,
        batch: Batch,
        body: bytes,
        *,
        producer: str | None = None,
        first_seq: int | None = None,
        idempotency_key: str | None = None,
        numbered: int | None = None,
    ) -> Append:
        """The command for a request's `body`, decompressed, and the batch in it. Encoding a large batch takes time."""
        key = idempotency_key if producer is None else None
        # Without a key the digest identifies a request that was refused before.
        has_digest = key is not None or (producer is None and len(body) <= _DIGESTED_BYTES)
        return cls(
            pk=pk,
            batch=batch,
            encoded=encode_batch(batch),
            producer=producer,
            first_seq=first_seq,
            idempotency_key=key,
            body_digest=hashlib.sha256(body).digest() if has_digest else b"",
            numbered=numbered,
        )

    def execute(self, unit: UnitOfWork) -> AppendOutcome | NeedsDigests:
        invocation = unit.invocation(self.pk)
        stored_as = self._remembered(unit)
        known_producer = unit.find_producer(self.pk, self.producer_name)
        producer = known_producer or ProducerState(pk=0, name=self.producer_name)
        first_seq = self.first_seq or stored_as or producer.last_seq + 1
        placed = attempts.place_opening(unit, invocation, producer, self.batch, first_seq=first_seq)
        decision = intake.decide_append(
            placed.invocation,
            placed.producer,
            self.batch.messages,
            first_seq=first_seq,
            known=self._known(unit, placed),
            now=unit.now,
            digests=self.digests,
        )
        match decision:
            case NeedsDigests():
                # It is activity of the process now, however long the reading takes.
                if not producer.superseded:
                    commands.record_activity(unit, invocation, lifecycle.renew_on_activity(invocation, now=unit.now))
                return decision
            case intake.TooLate():
                return _too_late(invocation, producer)
            case intake.Gap(expected_seq):
                return _gap(invocation, producer, first_seq=first_seq, expected_seq=expected_seq)
            case intake.Append():
                stored_problems = self._problems_again(unit, decision, producer, first_seq=first_seq)
                if decision.skip < len(self.batch.messages):
                    attempts.put_superseded(unit, self.pk, placed.others)
                    if self.producer is None:
                        take_back(unit, self.pk, digest=self.body_digest, key=self.idempotency_key)
                    decision = self._store(unit, decision, inserted=known_producer is not None)
                    self._remember(unit, first_seq)
                else:
                    self._note_word(unit, invocation, decision, known_producer)
                return self._answer(decision, stored_problems, first_seq=first_seq)

    # A retry under an Idempotency-Key

    def _remembered(self, unit: UnitOfWork) -> int | None:
        """The number under which a request with this key was stored before."""
        if self.producer is not None or self.idempotency_key is None:
            return None
        table = tables.append_key
        statement = select(table).where(table.c.invocation_pk == self.pk, table.c.key == self.idempotency_key)
        row = unit.connection.execute(statement).first()
        if row is None:
            return None
        if row.body_digest != self.body_digest:
            raise Conflict(
                "idempotency-conflict",
                "The Idempotency-Key was used in this invocation with another body; use a new key for a new request.",
            )
        return row.first_seq

    def _remember(self, unit: UnitOfWork, first_seq: int) -> None:
        if self.producer is None and self.idempotency_key is not None:
            row = {
                "invocation_pk": self.pk,
                "key": self.idempotency_key,
                "body_digest": self.body_digest,
                "first_seq": first_seq,
            }
            # At once: the same key may come again in the same group.
            unit.connection.execute(insert(tables.append_key).values(row))

    # What is stored already

    def _known(self, unit: UnitOfWork, placed: attempts.Placed) -> intake.Known:
        invocation = placed.invocation
        contents = [message.content for message in self.batch.messages if message.content is not None]
        if not contents:
            return _NOTHING_KNOWN
        keys = {content.asset_key for content in contents if isinstance(content, (Materialization, Check))}
        if not keys:
            return _NOTHING_KNOWN
        checks = {(content.asset_key, content.check_name) for content in contents if isinstance(content, Check)}
        if invocation.attempts is not None:
            reported = unit.reported(self.pk, keys)
            standing = attempts.standing_reports(unit, self.pk, keys, checks, others=placed.others)
            return intake.Known(reported.materialized, reported.checked, standing)
        known = unit.reported_so_far.known(self.pk, position=invocation.last_position, keys=keys, checks=checks)
        if known is None:
            reported = unit.reported(self.pk, keys)
            known = intake.Known(reported.materialized, reported.checked)
        return known

    def _problems_again(
        self, unit: UnitOfWork, decision: intake.Append, producer: ProducerState, *, first_seq: int
    ) -> list[dict[str, JsonValue]]:
        """The problems of messages that are stored already, told again."""
        if not decision.skip or not producer.rejected:
            return []
        unit.flush_inserts()
        last_seq = first_seq + decision.skip - 1
        results: list[dict[str, JsonValue]] = []
        for seq, position, problem in _stored_problems(unit, self.pk, producer.pk, first_seq, last_seq):
            results.append({"index": seq - first_seq, "seq": seq, "position": position, "problem": problem})
        return sorted(results, key=lambda result: cast("int", result["index"]))

    # Storing

    def _store(self, unit: UnitOfWork, decision: intake.Append, *, inserted: bool) -> intake.Append:
        encoded = encode_batch(self.batch, skip=decision.skip) if decision.skip else self.encoded
        if not inserted:
            new = unit.producer(self.pk, self.producer_name)
            decision = replace(decision, producer=replace(decision.producer, pk=new.pk))
        producer = decision.producer
        attempts.remove_replaced(unit, decision)
        more = (self.numbered or 0) > producer.numbered
        unit.put_producer(self.pk, replace(producer, numbered=self.numbered or 0) if more else producer)
        problems: dict[str, JsonValue] = {
            str(offset): problem.to_wire() for offset, problem in decision.problems.items()
        }
        count = len(self.batch.messages) - decision.skip
        unit.insert_segment(
            self.pk,
            producer.pk,
            StoredSegment(
                first_position=decision.first_position,
                encoding=encoded.encoding,
                body=encoded.body,
                runs=(Run(producer.name, decision.first_seq, count, unit.now),),
                problems=problems or None,
                notes={str(offset): cast("JsonValue", notes) for offset, notes in decision.notes.items()} or None,
            ),
            methods=encoded.methods,
        )
        if decision.contents or decision.problems:
            self._project(unit, decision)
        self._remember_reported(unit, decision)
        before, after = unit.invocation(self.pk), decision.invocation
        if before.opened_at is None and after.opened_at is not None:
            unit.add_history(self.pk, "opened", {"producer": producer.name})
        if after.ended:
            commands.conclude(unit, after)
        else:
            commands.record_activity(unit, before, after)
        return decision

    def _note_word(
        self, unit: UnitOfWork, before: InvocationState, decision: intake.Append, producer: ProducerState | None
    ) -> None:
        """Records a retry, which stores nothing: it is activity of the process, and may say what was numbered since."""
        if decision.invocation is not before:
            commands.record_activity(unit, before, decision.invocation)
        if producer is not None and not before.ended:
            numbered = max(producer.numbered, self.numbered or 0)
            unit.put_producer(self.pk, replace(producer, numbered=numbered, heard_at=unit.now))

    def _project(self, unit: UnitOfWork, decision: intake.Append) -> None:
        """The rows by which these messages are found across invocations."""
        contents = decision.contents
        keys = {
            content.asset_key for _, content in contents if isinstance(content, (Materialization, Observation, Check))
        }
        asset_pks: Mapping[str, int] = unit.asset_pks(keys) if keys else {}
        common: dict[str, Any] = {"invocation_pk": self.pk, "received_at": unit.now}
        partition_key = carry(decision.invocation.partition_key)
        errors: dict[str, tuple[int, str]] = {}
        for offset, content in contents:
            position = decision.first_position + offset
            if isinstance(content, Materialization):
                unit.insert_materialization(
                    (
                        self.pk,
                        position,
                        asset_pks[content.asset_key],
                        partition_key,
                        carry(content.data_version),
                        unit.now,
                    )
                )
            elif isinstance(content, (Observation, Check)):
                row: dict[str, Any] = common | {"asset_pk": asset_pks[content.asset_key], "position": position}
                row["partition_key"] = decision.invocation.partition_key
                if isinstance(content, Check):
                    row |= {"check_name": content.check_name, "passed": content.passed, "severity": content.severity}
                    unit.insert(tables.asset_check, row)
                else:
                    own = {} if content.partition is None else {"partition_key": content.partition}
                    unit.insert(tables.observation, row | {"data_version": content.data_version} | own)
            elif error := error_summary(content, None):
                errors.setdefault(error[0], (position, error[1]))
        for offset, problem in decision.problems.items():
            if error := error_summary(None, problem):
                errors.setdefault(error[0], (decision.first_position + offset, error[1]))
        for kind, (position, summary) in errors.items():
            unit.insert(tables.first_error, common | {"kind": kind, "position": position, "summary": summary})
            found_by = {"created_at": decision.invocation.created_at, "invocation_pk": self.pk, "kind": kind}
            unit.insert(tables.invocation_text, found_by | {"text": summary.lower()})

    def _remember_reported(self, unit: UnitOfWork, decision: intake.Append) -> None:
        accepted = [content for _, content in decision.contents]
        unit.reported_so_far.add(
            self.pk,
            position=decision.first_position - 1,
            new_position=decision.invocation.last_position,
            materialized={content.asset_key for content in accepted if isinstance(content, Materialization)},
            checked={(content.asset_key, content.check_name) for content in accepted if isinstance(content, Check)},
        )

    # Answering

    def _answer(
        self, decision: intake.Append, stored_problems: Sequence[dict[str, JsonValue]], *, first_seq: int
    ) -> AppendOutcome:
        invocation = decision.invocation
        results = list(stored_problems)
        for offset, problem in decision.problems.items():
            index = decision.skip + offset
            results.append(
                {
                    "index": index,
                    "seq": decision.first_seq + offset,
                    "position": decision.first_position + offset,
                    "problem": problem.to_wire(),
                }
            )
        common: dict[str, JsonValue] = {
            "accepted_through": decision.producer.last_seq,
            "last_position": invocation.last_position,
            "control": commands.control_of(invocation, decision.producer).to_wire(),
        }
        if results and self.batch.bare:
            result = results[0]
            problem = cast("dict[str, JsonValue]", result["problem"])
            stored = {"stored": True, "position": result["position"], "seq": result["seq"]}
            return AppendOutcome(cast("int", problem["status"]), problem | stored | common)
        return AppendOutcome(207 if results else 200, common | {"results": cast("JsonValue", results)})


def _stored_problems(
    unit: UnitOfWork, pk: int, producer_pk: int, first_seq: int, last_seq: int
) -> list[tuple[int, int, JsonValue]]:
    """Sequence number, position and problem of the producer's rejected messages in that range."""
    table = tables.segment
    # Without the bodies, which may be large and many.
    columns = (table.c.first_position, table.c.producer_pk, table.c.first_seq, table.c.count, table.c.received_at)
    statement = select(*columns, table.c.runs, table.c.problems).where(
        table.c.invocation_pk == pk, table.c.problems.is_not(None)
    )
    rejected: list[tuple[int, int, JsonValue]] = []
    for row in unit.connection.execute(statement).mappings():
        problems: dict[str, JsonValue] = json.loads(row["problems"])
        offset = 0
        for run_producer, run_first, count, _ in segment_runs(row):
            for index in range(count):
                seq, problem = run_first + index, problems.get(str(offset + index))
                if problem is not None and run_producer == producer_pk and first_seq <= seq <= last_seq:
                    rejected.append((seq, row["first_position"] + offset + index, problem))
            offset += count
    return rejected


def _too_late(invocation: InvocationState, producer: ProducerState) -> AppendOutcome:
    detail = f"Invocation {invocation.id} has ended ({invocation.verdict}); new messages are not taken any more."
    return _refusal(
        Problem("invocation-ended", detail, {"verdict": invocation.verdict, "last_position": invocation.last_position}),
        invocation,
        producer,
    )


def _gap(invocation: InvocationState, producer: ProducerState, *, first_seq: int, expected_seq: int) -> AppendOutcome:
    detail = (
        f"The batch starts at {first_seq}, but {producer.last_seq} messages of producer {producer.name} are stored: "
        f"send again from {expected_seq}. Nothing was stored."
    )
    return _refusal(Problem("sequence-gap", detail, {"expected_seq": expected_seq}), invocation, producer)


def _refusal(problem: Problem, invocation: InvocationState, producer: ProducerState) -> AppendOutcome:
    body = problem.to_wire() | {"control": commands.control_of(invocation, producer).to_wire()}
    return AppendOutcome(problem.status, body)
