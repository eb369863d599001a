"""What is larger than a server takes: text of logs is cut and says so, anything else is refused at the call."""

from __future__ import annotations

from standpipe.errors import PipesMessageTooLarge
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import Log, LogExternalStream, Message, message_to_wire


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


def _cut(text: str, room: int) -> str:
    return f"{text[:room]}… ({len(text) - room} more characters were cut: the message was too large)"
