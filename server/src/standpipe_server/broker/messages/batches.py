"""Request bodies with messages: split into messages that keep their own bytes, each checked against its method.

A body that is not JSON or larger than a limit is refused whole. A message that breaks a rule of its method carries its
problem and is stored as rejected; its siblings are untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from standpipe_protocol.json_scan import has_longer_integer, json_depth
from standpipe_protocol.limits import Limits
from standpipe_server.broker.messages.lean_structs import LeanMessage, decode_lean_array
from standpipe_server.broker.messages.parsed_message import ParsedMessage, parse_messages, parse_one, with_long_integer
from standpipe_server.broker.messages.splitting import (
    Media,
    Split,
    array_texts,
    join_messages,
    split_messages,
    too_large,
)

PLAIN_BYTES: Final = 64 * 1024
"""`parse_plain` takes no more: what it costs is bounded by this."""
_ONE_PASS_BYTES = 1024 * 1024
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_COUNTED_BYTES = 16 * 1024
_BRACKETS_LOOKED_AT = 256 * 1024


class Batch(msgspec.Struct, frozen=True, gc=False):
    """The messages of one request; `bare` when the body was one JSON object and not an array or lines.

    `array` holds their own bytes, as one JSON array.
    """

    messages: Sequence[ParsedMessage]
    array: bytes
    bare: bool

    def array_from(self, index: int) -> bytes:
        """The bytes of the messages from `index` on, as a JSON array."""
        if index == 0:
            return self.array
        return join_messages([bytes(raw) for raw in array_texts(self.array)[index:]])


def parse_batch(body: bytes, *, media: Media, limits: Limits) -> Batch:
    """Splits a (decompressed) body into checked messages. Not for the event loop: it takes time for a large body.

    Raises:
        Refused: `malformed` with the line or offset, or `too-large` with the limit.
    """
    plain = parse_plain(body, media=media, limits=limits)
    if plain is not None:
        return plain
    split = split_messages(body, media=media, limits=limits)
    _check_depths(split, limits=limits)
    messages = _parse_split(split, limits=limits)
    if has_longer_integer(split.array, limits.integer_digits):
        _reject_long_integers(messages, split, digits=limits.integer_digits)
    return Batch(messages, split.array, split.bare)


def parse_plain(body: bytes, *, media: Media, limits: Limits) -> Batch | None:
    """The same for a small body in which nothing is unusual, in one pass; None is no answer.

    What it looks at is bounded before: no such body costs more than a millisecond or two.
    """
    if len(body) > PLAIN_BYTES or not _is_utf8(body):
        return None
    array, bare = body.strip(b" \t\r\n"), False
    if media == "ndjson":
        array = _array_of_lines(array)
    elif array.startswith(b"{"):
        bare, array = True, join_messages([array])
    elif not array.startswith(b"["):
        return None
    leans = decode_lean_array(array)
    # A comma between two objects is no message.
    if leans is None or (bare and len(leans) != 1) or not _is_within(array, leans, limits=limits):
        return None
    if media == "ndjson" and [bytes(raw) for raw in array_texts(array)] != _lines(body):
        return None
    messages = parse_messages(lambda: array_texts(array), leans, longest_name=limits.name_characters)
    return Batch(messages, array, bare)


def _lines(body: bytes) -> list[bytes]:
    return [text for line in body.split(b"\n") if (text := line.strip(b" \t\r"))]


def _array_of_lines(body: bytes) -> bytes:
    return join_messages(_lines(body))


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _is_within(array: bytes, leans: Sequence[LeanMessage], *, limits: Limits) -> bool:
    """Whether a small array is plainly within the limits; False is no answer."""
    return (
        len(leans) <= limits.batch_messages
        and len(array) <= limits.message_bytes
        and (len(array) <= limits.integer_digits or not has_longer_integer(array, limits.integer_digits))
        and _is_shallow(array, depth=limits.json_depth + 1)
    )


def _check_depths(split: Split, *, limits: Limits) -> None:
    """Refuses what holds a message that is nested too deep; looks at each only where it may be."""
    if len(split.array) <= _ONE_PASS_BYTES and _is_shallow(split.array, depth=limits.json_depth + 1):
        return
    for index, (start, end) in enumerate(split.spans):
        text = split.array[start:end]
        if text.count(b"[") + text.count(b"{") <= limits.json_depth or _is_shallow(text, depth=limits.json_depth):
            continue
        if json_depth(text, enough=limits.json_depth) > limits.json_depth:
            raise too_large(f"Message {index} is nested deeper than that", limits.json_depth, "json_depth")


def _parse_split(split: Split, *, limits: Limits) -> list[ParsedMessage]:
    longest = limits.name_characters
    if len(split.array) <= _ONE_PASS_BYTES:
        leans = decode_lean_array(split.array)
        return parse_messages(lambda: array_texts(split.array), leans, longest_name=longest)
    return [parse_one(split.array[start:end], longest_name=longest) for start, end in split.spans]


def _reject_long_integers(messages: list[ParsedMessage], split: Split, *, digits: int) -> None:
    for index, (start, end) in enumerate(split.spans):
        text = split.array[start:end]
        if has_longer_integer(text, digits):
            messages[index] = with_long_integer(messages[index], text, digits=digits)


def _is_shallow(array: bytes, *, depth: int) -> bool:
    """Whether the brackets alone say that the nesting is within `depth`; False is no answer (strings hold brackets)."""
    # In a large array there are never few, and counting them costs more than taking them out.
    if len(array) <= _COUNTED_BYTES and array.count(b"{") + array.count(b"[") <= depth:
        return True
    brackets = array.translate(_ONE_KIND, _ALL_BUT_BRACKETS)
    if len(brackets) > _BRACKETS_LOOKED_AT:
        return False
    # Innermost pairs go first, one level a turn; few levels are what messages have.
    for _ in range(min(depth, 16)):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    return False
