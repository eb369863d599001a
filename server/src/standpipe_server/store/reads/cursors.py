"""Cursors: opaque texts that say where a list goes on, bound to the list and the filter they were given for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any, cast

from standpipe_protocol.json_text import JsonValue
from standpipe_server.store.errors import BadCursor


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: items as JSON objects, ready to be sent."""

    items: list[bytes]
    next_cursor: str | None


def encode_cursor(binding: object, key: JsonValue) -> str:
    """`binding` is what the list was filtered by; `key` the last item's place in the order."""
    text = json.dumps([_digest(binding), key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(binding: object, cursor: str) -> Any:
    """Raises BadCursor when it is no cursor of this list with this filter."""
    try:
        wire: object = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        raise BadCursor from None
    if not isinstance(wire, list) or len(cast("list[object]", wire)) != 2:
        raise BadCursor
    bound, key = cast("list[Any]", wire)
    if bound != _digest(binding):
        raise BadCursor
    return key


def _digest(binding: object) -> str:
    return hashlib.sha256(repr(binding).encode("utf-8", "surrogatepass")).hexdigest()[:16]
