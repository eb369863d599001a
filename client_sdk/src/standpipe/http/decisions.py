"""What to do after each answer: pure decisions, no clock, no I/O.

Only an acknowledgement and a problem of this protocol come from the server. Any other answer, with any status, comes
from a proxy or portal in between, and the request is tried again. The invariant: a message leaves the outbox only on a
decision of this module, and only `Advance` (the server has it) or `Replace` (the server can never take it as it is)
name a sequence number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from standpipe.delivery_report import Rejection
from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_protocol.problems import Problem

BACKOFF_BASE_SECONDS = 0.2
BACKOFF_CAP_SECONDS = 30.0
# A batch is halved after these: the body is refused as a whole, so one message in it is the cause.
_WHOLE_BATCH_REFUSED = (400, 413, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer. `body` is its JSON object, or None when it had none."""

    status: int
    body: Mapping[str, JsonValue] | None = None
    problem: Problem | None = None
    """The server's refusal; None where the answer is not from a Standpipe server."""
    retry_after: float | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The request failed on the network; whether the server has it is not known."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """The server has everything through `through`."""

    through: int
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Send a smaller batch, to find the message that the server cannot take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """The server can never take this one message; send a note in its place, under its number."""

    rejection: Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Send the same again, not sooner than in `delay` seconds."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The server will never accept anything more."""

    problem: Problem
    reason: str


Decision: TypeAlias = Advance | Split | Replace | Retry | Stop


def backoff_delay(
    *, attempt: int, jitter: float, base: float = BACKOFF_BASE_SECONDS, cap: float = BACKOFF_CAP_SECONDS
) -> float:
    """Full-jitter exponential backoff: `jitter` (0 to 1) of a ceiling that doubles with every attempt (from 0)."""
    return min(cap, base * 2.0 ** min(attempt, 16)) * jitter


def random_part() -> float:
    """A random number from 0 to 1."""
    # The random module costs two milliseconds to import, and seeds itself from the same source.
    return int.from_bytes(os.urandom(4), "big") / 2**32


def decide_after_append(
    answer: Answer | NoAnswer, *, first_seq: int, count: int, attempt: int, jitter: float
) -> Decision:
    """What to do after an append of the messages `first_seq` to `first_seq + count - 1`, after `attempt` failures in a
    row. `jitter` is a random number from 0 to 1."""
    if isinstance(answer, NoAnswer):
        return Retry(delay=backoff_delay(attempt=attempt, jitter=jitter), reason=answer.reason)
    last_seq = first_seq + count - 1
    body = answer.body or {}
    if answer.status in (200, 207):
        through = body.get("accepted_through")
        if answer.body is None or not isinstance(through, int) or isinstance(through, bool):
            # A captive portal or a proxy's own page is no acknowledgement, with any status.
            reason = f"HTTP {answer.status} without the acknowledgement of a Standpipe server"
            return Retry(delay=backoff_delay(attempt=attempt, jitter=jitter), reason=reason)
        if through < first_seq:
            reason = f"the server acknowledged messages through {through}, and {first_seq} was sent"
            return Retry(delay=backoff_delay(attempt=attempt, jitter=jitter), reason=reason)
        return Advance(through=min(through, last_seq), rejections=_rejections(body, first_seq=first_seq))
    problem = answer.problem
    if problem is not None and body.get("stored") is True:
        position = body.get("position")
        rejection = Rejection(seq=first_seq, problem=problem, position=position if isinstance(position, int) else None)
        return Advance(through=first_seq, rejections=(rejection,))
    if problem is not None and problem.name == "sequence-gap":
        expected = problem.members.get("expected_seq")
        if isinstance(expected, int) and 1 <= expected <= first_seq + count and expected != first_seq:
            return Advance(through=expected - 1) if expected > first_seq else _server_lost(problem, first_seq, expected)
        return Retry(delay=backoff_delay(attempt=attempt, jitter=jitter), reason=problem.detail)
    if answer.status in _WHOLE_BATCH_REFUSED:
        if count > 1:
            return Split()
        if problem is not None:
            return Replace(rejection=Rejection(seq=first_seq, problem=problem))
    return decide_after_refusal(answer, attempt=attempt, jitter=jitter)


def decide_after_refusal(answer: Answer | NoAnswer, *, attempt: int, jitter: float) -> Retry | Stop:
    """What to do after an answer that is no success, to any request."""
    delay = backoff_delay(attempt=attempt, jitter=jitter)
    if isinstance(answer, NoAnswer):
        return Retry(delay=delay, reason=answer.reason)
    later = max(delay, answer.retry_after or 0.0)
    if answer.problem is None:
        return Retry(delay=later, reason=_foreign_answer(answer))
    reason = f"HTTP {answer.status} {answer.problem.name}: {answer.problem.detail}"
    if answer.status in (408, 425, 429) or answer.status >= 500:
        return Retry(delay=later, reason=reason)
    return Stop(problem=answer.problem, reason=reason)


def is_context(answer: Answer) -> bool:
    """Whether this is a context, and of a Standpipe server; a portal's page may be an object, too."""
    body = answer.body or {}
    return answer.status == 200 and all(isinstance(body.get(name), dict) for name in ("context", "control"))


def advice_for(problem: Problem) -> str:
    """A sentence for the reader of a refusal: what to check."""
    match problem.name:
        case "unauthorized":
            return "Check that STANDPIPE_TOKEN is the token that was handed out for this invocation."
        case "not-found":
            return (
                "Check STANDPIPE_INVOCATION, and that STANDPIPE_URL (and its base path) is the server that issued it."
            )
        case "invocation-ended":
            return "A retry of ended work needs an invocation of its own."
        case _:
            return "Check STANDPIPE_URL and what stands between this process and the server."


def undeliverable_note(body: bytes, problem: Problem) -> bytes:
    """The message that takes the number of one that the server cannot take. No server knows its method, on purpose: it
    is stored as rejected, so the loss shows in history and verdict."""
    params = {"method": method_of(body), "bytes": len(body), "reason": problem.detail}
    return encode_json({"method": "undeliverable", "params": params})


def method_of(body: bytes) -> str:
    """The method of an encoded message."""
    # Messages are written with their method first.
    return body.removeprefix(b'{"method":"').partition(b'"')[0].decode("ascii", "replace")


def _foreign_answer(answer: Answer) -> str:
    if 300 <= answer.status < 400 and answer.location:
        return (
            f"HTTP {answer.status}, a redirect to {answer.location[:200]}, which is not followed with a token; set "
            "STANDPIPE_URL to where it leads, if that is the server"
        )
    if 200 <= answer.status < 300:
        return f"HTTP {answer.status} with a body that is not a Standpipe server's"
    return f"HTTP {answer.status} from something that is not the Standpipe server"


def _server_lost(problem: Problem, first_seq: int, expected: int) -> Stop:
    reason = (
        f"the server expects message {expected} and has acknowledged everything through {first_seq - 1}: it has lost "
        "what it had stored (a restored backup?)"
    )
    return Stop(problem=problem, reason=reason)


def _rejections(body: Mapping[str, JsonValue], *, first_seq: int) -> tuple[Rejection, ...]:
    results = body.get("results")
    rejections: list[Rejection] = []
    for result in results if isinstance(results, list) else []:
        if not isinstance(result, dict) or not isinstance(result.get("problem"), dict):
            continue
        index, seq, position = result.get("index"), result.get("seq"), result.get("position")
        if not isinstance(seq, int):
            seq = first_seq + index if isinstance(index, int) else first_seq
        problem = Problem.from_wire(cast("dict[str, JsonValue]", result["problem"]))
        rejections.append(Rejection(seq=seq, problem=problem, position=position if isinstance(position, int) else None))
    return tuple(rejections)
