"""What a launcher says on the way: submitted, queued, starting, running, and where.

Pure. Invariant: the values are those of the newest attempt's newest instant, in any order of the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from standpipe_protocol.json_text import JsonValue, json_kind
from standpipe_protocol.members import InvalidMember
from standpipe_protocol.process_end import Attempt, parse_attempt
from standpipe_server.broker.values.times import from_rfc3339, to_rfc3339

LAUNCH_STATES = ("submitted", "queued", "starting", "running")
_TEXTS = {"platform": 512, "job_id": 512, "node": 512, "image": 2_048, "url": 2_048}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchState:
    """One call of `launch`. `at` is in microseconds since the epoch; None: when the server got it."""

    state: str
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    """Platform, job_id, node, image and url, as far as they were given."""
    attempt: Attempt | None = None
    at: int | None = None


def read_launch(wire: Mapping[str, JsonValue]) -> LaunchState:
    """Reads the members of a call.

    Raises:
        InvalidMember: one has a wrong shape.
    """
    state = wire.get("state")
    if not isinstance(state, str) or state not in LAUNCH_STATES:
        got = json_kind(state) if "state" in wire else "nothing"
        raise InvalidMember("/state", f"one of {', '.join(LAUNCH_STATES)}", got)
    places: dict[str, str] = {}
    for name, longest in _TEXTS.items():
        value = wire.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > longest:
            got = f"{len(value)} characters" if isinstance(value, str) else json_kind(value)
            raise InvalidMember(f"/{name}", f"a string of at most {longest} characters", got)
        places[name] = value
    attempt, at = wire.get("attempt"), wire.get("at")
    return LaunchState(
        state=state,
        places=places,
        attempt=None if attempt is None else parse_attempt(attempt, pointer="/attempt"),
        at=None if at is None else _instant(at),
    )


def merge_launch(
    before: Mapping[str, JsonValue] | None, new: LaunchState, *, now: int
) -> Mapping[str, JsonValue] | None:
    """The newest values after a call, as the invocation shows them; `before` itself when it changes nothing."""
    at = now if new.at is None else new.at
    known: dict[str, JsonValue] = dict(before or {})
    attempt = new.attempt if new.attempt is not None else _attempt_of(known)
    if known and attempt < _attempt_of(known):
        return before
    if attempt > _attempt_of(known):
        # Where the attempt before ran says nothing of this one; the platform is the same.
        known = {name: value for name, value in known.items() if name in ("platform", "image")}
    newest_at = known.get("at")
    if isinstance(newest_at, str) and new.at is not None and at < from_rfc3339(newest_at):
        return _with_first(before, known, new.state, at)
    report: dict[str, JsonValue] = {"state": new.state, **new.places}
    if attempt:
        report["attempt"] = list(attempt)
    if all(known.get(name) == value for name, value in report.items()):
        return before
    known |= report | {"at": to_rfc3339(at)}
    known.setdefault(f"{new.state}_at", to_rfc3339(at))
    return known


def _with_first(
    before: Mapping[str, JsonValue] | None, known: dict[str, JsonValue], state: str, at: int
) -> Mapping[str, JsonValue] | None:
    """A call that comes after a newer one still tells when its state was first reached."""
    first = known.get(f"{state}_at")
    if isinstance(first, str) and from_rfc3339(first) <= at:
        return before
    return known | {f"{state}_at": to_rfc3339(at)}


def _attempt_of(known: Mapping[str, JsonValue]) -> Attempt:
    attempt = known.get("attempt")
    return tuple(cast("list[int]", attempt)) if isinstance(attempt, list) else ()


def _instant(at: JsonValue) -> int:
    try:
        if isinstance(at, str) and datetime.fromisoformat(at).tzinfo is not None:
            return from_rfc3339(at)
    except ValueError:
        pass
    raise InvalidMember("/at", "an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z", json_kind(at))
