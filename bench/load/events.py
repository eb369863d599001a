"""The events that are measured: each different, of words, numbers and ids, so that compression flatters nobody.

Seeded: every run has the same ones. 1 KB is the size of the whole message as JSON, give or take a word.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

Message = dict[str, object]

_random = random.Random(7)  # noqa: S311  benchmarks repeat, they keep no secrets

WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()


def text(characters: int) -> str:
    """Words, with now and then a number among them, cut to a length."""
    words = _random.choices(WORDS, k=characters // 4 + 2)
    for index in range(3, len(words), 9):
        words[index] = str(_random.randrange(10**6))
    return " ".join(words)[:characters]


def small_message() -> Message:
    """A custom message of about 190 bytes."""
    payload = {"step": _random.randrange(10**6), "loss": _random.random(), "id": _uuid(), "note": text(24)}
    return {"method": "report_custom_message", "params": {"payload": payload}}


def custom_message() -> Message:
    payload = {
        "id": _uuid(),
        "batch": _uuid(),
        "rows": _random.randrange(10**7),
        "scores": [round(_random.gauss(0, 1), 6) for _ in range(12)],
        "region": _random.choice(WORDS),
        "summary": text(340),
        "note": text(320),
    }
    return {"method": "report_custom_message", "params": {"payload": payload}}


def log_message() -> Message:
    seconds = _random.randrange(86_400)
    time = f"2026-01-31T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{_random.randrange(10**6):06}Z"
    details = {
        "logger": ".".join(_random.choices(WORDS, k=3)),
        "thread": f"worker-{_random.randrange(64)}",
        "time": time,
        "fields": {"request_id": _uuid(), "duration": _random.random(), "bytes": _random.randrange(10**7)},
    }
    return {"method": "log", "params": {"message": text(735), "level": "INFO"}, "details": details}


def materialization(asset_key: str) -> Message:
    metadata = {
        "rows": {"type": "int", "raw_value": _random.randrange(10**8)},
        "share": {"type": "float", "raw_value": _random.random()},
        "job": {"type": "text", "raw_value": _uuid()},
        "summary": {"type": "text", "raw_value": text(190)},
        "report": {"type": "md", "raw_value": text(190)},
        "page": {"type": "url", "raw_value": f"https://example.com/{text(20).replace(' ', '/')}"},
        "profile": {"type": "json", "raw_value": {"mean": _random.random(), "words": text(60).split()}},
    }
    params = {"asset_key": asset_key, "data_version": f"{_random.getrandbits(64):016x}", "metadata": metadata}
    return {"method": "report_asset_materialization", "params": params}


def encoded(make: Callable[[int], Message], count: int) -> list[bytes]:
    return [json.dumps(make(number)).encode() for number in range(count)]


def batch(messages: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(messages) + b"]"


def _uuid() -> str:
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))
