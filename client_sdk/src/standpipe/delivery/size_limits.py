"""What is larger than a server takes: text of logs is cut and says so, anything else is refused at the call."""

from __future__ import annotations

from standpipe.errors import PipesMessageTooLarge
from standpipe_protocol.json_scan import has_longer_integer
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import Log, LogExternalStream, Message, message_to_wire


def within_limits(message: Message, body: bytes, *, limits: Limits, sent_at: str) -> bytes:
    """The message's JSON as a server with these limits takes it; `body` is what it is now.

    Raises:
        PipesMessageTooLarge: it is no log text, so that nothing can be left out.
    """
    if len(body) > limits.message_bytes:
        return shortened(message, size=len(body), limit=limits.message_bytes, sent_at=sent_at)
    if len(body) > limits.integer_digits and has_longer_integer(body, limits.integer_digits):
        return _without_fields(message, digits=limits.integer_digits, sent_at=sent_at)
    return body


def shortened(message: Message, *, size: int, limit: int, sent_at: str) -> bytes:
    """The message so that it fits into `limit` bytes, of which it takes `size` now.

    Raises:
        PipesMessageTooLarge: it is no log text, so that nothing can be left out.
    """
    # JSON writes one character of a text in up to twelve bytes.
    room = max(limit // 12 - 1000, 0)
    match message:
        case Log(message=text, level=level):
            return encode_json(message_to_wire(Log(message=_cut(text, room), level=level), sent_at=sent_at))
        case LogExternalStream(stream=stream, text=text):
            return encode_json(
                message_to_wire(LogExternalStream(stream=stream, text=_cut(text, room)), sent_at=sent_at)
            )
        case _:
            raise PipesMessageTooLarge(
                f"Calling `{message.method}` with a message of {size} bytes as JSON; the server takes {limit} at "
                "most. Write large data to a store of its own and report where it is."
            )


def _without_fields(message: Message, *, digits: int, sent_at: str) -> bytes:
    """A log without what stands beside its text; there the integer is that the server does not take."""
    match message:
        case Log(message=text, level=level):
            return encode_json(message_to_wire(Log(message=text, level=level), sent_at=sent_at))
        case LogExternalStream(stream=stream, text=text):
            return encode_json(message_to_wire(LogExternalStream(stream=stream, text=text), sent_at=sent_at))
        case _:
            raise PipesMessageTooLarge(
                f"Calling `{message.method}` with an integer of more than {digits} decimal digits, which the server "
                "does not take. Report it as a string."
            )


def _cut(text: str, room: int) -> str:
    return f"{text[:room]}… ({len(text) - room} more characters were cut: the message was too large)"
