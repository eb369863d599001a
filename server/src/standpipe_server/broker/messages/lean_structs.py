"""The fast path of validation: msgspec structs derived from the vocabulary's message classes, so they cannot drift.

A struct decodes a message's envelope and its method's parameters in one pass and leaves every JSON-valued parameter
undecoded. What a struct accepts, `standpipe_protocol.messages.parse_message` accepts; what it refuses is read again by
`parse_message`, which decides and names the place of an error.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw

from standpipe_protocol import messages

_NULL = Raw(b"null")
# These ride in the envelope, not in the parameters.
_ENVELOPE_FIELDS = {"details", "ledger"}


class LeanParams(msgspec.Struct, gc=False):
    """The parameters of one method; the derived classes add them."""


class LeanMessage(msgspec.Struct, tag_field="method", gc=False, kw_only=True):
    """The envelope; the derived classes add `params` and are told apart by `method`."""

    sent_at: Raw = _NULL
    ledger: Raw = _NULL


def _lean_type(hint: Any) -> Any:
    """Strings and booleans are checked, everything else is carried undecoded."""
    if hint in (str, bool):
        return hint
    if get_origin(hint) in (Union, types.UnionType):
        options = set(get_args(hint)) - {type(None)}
        if options == {str}:
            return str | None
    return Raw


def _lean_message(message_class: type[messages.Message]) -> type[LeanMessage]:
    hints = get_type_hints(message_class)
    columns: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in fields(message_class):
        if field.name in _ENVELOPE_FIELDS:
            continue
        kind = _lean_type(hints[field.name])
        if field.default is MISSING:
            columns.append((field.name, kind))
        else:
            columns.append((field.name, kind, _NULL if kind is Raw else field.default))
    params = msgspec.defstruct(f"{message_class.__name__}Params", columns, bases=(LeanParams,), kw_only=True, gc=False)
    message = msgspec.defstruct(
        message_class.__name__,
        [("params", params)],
        bases=(LeanMessage,),
        tag_field="method",
        tag=message_class.method,
        kw_only=True,
        gc=False,
    )
    return cast("type[LeanMessage]", message)


LEAN_MESSAGES: dict[str, type[LeanMessage]] = {cls.method: _lean_message(cls) for cls in messages.MESSAGE_CLASSES}
_UNION = Union[tuple(LEAN_MESSAGES.values())]  # pyright: ignore[reportInvalidTypeForm]  # noqa: UP007  the union is built at run time
_decode_one: Callable[[bytes | Raw], LeanMessage] = msgspec.json.Decoder(_UNION).decode
_decode_many: Callable[[bytes], list[LeanMessage]] = msgspec.json.Decoder(list[_UNION]).decode  # pyright: ignore[reportAssignmentType, reportUnknownMemberType]  as above


def decode_lean(text: bytes | Raw) -> LeanMessage | None:
    """The message as a struct, or None when the fast path does not take it (which does not make it invalid)."""
    try:
        return _decode_one(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def decode_lean_array(array: bytes) -> list[LeanMessage] | None:
    """All messages of an array in one pass, or None when the fast path does not take one of them."""
    try:
        return _decode_many(array)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
