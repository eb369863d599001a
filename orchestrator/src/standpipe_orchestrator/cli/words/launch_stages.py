"""Where launched work is on its way: queued, starting or running, how long each took, and where.

Pure. Reads the `platform` of an invocation, which its launcher keeps up to date; without one nothing is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.text import Text

from standpipe_orchestrator.cli.words.text import duration, local_time, one_line, seconds_between
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue

_STATES = ("submitted", "queued", "starting", "running")
_PLACES = {"platform": "", "job_id": "job ", "node": "node ", "image": "image ", "url": ""}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the way. `end` is None while it goes on."""

    name: str
    begin: str
    end: str | None

    @property
    def seconds(self) -> float:
        return max(0.0, seconds_between(self.begin, self.end or datetime.now(UTC).isoformat()) or 0.0)


def waiting_state(invocation: Invocation) -> str | None:
    """The platform's word for work of which no process has opened, or not that of its newest attempt; else None."""
    state = _text(invocation, "state")
    if invocation.ended or state not in _STATES:
        return None
    if invocation.status == "registered":
        return state if state != "running" or invocation.pipes == "optional" else "running, not opened"
    return state if state != "running" and _waits_again(invocation) else None


def waiting_line(invocation: Invocation) -> Text | None:
    """`queued since 12:57:01: slurm, job 4711`, for work that waits; else None."""
    state = waiting_state(invocation)
    if state is None:
        return None
    place = place_words(invocation.platform or {})
    since = _text(invocation, f"{_text(invocation, 'state')}_at")
    text = Text(state, style="blue").append("" if since is None else f" since {local_time(since)[11:]}", style="dim")
    return text.append(f": {place}" if place else "", style="dim")


def spans(invocation: Invocation) -> list[Span]:
    """Queue time, start and run of the newest attempt, as far as they are known, in order."""
    if invocation.platform is None:
        return []
    submitted, queued, starting, running = (_text(invocation, f"{state}_at") for state in _STATES)
    # When a process opened says nothing of an attempt after the first.
    opened = None if _attempt(invocation.platform) else invocation.opened_at
    found: list[Span] = []
    if waits := submitted or queued:
        found.append(Span("queued", waits, starting or running or opened or invocation.ended_at))
    if starting:
        found.append(Span("starting", starting, running or opened or invocation.ended_at))
    if runs := running or opened:
        found.append(Span("running", runs, invocation.ended_at))
    return found


def seconds_in(invocation: Invocation, name: str) -> float | None:
    """How long it was `queued`, `starting` or `running`; None where it is not known."""
    return next((span.seconds for span in spans(invocation) if span.name == name), None)


def way(invocation: Invocation) -> Iterator[tuple[str, Text]]:
    """Lines with their names: where it is, and how long it waited and ran."""
    if invocation.platform is None:
        return
    if place := place_words(invocation.platform):
        yield "Platform", Text(place)
    for span in spans(invocation):
        since = f" since {local_time(span.begin)[11:]}" if span.end is None else ""
        yield span.name.capitalize(), Text(duration(span.seconds)).append(since, style="dim")


def place_words(place: Mapping[str, JsonValue]) -> str:
    """`slurm, job 4711, node n7`; what is not known is left out."""
    known = ((word, place.get(name)) for name, word in _PLACES.items())
    return ", ".join(f"{word}{one_line(value, at_most=200)}" for word, value in known if isinstance(value, str))


def _waits_again(invocation: Invocation) -> bool:
    """A newer attempt waits, and none of its processes has opened, as far as producers are known."""
    attempt = _attempt(invocation.platform or {})
    opened = any(one.get("opened") is True and one.get("attempt") == attempt for one in invocation.producers)
    return bool(attempt) and not opened


def _attempt(platform: Mapping[str, JsonValue]) -> list[JsonValue]:
    attempt = platform.get("attempt")
    return attempt if isinstance(attempt, list) else []


def _text(invocation: Invocation, name: str) -> str | None:
    value = (invocation.platform or {}).get(name)
    return value if isinstance(value, str) else None
