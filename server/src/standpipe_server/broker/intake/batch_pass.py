"""One pass over the new messages of a batch: counted, rejected or accepted with remarks, and what they change.

Pure but for its own state, which lives as long as one decision of `intake`. Invariant: after `take` the counts are
those of all messages that are stored of the producer then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import METHODS
from standpipe_protocol.problems import Problem
from standpipe_protocol.reports import key_problem, not_a_supervisor
from standpipe_server.broker.lifecycle.attempts import (
    Place,
    ReportKey,
    StandingReport,
    lineage_of,
    place_report,
    remarks_on_attempt,
)
from standpipe_server.broker.lifecycle.end_reports import merge_end_reports
from standpipe_server.broker.messages.parsed_message import (
    Check,
    Closing,
    Content,
    Ending,
    Materialization,
    Observation,
    Opening,
    ParsedMessage,
    shortened,
)
from standpipe_server.broker.outcome.receipt import Digests, judge_ledger, ledger_as_declared
from standpipe_server.broker.values.state import Finish, InvocationState, ProducerState, replace

_UNKNOWN = "other"
_NONE_PLAIN: Mapping[str, int] = {}
_LAST_WORDS = ("closed", "report_process_end")


class Known(msgspec.Struct, frozen=True, gc=False):
    """What the invocation already holds of the keys that a batch names."""

    materialized: frozenset[str] = frozenset()
    checked: frozenset[tuple[str, str]] = frozenset()
    standing: Mapping[ReportKey, StandingReport] = msgspec.field(default_factory=dict[ReportKey, StandingReport])
    """Where there are attempts: the reports that stand, of these keys."""


class BatchPass:
    """The messages of one batch, one after the other."""

    def __init__(
        self,
        invocation: InvocationState,
        producer: ProducerState,
        *,
        known: Known,
        now: int,
        digests: Digests | None,
    ) -> None:
        self._invocation, self._before, self._now, self._digests = invocation, producer, now, digests
        self.problems: dict[int, Problem] = {}
        self.notes: dict[int, list[dict[str, JsonValue]]] = {}
        self.contents: list[tuple[int, Content]] = []
        self.replaced: set[ReportKey] = set()
        self.process_spoke = False
        """Something other than captured output was accepted."""
        self.opened_at = invocation.opened_at
        self._counts, self._rejected_counts = dict(producer.counts), dict(producer.rejected_counts)
        self._materialized, self._checked = set(known.materialized), set(known.checked)
        self._standing = dict(known.standing)
        self._opened, self._closed = producer.opened, producer.closed
        self._lineage, self._process = producer.lineage, producer.process
        self._exception, self._ledger, self._declared = producer.exception, producer.ledger, producer.declared

    @property
    def was_active(self) -> bool:
        """Something came that a launcher which only captures output does not send."""
        return self.process_spoke or bool(self.problems)

    def take(self, new: Sequence[ParsedMessage]) -> None:
        # While it is open nothing is to be remarked on a plain message: all of them are counted at once.
        unremarkable = self.opened_at is not None and not self._is_closed and not self._before.superseded
        plain, interesting = _set_plain_apart(new) if unremarkable else (_NONE_PLAIN, enumerate(new))
        for method, count in plain.items():
            self._counts[method] = self._counts.get(method, 0) + count
        self.process_spoke = any(method != "log_external_stream" for method in plain)
        for offset, message in interesting:
            self._take_one(offset, message)

    def producer_after(self, count: int) -> ProducerState | None:
        """The producer with the batch's `count` messages; None when a ledger cannot be judged without a digest."""
        if self._ledger is None and self._declared is not None:
            return None
        before, last_seq = self._before, self._before.last_seq + count
        first_rejection = _first_rejection(self.problems, self._invocation.last_position + 1)
        return replace(
            before,
            last_seq=last_seq,
            numbered=max(before.numbered, last_seq),
            opened=self._opened,
            closed=self._closed,
            rejected=before.rejected + len(self.problems),
            counts=self._counts,
            rejected_counts=self._rejected_counts,
            ledger=self._ledger,
            exception=self._exception,
            first_rejection=before.first_rejection or first_rejection,
            heard_at=self._now,
            declared=self._declared,
            process=self._process,
            lineage=self._lineage,
        )

    @property
    def _is_closed(self) -> bool:
        return self._closed > 0 and self._closed >= self._opened

    def _take_one(self, offset: int, message: ParsedMessage) -> None:
        method = message.method if message.method in METHODS else _UNKNOWN
        self._counts[method] = self._counts.get(method, 0) + 1
        content, place = message.content, None
        if message.problem is None and isinstance(content, (Materialization, Check)):
            place = place_report(content, self._before, standing=self._standing, position=self._position(offset))
        problem = message.problem or self._rejection(content, place)
        if problem is not None:
            self.problems[offset] = problem
            self._rejected_counts[method] = self._rejected_counts.get(method, 0) + 1
            return
        if method == "log_external_stream":
            return
        self._remark(offset, method, content, place)
        self.process_spoke = True
        if place is not None and not place.stands:
            # A newer attempt's report stands: this one is stored and changes nothing.
            return
        if place is not None and place.replaces is not None:
            self.replaced.add(place.key)
        self._apply(offset, method, content)
        if content is not None:
            self.contents.append((offset, content))

    def _position(self, offset: int) -> int:
        return self._invocation.last_position + 1 + offset

    def _rejection(self, content: Content, place: Place | None) -> Problem | None:
        if isinstance(content, (Materialization, Observation, Check)):
            # Another attempt's report is no duplicate.
            before = self._materialized if place is None else set[str]()
            twice = before if isinstance(content, Materialization) else set[str]()
            return key_problem(content.asset_key, allowed=self._invocation.asset_keys, materialized=twice)
        if isinstance(content, Ending) and self._lineage.role != "supervisor":
            return not_a_supervisor()
        return None

    def _remark(self, offset: int, method: str, content: Content, place: Place | None) -> None:
        usual = self.opened_at is not None and self._closed == 0 and not self._before.superseded
        if usual and place is None and not isinstance(content, Check):
            return
        remarks = _remarks(
            method,
            content,
            before_opened=self.opened_at is None and self._lineage.role != "supervisor",
            is_closed=self._is_closed,
            checked=self._checked if place is None else set(),
        )
        remarks += remarks_on_attempt(method, self._before, place)
        if remarks:
            self.notes[offset] = remarks

    def _apply(self, offset: int, method: str, content: Content) -> None:
        match content:
            case Materialization():
                self._materialized.add(content.asset_key)
            case Check():
                self._checked.add((content.asset_key, content.check_name))
            case Ending():
                self._end(offset, content)
            case Closing():
                self._close(offset, content)
            case _ if method == "opened":
                self._open(content)
            case _:
                pass

    def _open(self, content: Content) -> None:
        self._opened += 1
        # What it is and where it comes from is said once, by its first opening.
        if isinstance(content, Opening) and self._opened == 1:
            self._process = content.process or self._process
            self._lineage = lineage_of(content, self._lineage, now=self._now)
        if self.opened_at is None and self._lineage.role != "supervisor":
            self.opened_at = self._now

    def _end(self, offset: int, content: Ending) -> None:
        self._closed += 1
        before = None if self._lineage.end is None else Finish.from_wire(self._lineage.end)
        end = merge_end_reports(before, Finish.from_wire(content.end), newest=()) or before
        position = self._position(offset)
        self._lineage = replace(self._lineage, end=None if end is None else end.to_wire(), closed_position=position)

    def _close(self, offset: int, content: Closing) -> None:
        # A supervisor is done when it has reported the end of its process.
        self._closed += self._lineage.role != "supervisor" or self._lineage.end is not None
        position = self._position(offset)
        self._lineage = replace(self._lineage, closed_position=position)
        # The first exception counts; one of the program's own more than one that a signal brought.
        by_signal = self._exception is not None and self._lineage.close_signal is not None
        if content.exception is not None and (self._exception is None or (by_signal and content.signal is None)):
            self._exception = shortened(content.exception).to_wire()
            self._lineage = replace(self._lineage, close_signal=content.signal)
        if content.ledger is not None:
            after = self._before.last_seq
            self._ledger = judge_ledger(
                content.ledger, after=after, offset=offset, counts=self._counts, digests=self._digests
            )
            self._declared = ledger_as_declared(content.ledger)


def _set_plain_apart(new: Sequence[ParsedMessage]) -> tuple[Mapping[str, int], list[tuple[int, ParsedMessage]]]:
    """How many plain messages there are of each method, and the others with their places.

    A batch that opens or closes changes what is to be remarked on the rest of it, so there nothing is plain.
    """
    others = [(offset, message) for offset, message in enumerate(new) if not message.plain]
    if any(message.method in ("opened", *_LAST_WORDS) for _, message in others):
        return {}, list(enumerate(new))
    return Counter(message.method or _UNKNOWN for message in new if message.plain), others


def _remarks(
    method: str, content: Content, *, before_opened: bool, is_closed: bool, checked: set[tuple[str, str]]
) -> list[dict[str, JsonValue]]:
    remarks: list[dict[str, JsonValue]] = []
    if before_opened and method != "opened":
        remarks.append({"code": "before-opened", "detail": "Reported before any `opened`."})
    if is_closed and method != "opened":
        remarks.append({"code": "after-closed", "detail": "Reported after this producer's `closed`."})
    if isinstance(content, Check) and (content.asset_key, content.check_name) in checked:
        detail = f"Check {content.check_name!r} of asset {content.asset_key!r} was reported before in this invocation."
        remarks.append({"code": "repeated-check", "detail": detail})
    return remarks


def _first_rejection(problems: dict[int, Problem], first_position: int) -> str | None:
    for offset, problem in problems.items():
        return f"position {first_position + offset}: {problem.detail}"[:1000]
    return None
