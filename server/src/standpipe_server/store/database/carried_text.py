"""Text that came from outside, as both databases can hold it. The one invariant: what is read is what was written."""

from __future__ import annotations

import re

from sqlalchemy import Dialect, Text, TypeDecorator

_CARRY = re.compile("[\x00\x01\ud800-\udfff]")


def carry(value: str | None) -> str | None:
    """A text as `CarriedText` writes it, for rows that are written past SQLAlchemy's types."""
    # Almost every text is printable, which is quicker to see than that it holds none of the few that are carried.
    if value is None or value.isprintable() or not _CARRY.search(value):
        return value
    return _CARRY.sub(lambda match: f"\x01{ord(match.group()):x}\x01", value)


def uncarry(value: str | None) -> str | None:
    """The text that `carry` was given."""
    if value is None or "\x01" not in value:
        return value
    return re.sub("\x01([0-9a-f]+)\x01", lambda match: chr(int(match.group(1), 16)), value)


class CarriedText(TypeDecorator[str]):
    """Text that came from outside: NUL and lone surrogates, which PostgreSQL refuses, are carried on both databases.

    `\\x01` is the escape: followed by the code point in hex and another `\\x01`.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return carry(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return uncarry(value)
