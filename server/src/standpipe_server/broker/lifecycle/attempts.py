"""Attempts: which producers belong to a run of the work that a newer one has replaced.

Pure. A number of the whole job supersedes every producer with a lower one; a number of a rank the lower ones of that
rank; and a superseded parent takes its children along. Invariant: without numbers nothing is superseded, and neither
is a producer that never opened, nor the anonymous one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.process_end import Attempt
from standpipe_server.broker.messages.parsed_message import Check, Materialization, Opening
from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.broker.values.state import AttemptNumbers, InvocationState, Lineage, ProducerState, replace
from standpipe_server.broker.values.times import from_rfc3339

MOST_NAMES = 200
"""Names of attempts that have a number; of more, those with the highest are kept."""
_DEEPEST = 64
"""Generations of processes that are followed; a longer line of parents is cut, and so is a circle."""


def lineage_of(opening: Opening, before: Lineage, *, now: int) -> Lineage:
    """What an `opened` says of its producer, beside what the server knows of it."""
    try:
        sent_at = now if opening.sent_at is None else from_rfc3339(opening.sent_at)
    except (ValueError, OverflowError):
        sent_at = now
    return replace(
        opening.lineage,
        late=before.late,
        launcher_attempt=before.launcher_attempt,
        begun_at=max(0, min(sent_at, now)),
    )


def with_number(numbers: AttemptNumbers | None, *, attempt: Attempt, name: str | None) -> AttemptNumbers:
    """The launcher gave this number: to the attempt of that name, or to what opens from now on."""
    before = numbers or AttemptNumbers()
    if name is None:
        return replace(before, launcher=max(before.launcher, attempt))
    names = {**before.names, name: attempt}
    # A name that is forgotten has no number again, which is lower than all that are known.
    newest = sorted(names.items(), key=lambda item: (item[1], item[0] == name))[-MOST_NAMES:]
    return replace(before, names=dict(sorted(newest)))


def numbered_by(
    numbers: AttemptNumbers | None, producer: ProducerState, *, parent_is_known: bool = True
) -> AttemptNumbers | None:
    """What is known of the attempts after this producer has opened; None when nothing has a number yet."""
    own, rank = producer.lineage.own_attempt, producer.lineage.rank_attempt
    if not _counts(producer) or (numbers is None and not own and not rank):
        return numbers
    before = numbers or AttemptNumbers()
    return replace(before, ranks=before.ranks or rank > (), orphans=before.orphans or not parent_is_known)


def place_producers(
    invocation: InvocationState, producers: Sequence[ProducerState], *, now: int = 0
) -> tuple[InvocationState, list[ProducerState]]:
    """The invocation and its producers with their numbers, and with what is superseded and open counted anew."""
    numbers = invocation.attempts
    if numbers is None:
        return invocation, list(producers)
    by_name = {producer.name: producer for producer in producers}
    lines = {producer.name: _line(producer, by_name) for producer in producers}
    attempts = _attempts_of(producers, lines, by_name, numbers)
    counting = [producer for producer in producers if _counts(producer)]
    of_processes = [attempts[producer.name] for producer in counting]
    newest = max([numbers.launcher, *numbers.names.values(), *of_processes])
    older_jobs = {producer.name for producer in counting if attempts[producer.name] < newest}
    older_ranks = _outdated_in_their_rank(counting, attempts)

    def is_superseded(producer: ProducerState) -> bool:
        # A producer that names the newest number itself belongs to that attempt, even with a superseded parent.
        named = _number_of(producer, numbers) is not None and producer.name not in older_jobs
        outdated = older_ranks if named else older_ranks | older_jobs
        return not outdated.isdisjoint(lines[producer.name])

    placed = [
        replace(producer, attempt=attempts[producer.name], superseded=is_superseded(producer))
        if _counts(producer)
        else producer
        for producer in producers
    ]
    current = [producer for producer in placed if producer.opened > 0 and not producer.superseded]
    state = replace(
        invocation,
        attempts=numbers if newest == numbers.newest else replace(numbers, newest=newest, began_at=now),
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


def _number_of(producer: ProducerState, numbers: AttemptNumbers) -> Attempt | None:
    """The number of the job that this producer names itself: the launcher's for its name, or its own."""
    lineage = producer.lineage
    if lineage.attempt_name is not None and lineage.attempt_name in numbers.names:
        return numbers.names[lineage.attempt_name]
    return lineage.own_attempt


def _attempts_of(
    producers: Sequence[ProducerState],
    lines: Mapping[str, Sequence[str]],
    by_name: Mapping[str, ProducerState],
    numbers: AttemptNumbers,
) -> Mapping[str, Attempt]:
    """The number of the job that each has.

    Of what names none it is that of the nearest ancestor that does; without one that of its first ancestor, which has
    the launcher's newest when it opened, or, as it lives on beside them, the highest of those that it started.
    """
    own = {producer.name: _number_of(producer, numbers) for producer in producers}
    of_started: dict[str, Attempt] = {}
    for producer in producers:
        number = own[producer.name]
        if number is None or not _counts(producer):
            continue
        for ancestor in lines[producer.name][1:]:
            of_started[ancestor] = max(of_started.get(ancestor, ()), number)

    def attempt_of(line: Sequence[str]) -> Attempt:
        for name in line:
            if (number := own[name]) is not None:
                return number
        first = by_name[line[-1]].lineage.launcher_attempt
        return max([first, *(of_started.get(name, ()) for name in line)])

    return {name: attempt_of(line) for name, line in lines.items()}


def _outdated_in_their_rank(producers: Sequence[ProducerState], attempts: Mapping[str, Attempt]) -> set[str]:
    """Those of which a later one of the same rank has a higher `rank_attempt`.

    Later by when they opened: a second program in the same job counts its ranks anew, and is none of the first one's.
    """
    groups: dict[object, list[ProducerState]] = {}
    for producer in producers:
        rank = producer.process.get("rank") if producer.process else None
        if rank is not None:
            parent = producer.lineage.parent if producer.lineage.parent != producer.name else None
            groups.setdefault((attempts[producer.name], str(rank), parent), []).append(producer)
    outdated: set[str] = set()
    for group in groups.values():
        highest: Attempt = ()
        # From the last that opened to the first, so that what is looked at has only later ones behind it.
        for producer in sorted(
            group, key=lambda one: (one.lineage.begun_at or 0, one.lineage.rank_attempt), reverse=True
        ):
            if producer.lineage.rank_attempt < highest:
                outdated.add(producer.name)
            highest = max(highest, producer.lineage.rank_attempt)
    return outdated


def _line(producer: ProducerState, by_name: Mapping[str, ProducerState]) -> list[str]:
    """The producer and its ancestors as far as they are known, nearest first."""
    line = [producer.name]
    while len(line) < _DEEPEST:
        parent = by_name[line[-1]].lineage.parent
        if parent is None or parent not in by_name or parent in line:
            break
        line.append(parent)
    return line


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
