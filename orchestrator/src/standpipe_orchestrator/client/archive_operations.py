"""An invocation as a file: lines of JSON that hold everything a reader can know of it, and end with a count.

    {"standpipe_export": 1, "exported_at": "...", "invocation": {...}}
    {"history": {...}}        changes of state; in older files behind the events
    {"event": {...}}          each as the broker gives it, by position
    {"end": {"events": 120, "history": 4}}

Read and written a line at a time, in bounded memory. The invariant: a file that was cut short, or is of a later format,
is never taken for a whole one.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from standpipe_orchestrator.client.server_protocol import ServerProtocol
from standpipe_orchestrator.client.transport import Transport
from standpipe_orchestrator.errors import InvalidArchive
from standpipe_protocol.json_text import JsonObject, JsonValue, decode_json
from standpipe_protocol.limits import LONGEST_INTEGER

FORMAT = 1
FORMAT_MEMBER = "standpipe_export"
_EVENTS_A_PAGE = 1000


class ArchiveOperations:
    """Carries an invocation out of the broker and into it, as the broker's own JSON."""

    def __init__(self, transport: Transport, *, protocol: ServerProtocol) -> None:
        self._transport = transport
        self.protocol = protocol

    def export(self, invocation_id: str) -> Iterator[JsonObject]:
        """The lines of an invocation's file, as objects. Of one that runs: what was stored when this began.

        Raises:
            NotFound: there is none.
            UnexpectedAnswer: it was deleted in between.
        """
        path = f"/invocations/{invocation_id}"
        invocation = self._transport.call_object("GET", path)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        yield {FORMAT_MEMBER: FORMAT, "exported_at": now, "invocation": invocation}
        history = cast("list[JsonObject]", self._transport.call_object("GET", f"{path}/history").get("items") or [])
        for change in history:
            yield {"history": change}
        last, after, count = cast("int", invocation.get("last_position", 0)), 0, 0
        while after < last:
            limit = min(_EVENTS_A_PAGE, last - after)
            page = self._transport.call_object("GET", f"{path}/events", query={"after": after, "limit": limit})
            events = cast("list[JsonObject]", page.get("items") or [])
            if not events:
                raise self._transport.unexpected(
                    "GET", f"{path}/events", f"without the events after {after}: they are gone"
                )
            for event in events:
                yield {"event": event}
            count, after = count + len(events), cast("int", page["next_after"])
        yield {"end": {"events": count, "history": len(history)}}

    def register(self, body: JsonObject, *, key: str) -> JsonObject:
        """Registers from JSON as it was; answers the invocation."""
        answer = self._transport.call_object("POST", "/invocations", body=body, headers={"Idempotency-Key": key})
        return cast("JsonObject", answer["invocation"])

    def append(self, invocation_id: str, messages: list[JsonValue], *, headers: Mapping[str, str]) -> JsonObject:
        """Appends messages as they are; what the broker rejects is stored as rejected."""
        return self._transport.call_object(
            "POST", f"/invocations/{invocation_id}/events", body=messages, headers=headers
        )

    def get(self, invocation_id: str) -> JsonObject:
        return self._transport.call_object("GET", f"/invocations/{invocation_id}")

    def cancel(self, invocation_id: str) -> None:
        self._transport.call_object("POST", f"/invocations/{invocation_id}/cancel", body={})

    def number_attempt(self, invocation_id: str, attempt: JsonValue, *, name: str | None = None) -> None:
        body: JsonObject = {"attempt": attempt} if name is None else {"attempt": attempt, "name": name}
        self._transport.call_object("POST", f"/invocations/{invocation_id}/attempts", body=body)

    def finish(self, invocation_id: str, end: JsonObject) -> JsonObject:
        return self._transport.call_object("POST", f"/invocations/{invocation_id}/finish", body=end)


class ArchiveReader:
    """Reads a file's lines once: the invocation at once, then `events()`, after which `history` is there.

    Args:
        lines: of the file; read as they are needed.
        name: of the file, for what is said about it.

    Raises:
        InvalidArchive: the first line is not that of an export.
    """

    def __init__(self, lines: Iterable[str], *, name: str) -> None:
        self.name = name
        self.history: list[JsonObject] = []
        self._lines = enumerate(lines, 1)
        header = self._next()
        version = None if header is None else header.get(FORMAT_MEMBER)
        invocation = None if header is None else header.get("invocation")
        if not isinstance(version, int) or not isinstance(invocation, dict):
            raise InvalidArchive(f"{name} is not what `standpipe export` writes: its first line is no header of one.")
        if version > FORMAT:
            raise InvalidArchive(f"{name} is of format {version}; this version reads formats up to {FORMAT}.")
        self.invocation: JsonObject = invocation
        self.exported_at = str(header.get("exported_at", "")) if header is not None else ""

    def events(self) -> Iterator[JsonObject]:
        """The events, by position.

        Raises:
            InvalidArchive: a line is damaged or missing, or the file was cut short.
        """
        count = 0
        while (line := self._next()) is not None:
            match line:
                case {"event": dict(event)}:
                    count += 1
                    if event.get("position") != count:
                        raise InvalidArchive(
                            f"{self.name} has position {event.get('position')!r} where {count} was expected."
                        )
                    yield event
                case {"history": dict(change)}:
                    self.history.append(change)
                case {"end": dict(end)}:
                    if (end.get("events"), end.get("history")) != (count, len(self.history)):
                        break
                    return
                case _:
                    pass  # a later version's line of another kind
        raise InvalidArchive(f"{self.name} was cut short: it holds {count} events and no end that counts them.")

    def _next(self) -> JsonObject | None:
        for number, line in self._lines:
            if not line.strip():
                continue
            try:
                value = decode_json(line, longest_integer=LONGEST_INTEGER)
            except ValueError as error:
                raise InvalidArchive(f"Line {number} of {self.name} is not JSON: {error}.") from None
            if not isinstance(value, dict):
                raise InvalidArchive(f"Line {number} of {self.name} is no JSON object.")
            return value
        return None
