"""What a writer runs: a command does its work in the unit of work of its group's transaction."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.store.events.segments import EncodedBody
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

_Result_co = TypeVar("_Result_co", covariant=True)


class Command(Protocol[_Result_co]):
    """`pk` is the invocation it is about (None: none yet); it decides which writer runs it and what is locked first."""

    @property
    def pk(self) -> int | None: ...

    def execute(self, unit: UnitOfWork) -> _Result_co: ...


class BatchCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of an append that its writer needs: the producer to load, and the bytes that count for the group."""

    pk: int
    encoded: EncodedBody
    producer: str | None = None

    @property
    def producer_name(self) -> str:
        return self.producer or ANONYMOUS_PRODUCER

    @property
    def producer_key(self) -> tuple[int, str]:
        return self.pk, self.producer_name
