"""The digest of a producer's messages, taken from what is stored: what the SHA-256 of its ledger is compared with.

The stored segments are read once, in order, on a reading thread and in bounded memory, before the `closed` that brings
the ledger is stored. So nothing has to be hashed while messages come in, and nothing is lost when a server starts
again. Invariant: a digest says up to which number it counts, and holds only for that number.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Generator, Sequence

from msgspec import Raw
from msgspec.structs import replace
from sqlalchemy import Connection, or_, select

from standpipe_server.broker.messages.parsed_message import Closing
from standpipe_server.broker.messages.splitting import array_texts
from standpipe_server.broker.outcome.receipt import Digests
from standpipe_server.store.commands.append import Append, AppendOutcome
from standpipe_server.store.database import tables
from standpipe_server.store.errors import Overloaded
from standpipe_server.store.events.segments import read_texts, segment_runs
from standpipe_server.store.reads.runner import Reads
from standpipe_server.store.transactions.writer import Writes

_SEGMENTS_AT_A_TIME = 16
_TRIES = 6
_DIGESTS_AT_ONCE = 2
"""Reads of digests at a time; other reads must not wait for many producers that close together."""


class Appends:
    """Stores batches. A batch with a ledger's SHA-256 needs the digests of what is stored, which are read first."""

    def __init__(self, reads: Reads, writes: Writes) -> None:
        self._reads = reads
        self._writes = writes
        self._digesting = asyncio.Semaphore(_DIGESTS_AT_ONCE)

    async def run(self, command: Append) -> AppendOutcome:
        """Stores the batch; again when messages of its producer were stored while its digests were read.

        Raises:
            Overloaded: such messages kept coming, which one request at a time does not cause.
        """
        for number in range(_TRIES):
            if number > 0:
                async with self._digesting:
                    command = replace(command, digests=await self._reads.run(digest_stored, command))
            outcome = await self._writes.run(command)
            if isinstance(outcome, AppendOutcome):
                return outcome
        raise Overloaded(
            f"Messages of producer {command.producer_name} kept coming beside its `closed`. Send it again."
        )


def digest_stored(connection: Connection, command: Append) -> Digests:
    """The digests that the ledgers of a batch are compared with: over what is stored, then over the batch itself."""
    pk, producer_name, first_seq, batch = command.pk, command.producer_name, command.first_seq, command.batch
    table = tables.producer
    statement = select(table.c.pk, table.c.last_seq).where(table.c.invocation_pk == pk, table.c.name == producer_name)
    producer = connection.execute(statement).first()
    last_seq = producer.last_seq if producer is not None else 0
    skip = 0 if first_seq is None else last_seq + 1 - first_seq
    if not 0 <= skip < len(batch.messages):
        # A gap, or nothing new: no ledger of it will be looked at.
        return Digests(last_seq, {})
    digest = hashlib.sha256()
    if producer is not None:
        for texts in _stored_texts(connection, pk, producer_pk=producer.pk, last_seq=last_seq):
            digest.update(b"\n".join(texts) + b"\n")
    by_seq: dict[int, str] = {}
    for offset, text in enumerate(array_texts(batch.array)[skip:]):
        if isinstance(batch.messages[skip + offset].content, Closing):
            by_seq[last_seq + 1 + offset] = digest.copy().hexdigest()
        digest.update(text)
        digest.update(b"\n")
    return Digests(last_seq, by_seq)


def _stored_texts(connection: Connection, pk: int, *, producer_pk: int, last_seq: int) -> Generator[Sequence[Raw]]:
    """The texts of a producer's messages through that number, in order, some at a time."""
    table = tables.segment
    columns = (table.c.encoding, table.c.body, table.c.runs, table.c.producer_pk, table.c.first_seq, table.c.count)
    statement = (
        select(*columns, table.c.received_at)
        .where(table.c.invocation_pk == pk, or_(table.c.producer_pk == producer_pk, table.c.runs.is_not(None)))
        .order_by(table.c.first_position)
        .execution_options(yield_per=_SEGMENTS_AT_A_TIME)
    )
    with connection.execute(statement) as rows:
        for row in rows.mappings():
            texts, offset = read_texts(row["encoding"], row["body"]), 0
            for run_producer, first_seq, count, _ in segment_runs(row):
                # What was stored since the number was read is not counted.
                length = min(count, last_seq + 1 - first_seq)
                if run_producer == producer_pk and length > 0:
                    yield texts[offset : offset + length]
                offset += count
