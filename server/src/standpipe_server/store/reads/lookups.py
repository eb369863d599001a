"""Short look-ups: an invocation by id or token, its context, whether the database answers."""

from __future__ import annotations

from dataclasses import dataclass

import zstandard
from sqlalchemy import Connection, func, select

from standpipe_protocol.invocation import Control
from standpipe_server.broker.lifecycle.leases import FINAL
from standpipe_server.broker.values import ids
from standpipe_server.store.database import tables
from standpipe_server.store.database.recently_used import RecentlyUsed
from standpipe_server.store.errors import NotFound
from standpipe_server.store.reads.runner import Reads


@dataclass(frozen=True, slots=True)
class Target:
    """An invocation that is known to exist, by its row and its id."""

    pk: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextAnswer:
    context_json: bytes
    lease_seconds: float
    lease_expires_at: int | None
    control: Control


def find_target(connection: Connection, invocation_id: str) -> Target:
    if not ids.INVOCATION_ID.fullmatch(invocation_id):
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    pk = connection.scalar(select(tables.invocation.c.pk).where(tables.invocation.c.id == invocation_id))
    if pk is None:
        raise NotFound(f"There is no invocation {invocation_id!r}.")
    return Target(pk, invocation_id)


def find_by_token(connection: Connection, digest: bytes) -> Target | None:
    token, invocation = tables.invocation_token, tables.invocation
    statement = (
        select(invocation.c.pk, invocation.c.id)
        .join(token, token.c.invocation_pk == invocation.c.pk)
        .where(token.c.digest == digest)
    )
    row = connection.execute(statement).first()
    return None if row is None else Target(row.pk, row.id)


def read_context(connection: Connection, target: Target, *, by_token: bool) -> ContextAnswer:
    """Raises NotFound, also when the invocation's own token (`by_token`) is not good for it any more."""
    table = tables.invocation
    context = tables.invocation_context
    changing = (table.c.verdict, table.c.lease_seconds, table.c.lease_expires_at, table.c.cancel_requested_at)
    statement = (
        select(context.c.context, *changing)
        .join(context, context.c.invocation_pk == table.c.pk)
        .where(table.c.pk == target.pk)
    )
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"There is no invocation {target.id!r}; it may have been deleted.")
    if by_token and row.verdict in FINAL:
        raise NotFound(
            f"Invocation {target.id!r} has ended ({row.verdict}): its token is good for retries and heartbeats only. A "
            "retry of the work is an invocation of its own."
        )
    return ContextAnswer(
        context_json=zstandard.ZstdDecompressor().decompress(row.context),
        lease_seconds=row.lease_seconds,
        lease_expires_at=row.lease_expires_at,
        control=Control(cancel_requested=row.cancel_requested_at is not None),
    )


def read_control(connection: Connection, target: Target) -> Control:
    """Raises NotFound."""
    table = tables.invocation
    row = connection.execute(select(table.c.cancel_requested_at).where(table.c.pk == target.pk)).first()
    if row is None:
        raise NotFound(f"There is no invocation {target.id!r}; it may have been deleted.")
    return Control(cancel_requested=row.cancel_requested_at is not None)


def count_by_status(connection: Connection) -> dict[str, int]:
    table = tables.invocation
    statement = select(table.c.status, func.count()).where(table.c.status.in_(("registered", "running")))
    return {row[0]: row[1] for row in connection.execute(statement.group_by(table.c.status))}


class Callers:
    """The invocations of tokens, by the tokens' digests (`broker.values.ids.token_digest`)."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._targets: RecentlyUsed[bytes, Target] = RecentlyUsed(10_000)

    async def find(self, digest: bytes) -> Target | None:
        """The invocation that a token is good for; None for an unknown token."""
        known = self._targets.get(digest)
        if known is None:
            known = await self._reads.run(find_by_token, digest)
            if known is not None:
                self._targets.put(digest, known)
        return known
