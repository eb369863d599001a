"""The payloads: S, a custom message of about 190 bytes; M, a materialization of about 1 KB with six metadata entries.

The text in them is random, so that compression has no easier work here than with real events.
"""

from __future__ import annotations

import json
import random

_random = random.Random(7)  # noqa: S311  benchmarks repeat, they keep no secrets


def small_message() -> bytes:
    payload = {"step": _random.randrange(10**6), "loss": _random.random(), "note": f"{_random.getrandbits(320):080x}"}
    return json.dumps({"method": "report_custom_message", "params": {"payload": payload}}).encode()


def large_message(key: str = "orders") -> bytes:
    metadata = {
        f"entry_{number}": {"type": "text", "raw_value": f"{_random.getrandbits(360):090x}"} for number in range(6)
    }
    params = {"asset_key": key, "data_version": f"{_random.getrandbits(64):016x}", "metadata": metadata}
    return json.dumps({"method": "report_asset_materialization", "params": params}).encode()


def batch(messages: list[bytes]) -> bytes:
    return b"[" + b",".join(messages) + b"]"
