"""Which report on an asset or check stands, where several attempts of the work report the same one.

Pure. Invariant: the report of the newest attempt stands, also when an older attempt reports later.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle.attempts import is_newer
from standpipe_server.broker.messages.parsed_message import Check, Materialization
from standpipe_server.broker.values.state import ProducerState

ReportKey: TypeAlias = tuple[str, str | None]
"""An asset key, and the name of a check, or None for a materialization."""


class StandingReport(msgspec.Struct, frozen=True, gc=False):
    """The report on an asset or check that no newer attempt has replaced."""

    position: int
    producer: ProducerState


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a report stands beside that of another attempt on the same asset or check."""

    key: ReportKey
    stands: bool
    replaces: int | None = None
    """The position of the older attempt's report."""


def place_report(
    content: Materialization | Check,
    producer: ProducerState,
    *,
    standing: dict[ReportKey, StandingReport],
    position: int,
) -> Place | None:
    """None: no other attempt has to do with it, and the usual rules hold."""
    key = (content.asset_key, content.check_name if isinstance(content, Check) else None)
    before = standing.get(key)
    if before is not None and is_newer(producer, before.producer):
        standing[key] = StandingReport(position, producer)
        return Place(key, stands=True, replaces=before.position)
    if producer.superseded and before is not None:
        return Place(key, stands=False)
    return None


def remarks_on_attempt(method: str, producer: ProducerState, place: Place | None) -> list[dict[str, JsonValue]]:
    remarks: list[dict[str, JsonValue]] = []
    if place is not None and place.replaces is not None:
        detail = f"It takes the place of the report at position {place.replaces}, of an older attempt."
        remarks.append({"code": "replaces", "detail": detail, "position": place.replaces})
    if producer.superseded and method != "log":
        remarks.append({"code": "superseded", "detail": "Reported by an older attempt, after a newer one had begun."})
    return remarks
