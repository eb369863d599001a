"""Integers longer than Python reads and writes in reasonable time, carried through a decoded value as stand-ins.

A million digits take Python a second to read and twenty to write, in which no other thread runs, so the digits are
kept as text. A stand-in is a random integer of its own: still a number where types are checked, never one to
calculate with.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import cast

from standpipe_protocol.json_text import JsonValue, encode_json

# Python reads and writes up to 640 digits under any setting of its limit; a stand-in has 570 to 572.
_LONGEST_READ = 600
_STAND_IN_BITS = 1_896
_STAND_IN = re.compile(rb"[0-9]{570,}")
_SPACE = re.compile(r"[ \t\n\r]*")


class LongIntegers:
    """Decodes and encodes JSON; what one instance has decoded, it encodes with the digits that came."""

    def __init__(self) -> None:
        self._digits: dict[bytes, bytes] = {}
        self._stand_ins: dict[str, int] = {}

    def decode(self, text: bytes) -> JsonValue:
        """Raises ValueError when the text is not JSON or not UTF-8."""
        decoded = text.decode("utf-8")
        try:
            return cast("JsonValue", json.loads(decoded))
        except json.JSONDecodeError:
            raise
        except ValueError:
            # The one other reason is an integer of too many digits.
            return cast("JsonValue", json.loads(decoded, parse_int=self._read))

    def encode(self, value: object) -> bytes:
        """Raises as `encode_json` does."""
        text = encode_json(value)
        if not self._digits:
            return text
        return _STAND_IN.sub(lambda match: self._digits.get(match.group(), match.group()), text)

    def members(self, text: bytes) -> Iterator[tuple[str, JsonValue]]:
        """The members of a JSON object one after another, so that many of them are never in memory at once.

        Other threads run between two of them. The text must be valid JSON.
        """
        decoded = text.decode("utf-8")
        scan = json.JSONDecoder(parse_int=self._read).raw_decode
        place = _next_token(decoded, 1)
        while decoded[place] == '"':
            name, place = scan(decoded, place)
            value, place = scan(decoded, _next_token(decoded, _next_token(decoded, place) + 1))
            yield name, value
            # A comma, or the bracket that ends the object.
            place = _next_token(decoded, place)
            if decoded[place] == ",":
                place = _next_token(decoded, place + 1)

    def _read(self, digits: str) -> int:
        if len(digits) <= _LONGEST_READ:
            return int(digits)
        # The same number has the same stand-in, so that what is equal stays equal.
        stand_in = self._stand_ins.get(digits)
        if stand_in is None:
            stand_in = self._stand_ins[digits] = secrets.randbits(_STAND_IN_BITS) | 1 << _STAND_IN_BITS - 1
            self._digits[str(stand_in).encode()] = digits.encode()
        return stand_in


def _next_token(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return place if match is None else match.end()
