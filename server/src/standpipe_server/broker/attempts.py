"""Attempts: which producers belong to a run of the work that a newer one has replaced.

Pure. A number of the whole job supersedes every producer with a lower one; a number of a rank the lower ones of that
rank; and a superseded parent takes its children along. Invariant: without numbers nothing is superseded, and neither
is a producer that never opened, nor the anonymous one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.process_end import NAME_CHARACTERS, Attempt, read_attempt
from standpipe_server.broker.ids import ANONYMOUS_PRODUCER, PRODUCER_ID
from standpipe_server.broker.state import AttemptNumbers, InvocationState, Lineage, ProducerState, replace

_DEEPEST = 64
"""Generations of processes that are followed; a longer line of parents is cut, and so is a circle."""


def read_lineage(extras: Mapping[str, JsonValue], *, launcher_attempt: Attempt = ()) -> Lineage:
    """Where a producer says in the extras of its `opened` that it comes from. What has another shape means nothing."""
    role, parent, name = extras.get("role"), extras.get("parent"), extras.get("attempt_name")
    return Lineage(
        role="supervisor" if role == "supervisor" else None,
        parent=parent if isinstance(parent, str) and PRODUCER_ID.fullmatch(parent) else None,
        own_attempt=read_attempt(extras.get("attempt")),
        rank_attempt=read_attempt(extras.get("rank_attempt")) or (),
        attempt_name=name if isinstance(name, str) and 0 < len(name) <= NAME_CHARACTERS else None,
        launcher_attempt=launcher_attempt,
    )


def with_number(numbers: AttemptNumbers | None, *, attempt: Attempt, name: str | None) -> AttemptNumbers:
    """The launcher gave this number: to the attempt of that name, or to what opens from now on."""
    before = numbers or AttemptNumbers()
    newest = max(before.newest, attempt)
    if name is None:
        return replace(before, launcher=max(before.launcher, attempt), newest=newest)
    return replace(before, names={**before.names, name: attempt}, newest=newest)


def numbered_by(numbers: AttemptNumbers | None, producer: ProducerState) -> AttemptNumbers | None:
    """What is known of the attempts after this producer has opened."""
    own, rank = producer.lineage.own_attempt, producer.lineage.rank_attempt
    if not own and not rank:
        return numbers
    before = numbers or AttemptNumbers()
    return replace(before, newest=max(before.newest, own or ()), ranks=before.ranks or rank > ())


def place_producers(
    invocation: InvocationState, producers: Sequence[ProducerState]
) -> tuple[InvocationState, list[ProducerState]]:
    """The invocation and its producers with their numbers, and with what is superseded and open counted anew."""
    numbers = invocation.attempts
    if numbers is None:
        return invocation, list(producers)
    by_name = {producer.name: producer for producer in producers}
    attempts = {producer.name: _attempt_of(producer, by_name, numbers) for producer in producers}
    best: dict[tuple[Attempt, object, str | None], Attempt] = {}
    for producer in producers:
        if (rank := _rank_of(producer, attempts)) is not None:
            best[rank] = max(best.get(rank, ()), producer.lineage.rank_attempt)
    older_jobs = {name for name, attempt in attempts.items() if attempt < numbers.newest and _counts(by_name[name])}
    older_ranks: set[str] = set()
    for producer in producers:
        rank = _rank_of(producer, attempts)
        if rank is not None and producer.lineage.rank_attempt < best[rank]:
            older_ranks.add(producer.name)

    def is_superseded(producer: ProducerState) -> bool:
        line = _line(producer, by_name)
        # One that names the newest number itself is of that attempt, whatever started it.
        of_its_own = producer.lineage.own_attempt is not None and producer.name not in older_jobs
        outdated = older_ranks if of_its_own else older_ranks | older_jobs
        return _counts(producer) and not outdated.isdisjoint(line)

    placed = [
        replace(
            producer,
            attempt=attempts[producer.name] if _counts(producer) else None,
            superseded=is_superseded(producer),
        )
        for producer in producers
    ]
    current = [producer for producer in placed if producer.opened > 0 and not producer.superseded]
    state = replace(
        invocation,
        producers_opened=len(current),
        producers_open=sum(producer.is_open for producer in current),
    )
    return state, placed


def is_newer(one: ProducerState, other: ProducerState) -> bool:
    """Whether a report of `one` takes the place of a report of `other` on the same asset or check."""
    if one.attempt is None or other.attempt is None or one.name == other.name:
        return False
    if one.attempt != other.attempt:
        return one.attempt > other.attempt
    return other.superseded and (not one.superseded or one.lineage.rank_attempt > other.lineage.rank_attempt)


def has_open_children(producers: Sequence[ProducerState]) -> bool:
    """Whether a child process is open whose parent has closed; superseded ones are not waited for."""
    closed = {producer.name for producer in producers if producer.is_closed}
    return any(each.is_open and not each.superseded and each.lineage.parent in closed for each in producers)


def describe_attempt(attempt: Iterable[int]) -> str:
    """An attempt in a sentence: `2`, `1.3`; the first is `0`."""
    return ".".join(str(number) for number in attempt) or "0"


def _counts(producer: ProducerState) -> bool:
    return producer.opened > 0 and producer.name != ANONYMOUS_PRODUCER


def _attempt_of(producer: ProducerState, by_name: Mapping[str, ProducerState], numbers: AttemptNumbers) -> Attempt:
    for name in _line(producer, by_name):
        ancestor = by_name[name].lineage
        if ancestor.attempt_name is not None and ancestor.attempt_name in numbers.names:
            return numbers.names[ancestor.attempt_name]
        if ancestor.own_attempt is not None:
            return ancestor.own_attempt
    return producer.lineage.launcher_attempt


def _rank_of(producer: ProducerState, attempts: Mapping[str, Attempt]) -> tuple[Attempt, object, str | None] | None:
    """Among which producers its `rank_attempt` is compared; None where it has no rank."""
    rank = producer.process.get("rank") if producer.process else None
    if rank is None or not _counts(producer):
        return None
    return attempts[producer.name], str(rank), producer.lineage.parent


def _line(producer: ProducerState, by_name: Mapping[str, ProducerState]) -> list[str]:
    """The producer and its ancestors as far as they are known, nearest first."""
    line = [producer.name]
    while len(line) < _DEEPEST:
        parent = by_name[line[-1]].lineage.parent
        if parent is None or parent not in by_name or parent in line:
            break
        line.append(parent)
    return line
