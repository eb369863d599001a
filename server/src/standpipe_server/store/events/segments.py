"""Segments: how an appended batch is kept as one row, and how events are made of it again.

The body is the messages' own bytes in a JSON array, compressed. Reading cuts the array apart and splices each
message's members into an event, without decoding what is only carried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import zstandard
from msgspec import Raw

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import METHODS
from standpipe_server.broker.messages.batches import Batch
from standpipe_server.broker.messages.splitting import array_texts, join_messages
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store.events.event_match import EventMatch

PLAIN: Final = 0
ZSTD: Final = 1

HEAD_BYTES: Final = 18
"""As long as the head of a zstd frame can be; it says what the frame holds."""
REJECTED: Final = "rejected"
"""Among methods: every message that was rejected, of any method. No accepted message has this name."""
_COMPRESS_FROM = 512
_METHOD_BIT = {method: 1 << number for number, method in enumerate(METHODS)}
# Its place is fixed: it stays where it is in stored rows when methods are added (a column of 16 bits, signed).
_OTHER_BIT = 1 << 14
_NULL = Raw(b"null")


class EncodedBody(msgspec.Struct, frozen=True, gc=False):
    encoding: int
    body: bytes
    methods: int


class Run(msgspec.Struct, frozen=True, gc=False):
    """A part of a segment that one producer sent at one time."""

    producer: str
    first_seq: int
    count: int
    received_at: int


class StoredSegment(msgspec.Struct, frozen=True, gc=False):
    """A segment as read: its body still encoded, its runs with producers by name."""

    first_position: int
    encoding: int
    body: bytes
    runs: Sequence[Run]
    problems: Mapping[str, JsonValue] | None
    """By offset in the segment, as text."""
    notes: Mapping[str, JsonValue] | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    position: int
    method: str | None
    text: bytes
    """The event as a JSON object."""
    rejected: bool = False

    def is_one_of(self, methods: frozenset[str] | None) -> bool:
        return methods is None or self.method in methods or (self.rejected and REJECTED in methods)


class _Stored(msgspec.Struct, gc=False):
    method: Raw = _NULL
    params: Raw = _NULL
    sent_at: Raw = _NULL
    details: Raw = _NULL
    ledger: Raw = _NULL


_decode_stored = msgspec.json.Decoder(_Stored).decode


def encode_batch(batch: Batch, *, skip: int = 0) -> EncodedBody:
    """The body of a segment with the messages of a batch from `skip` on."""
    if len(batch.messages) == 1:
        return _encode(batch.array, methods=_METHOD_BIT.get(batch.messages[0].method or "", _OTHER_BIT))
    methods = 0
    for method in {message.method for message in batch.messages[skip:]}:
        methods |= _METHOD_BIT.get(method or "", _OTHER_BIT)
    return _encode(batch.array_from(skip), methods=methods)


def merge_bodies(segments: Sequence[StoredSegment], *, methods: int) -> EncodedBody:
    """The body of one segment that holds all of these, in order."""
    texts = [bytes(raw) for segment in segments for raw in read_texts(segment.encoding, segment.body)]
    return _encode(join_messages(texts), methods=methods)


def method_mask(methods: frozenset[str]) -> int:
    """The bits of these methods; an unknown method is among the others."""
    mask = 0
    for method in methods:
        mask |= _METHOD_BIT.get(method, _OTHER_BIT)
    return mask


def segment_runs(row: Mapping[Any, Any]) -> list[list[int]]:
    """Who sent which part of a segment when: `[producer_pk, first_seq, count, received_at]`, in order."""
    if row["runs"]:
        return json.loads(row["runs"])
    return [[row["producer_pk"], row["first_seq"], row["count"], row["received_at"]]]


def stored_segment(row: Mapping[Any, Any], runs: Sequence[Run]) -> StoredSegment:
    """A row of the table, or one on its way there, with its runs' producers by name."""
    return StoredSegment(
        first_position=row["first_position"],
        encoding=row["encoding"],
        body=row["body"],
        runs=runs,
        problems=_by_offset(row["problems"]),
        notes=_by_offset(row["notes"]),
    )


def read_events(
    segment: StoredSegment,
    *,
    after: int = 0,
    before: int = 2**63,
    methods: frozenset[str] | None = None,
    match: EventMatch | None = None,
    backwards: bool = False,
) -> Iterator[StoredEvent]:
    """The segment's events between two positions, of these methods and fitting `match` if they are given."""
    body = _decompressed(segment.encoding, segment.body)
    # Of most segments this is all that a search needs to know.
    if match is not None and not match.may_hold(body, rejected=bool(segment.problems)):
        return
    texts = array_texts(body)
    places = [
        (run.producer, run.first_seq + index, received_at)
        for run in segment.runs
        for received_at in [to_rfc3339(run.received_at)]
        for index in range(run.count)
    ]
    for offset in reversed(range(len(places))) if backwards else range(len(places)):
        position, (producer, seq, received_at) = segment.first_position + offset, places[offset]
        if not after < position < before or (match and not _fits(match, producer, texts[offset], segment, offset)):
            continue
        event = _event(
            bytes(texts[offset]),
            head=f'"position":{position},"producer":"{producer}","seq":{seq}',
            received_at=received_at,
            problem=_at(segment.problems, offset),
            notes=_at(segment.notes, offset),
            position=position,
        )
        if event.is_one_of(methods):
            yield event


def _fits(match: EventMatch, producer: str, message: Raw, segment: StoredSegment, offset: int) -> bool:
    rejected = segment.problems is not None and str(offset) in segment.problems
    return (not match.producers or producer in match.producers) and match.takes(bytes(message), rejected=rejected)


def _encode(body: bytes, *, methods: int) -> EncodedBody:
    if len(body) >= _COMPRESS_FROM:
        # A compressor is not safe to share between threads, and cheap to make.
        compressed = zstandard.ZstdCompressor(level=1).compress(body)
        if len(compressed) < len(body):
            return EncodedBody(ZSTD, compressed, methods)
    return EncodedBody(PLAIN, body, methods)


def decoded_size(segment: StoredSegment) -> int:
    """What the messages' texts weigh."""
    return head_weight(segment.encoding, segment.body, size=len(segment.body))


def head_weight(encoding: int, head: bytes, *, size: int) -> int:
    """The same, by the first `HEAD_BYTES` of a body of that size."""
    return zstandard.frame_content_size(head) if encoding == ZSTD else size


def read_texts(encoding: int, body: bytes) -> Sequence[Raw]:
    """The messages of a segment's body, each as its own bytes."""
    return array_texts(_decompressed(encoding, body))


def _decompressed(encoding: int, body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body) if encoding == ZSTD else body


def _by_offset(text: str | None) -> Mapping[str, JsonValue] | None:
    return None if text is None else json.loads(text)


def _at(by_offset: Mapping[str, JsonValue] | None, offset: int) -> JsonValue:
    return None if by_offset is None else by_offset.get(str(offset))


def _event(
    message: bytes, *, head: str, received_at: str, problem: JsonValue, notes: JsonValue, position: int
) -> StoredEvent:
    tail = ""
    if problem is not None:
        tail += f',"problem":{json.dumps(problem)}'
    if notes is not None:
        tail += f',"notes":{json.dumps(notes)}'
    if not message.startswith(b"{"):
        # An array held something that is no message at all; it is shown as it came.
        text = f'{{{head},"sent_at":null,"received_at":"{received_at}","method":null,"params":null,"raw":'.encode()
        return StoredEvent(position, None, text + message + tail.encode() + b"}", problem is not None)
    stored = _decode_stored(message)
    method = bytes(stored.method)
    parts = [
        b"{",
        head.encode(),
        b',"sent_at":',
        bytes(stored.sent_at),
        b',"received_at":"',
        received_at.encode(),
        b'","method":',
        method,
        b',"params":',
        bytes(stored.params),
    ]
    if stored.details != _NULL:
        parts += [b',"details":', bytes(stored.details)]
    if stored.ledger != _NULL:
        parts += [b',"ledger":', bytes(stored.ledger)]
    parts += [tail.encode(), b"}"]
    name = method[1:-1].decode() if method.startswith(b'"') else None
    return StoredEvent(position, name, b"".join(parts), problem is not None)
