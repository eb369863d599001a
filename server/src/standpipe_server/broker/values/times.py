"""Instants as the broker counts them: whole microseconds since the epoch, UTC; on the wire RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  without a zone it is written in half the time


def to_rfc3339(instant: int) -> str:
    """`1700000000123456` -> `2023-11-14T22:13:20.123456Z`."""
    second, rest = divmod(instant, 1_000_000)
    return f"{_to_the_second(second)}.{rest:06}Z"


@lru_cache(4096)
def _to_the_second(second: int) -> str:
    # A list has hundreds of instants, many of them in the same few seconds.
    return (_PLAIN_EPOCH + timedelta(0, second)).isoformat()


def from_rfc3339(text: str) -> int:
    """Reads an RFC 3339 time; one without an offset is taken as UTC.

    Raises:
        ValueError: it is not a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def seconds(amount: float) -> int:
    """Seconds as microseconds."""
    return round(amount * 1_000_000)
