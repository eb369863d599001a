"""Stores an exported invocation on another broker: registers it as it was, and sends its events as they came.

The broker judges everything anew: what a file says of its verdict is not trusted. The invariant: an import that was
interrupted and is started again goes on, and one that is repeated stores nothing twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

from standpipe_orchestrator.client.archive_operations import ArchiveOperations, ArchiveReader
from standpipe_orchestrator.client.launch_claims import KEY_TAG
from standpipe_orchestrator.client.server_protocol import ENDS_AND_ATTEMPTS
from standpipe_protocol.invocation import FIRST_SEQ_HEADER, NUMBERED_HEADER, PRODUCER_HEADER, Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue, encode_json

IMPORTED_FROM = "imported_from"
IMPORTED_KEY = "imported_key"
_ANONYMOUS = "anonymous"
"""Only the broker numbers its messages."""
_BATCH_MESSAGES = 500
_BATCH_BYTES = 4 * 1024 * 1024
_FINISH_MEMBERS = ("exit_code", "reason", "launched", "outcome", "cause")
_OF_ENDS_AND_ATTEMPTS = ("outcome", "cause", "attempts")
_SETTLE_SECONDS = 3600.0
"""It must not end by itself during the import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The result of an import. Without `differences` the new invocation has the verdict and receipt of the first."""

    invocation: Invocation
    original: Invocation
    differences: tuple[str, ...]


@dataclass(slots=True)
class _Batch:
    """Messages of one producer that follow each other, in positions and in numbers."""

    producer: str
    first_seq: int
    first_position: int
    received_at: str
    messages: list[JsonValue] = field(default_factory=list[JsonValue])
    size: int = 0

    def takes(self, event: JsonObject, *, size: int) -> bool:
        return (
            event["producer"] == self.producer
            and event["seq"] == self.first_seq + len(self.messages)
            and len(self.messages) < _BATCH_MESSAGES
            and self.size + size <= _BATCH_BYTES
        )


class _Attempts:
    """The launcher's numbers of attempts, given again where they were given before."""

    def __init__(self, broker: ArchiveOperations, invocation_id: str, archive: ArchiveReader) -> None:
        self._broker, self._id, self._archive = broker, invocation_id, archive
        self._waiting: list[JsonObject] | None = None
        """The launcher's calls, oldest first; None before the first batch."""

    def begin(self, batch: _Batch) -> None:
        """Before these messages: what the launcher had reported by then."""
        if self._waiting is None:
            # An older file holds its history behind the events, and knows of no attempts.
            self._waiting = [change for change in self._archive.history if change.get("change") == "attempt"]
        while self._waiting and str(self._waiting[0].get("at")) <= batch.received_at:
            self._give(self._waiting.pop(0))

    def end(self) -> None:
        """After all messages: what the launcher reported later."""
        for change in self._waiting or []:
            self._give(change)
        self._waiting = []

    def _give(self, change: JsonObject) -> None:
        detail = change.get("detail")
        if isinstance(detail, dict):
            name = detail.get("name")
            attempt = detail.get("attempt") or 0
            self._broker.number_attempt(self._id, attempt, name=name if isinstance(name, str) else None)


def import_archive(broker: ArchiveOperations, archive: ArchiveReader) -> Imported:
    """Stores an exported invocation as a new one.

    Raises:
        InvalidArchive: the file is damaged or was cut short; what came before that is stored, and not finished.
        ServerTooOld: the broker is too old for what the file holds.
        BrokerError: the broker could not be reached, or refused.
    """
    original = archive.invocation
    if original.get("pipes") == "optional" or any(original.get(name) for name in _OF_ENDS_AND_ATTEMPTS):
        broker.protocol.require(ENDS_AND_ATTEMPTS, what=f"the import of {original['id']}")
    identity = f"{original['id']} {archive.exported_at}".encode()
    key = f"import-{hashlib.sha256(identity).hexdigest()[:32]}"
    new_id = str(broker.register(_registration(original), key=key)["id"])
    numbered = _numbered(original)
    attempts = _Attempts(broker, new_id, archive)
    late = _late_producers(original)
    for batch in _batches(archive.events()):
        if batch.producer in late:
            # It opened after the end: so that it is late here as well, the end comes first.
            broker.finish(new_id, _end_of(original))
            late = frozenset[str]()
        attempts.begin(batch)
        headers = {"Idempotency-Key": f"{key}-{batch.first_position}"}
        if batch.producer != _ANONYMOUS:
            headers = {PRODUCER_HEADER: batch.producer, FIRST_SEQ_HEADER: str(batch.first_seq)}
            if batch.producer in numbered:
                headers[NUMBERED_HEADER] = str(numbered[batch.producer])
        broker.append(new_id, batch.messages, headers=headers)
    attempts.end()
    if original.get("cancel_requested"):
        broker.cancel(new_id)
    before, after = Invocation.from_wire(original), Invocation.from_wire(broker.finish(new_id, _last_finish(archive)))
    return Imported(invocation=after, original=before, differences=tuple(_differences(before, after)))


def _registration(original: JsonObject) -> JsonObject:
    tags = dict(cast("dict[str, JsonValue]", original.get("tags") or {}))
    # A process that knows the key takes up its invocation, which must not be the imported one.
    if KEY_TAG in tags:
        tags[IMPORTED_KEY] = tags.pop(KEY_TAG)
    body: JsonObject = {
        "context": original.get("context"),
        "tags": {**tags, IMPORTED_FROM: original["id"]},
        "settle_seconds": _SETTLE_SECONDS,
    }
    body.update({name: original[name] for name in ("expected", "launcher", "pipes") if original.get(name) is not None})
    return body


def _objects(value: JsonValue) -> list[JsonObject]:
    return [one for one in (value if isinstance(value, list) else []) if isinstance(one, dict)]


def _late_producers(original: JsonObject) -> frozenset[str]:
    reasons = _objects(original.get("reasons"))
    return frozenset(str(reason.get("producer")) for reason in reasons if reason.get("code") == "late-producer")


def _end_of(original: JsonObject) -> JsonObject:
    """How the work ended, as far as the invocation itself shows it."""
    return {name: original[name] for name in ("exit_code", "outcome", "cause") if original.get(name) is not None}


def _numbered(original: JsonObject) -> dict[str, int]:
    """How many messages each producer has numbered, as the receipt has it."""
    receipt = original.get("receipt")
    producers = receipt.get("producers") if isinstance(receipt, dict) else None
    return {
        str(one["producer"]): numbered
        for one in (producers if isinstance(producers, list) else [])
        if isinstance(one, dict) and isinstance(numbered := one.get("numbered"), int) and "producer" in one
    }


def _batches(events: Iterable[JsonObject]) -> Iterator[_Batch]:
    batch: _Batch | None = None
    for event in events:
        message = _message(event)
        size = len(encode_json(message))
        if batch is not None and not batch.takes(event, size=size):
            yield batch
            batch = None
        if batch is None:
            position, seq = cast("int", event["position"]), cast("int", event["seq"])
            batch = _Batch(
                producer=str(event["producer"]),
                first_seq=seq,
                first_position=position,
                received_at=str(event.get("received_at")),
            )
        batch.messages.append(message)
        batch.size += size
    if batch is not None:
        yield batch


def _message(event: JsonObject) -> JsonValue:
    """The message of an event, as its producer would send it."""
    if "raw" in event:
        return event["raw"]
    message = {name: event[name] for name in ("method", "params", "sent_at", "details") if event.get(name) is not None}
    params, ledger = message.get("params"), event.get("ledger")
    if isinstance(params, dict) and isinstance(params.get("ledger"), dict) and event.get("method") == "closed":
        message["params"] = {**params, "ledger": _without_digest(cast("JsonObject", params["ledger"]))}
    if isinstance(ledger, dict):
        message["ledger"] = _without_digest(ledger)
    return message


def _without_digest(ledger: JsonObject) -> JsonObject:
    # It is over the bytes that were sent, which a file of values does not hold.
    return {name: value for name, value in ledger.items() if name != "sha256"}


def _last_finish(archive: ArchiveReader) -> JsonObject:
    """The launcher's last report of the end; for what ended by itself, or had not ended, its state."""
    for change in reversed(archive.history):
        detail = change.get("detail")
        if change.get("change") == "finished" and isinstance(detail, dict):
            return {name: detail[name] for name in _FINISH_MEMBERS if detail.get(name) is not None}
    if archive.invocation.get("status") != "ended":
        return {"reason": "It was exported while it ran."}
    if archive.invocation.get("verdict") == "lost":
        return {"reason": "Its lease had run out when it was exported."}
    return {}


def _differences(before: Invocation, after: Invocation) -> Iterator[str]:
    if before.last_position != after.last_position:
        yield f"{before.last_position} events were exported, and {after.last_position} are stored."
    if before.verdict != after.verdict:
        yield f"The verdict was {before.verdict or 'not known yet'} and is {after.verdict} here."
    codes = [{reason.code for reason in one.reasons} for one in (before, after)]
    if gone := codes[0] - codes[1]:
        yield f"Reasons that are not found here: {', '.join(sorted(gone))}."
    if new := codes[1] - codes[0]:
        yield f"Reasons that were not there: {', '.join(sorted(new))}."
    for name in ("events", "rejected", "by_method"):
        exported, imported = (before.receipt or {}).get(name), (after.receipt or {}).get(name)
        if before.receipt is not None and exported != imported:
            yield f"The receipt had {name}: {exported!r}, and has {imported!r} here."
