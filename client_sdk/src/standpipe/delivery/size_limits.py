"""Messages larger than the server takes: a log is cut and says so, any other report is refused at the call."""

from __future__ import annotations

from standpipe.errors import PipesMessageTooLarge
from standpipe_protocol.json_scan import has_longer_integer
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import Log, LogExternalStream, Message, message_to_wire


def within_limits(message: Message, body: bytes, *, limits: Limits, sent_at: str) -> bytes:
    """The message's JSON as a server with these limits takes it; `body` is what it is now. Raises PipesMessageTooLarge
    where it is no log, so that nothing can be left out."""
    most: int | None = None
    if len(body) > limits.message_bytes:
        # JSON writes one character of a text in up to twelve bytes.
        most = max(limits.message_bytes // 12 - 1000, 0)
        error = (
            f"Calling `{message.method}` with a message of {len(body)} bytes as JSON; the server takes "
            f"{limits.message_bytes} at most. Write large data to a store of its own and report where it is."
        )
    elif len(body) > limits.integer_digits and has_longer_integer(body, limits.integer_digits):
        error = (
            f"Calling `{message.method}` with an integer of more than {limits.integer_digits} decimal digits, which "
            "the server does not take. Report it as a string."
        )
    else:
        return body
    # Details and extras, which stand beside the text, are left out: in a log the long integer is there.
    match message:
        case Log(message=text, level=level):
            short: Message = Log(message=_cut(text, most), level=level)
        case LogExternalStream(stream=stream, text=text):
            short = LogExternalStream(stream=stream, text=_cut(text, most))
        case _:
            raise PipesMessageTooLarge(error)
    return encode_json(message_to_wire(short, sent_at=sent_at))


def _cut(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most} more characters were cut: the message was too large)"
