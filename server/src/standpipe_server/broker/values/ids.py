"""Ids and tokens. An invocation's id is `inv_` + UUIDv7, so that ids sort by the time of registration."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid

INVOCATION_ID = re.compile(r"inv_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PRODUCER_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ANONYMOUS_PRODUCER = "anonymous"
"""The producer of messages without numbers; the server numbers them."""


def new_invocation_id(now: int) -> str:
    """`now` in microseconds since the epoch; the sub-millisecond part goes into the 12 bits RFC 9562 leaves for it."""
    milliseconds, micros = divmod(now, 1000)
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76
    value |= (micros * 4096 // 1000) << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return f"inv_{uuid.UUID(int=value)}"


def new_token() -> str:
    """An invocation's token: 256 random bits."""
    return "spt_" + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """What is stored of a token. It is random and long, so a plain hash is enough: there is no dictionary to try."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
