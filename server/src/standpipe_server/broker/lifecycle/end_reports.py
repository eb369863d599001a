"""How the work ended, as launcher and supervisors report it: which reports count, and their sentences.

Pure. The launcher reports by `finish`, a supervisor by `report_process_end`; the reports of each are merged here and
judged by `verdict`. Invariant: no report takes anything away from what the processes left.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from standpipe_protocol.process_end import Attempt, Cause
from standpipe_server.broker.values.state import Finish, InvocationState, ProducerState

_SENTENCES = {
    "out-of-memory": "It was killed for using too much memory",
    "evicted": "The platform evicted it from its node",
    "preempted": "The platform preempted it for other work",
    "timeout": "It was ended because its time was up",
    "node-lost": "The node it ran on was lost",
    "image-not-found": "Its image was not found",
    "quota": "A quota of the platform was exceeded",
    "stopped-outside": "It was stopped from outside",
    "platform-error": "The platform failed",
}


@dataclass(frozen=True, slots=True)
class EndReport:
    """What one speaker says of the end. `speaker` is how a sentence names it."""

    speaker: str
    finish: Finish

    @property
    def exit_code(self) -> int | None:
        """An exit code other than 0 that counts by itself.

        One that stands in the cause of a failure is a detail of it; beside any other outcome it is a failure.
        """
        if self.finish.exit_code not in (None, 0):
            return self.finish.exit_code
        cause = self.finish.cause
        code = None if cause is None or self.finish.outcome == "failed" else cause.exit_code
        return code or None

    @property
    def explains_exit_code(self) -> bool:
        """A program that is stopped from outside ends by the signal that stopped it."""
        code = self.exit_code
        return self.finish.outcome == "cancelled" and code is not None and (code < 0 or 128 < code <= 128 + 64)

    @property
    def explains_signal(self) -> bool:
        """The launcher says what stopped the program, so that the client's own close at a signal is a detail."""
        outcome = self.finish.outcome
        return outcome == "cancelled" or (outcome == "failed" and self.finish.cause is not None)

    @property
    def not_launched(self) -> bool:
        return self.finish.launched is False or self.finish.outcome == "not-launched"

    @property
    def has_end(self) -> bool:
        """It says enough of the end to be the verdict where Pipes are optional."""
        return self.finish.outcome is not None or self.finish.exit_code is not None


def merge_end_reports(before: Finish | None, new: Finish, *, newest: Attempt) -> Finish | None:
    """A reporter's end so far with its next report; None for a report about an older attempt, which does not count."""
    about = None if new.cause is None else new.cause.attempt
    if about is not None and about < newest:
        return None
    new = replace(new, about=about)
    if before is None or is_outdated(before, newest=newest):
        return new
    if about is not None and before.about is not None and about > before.about:
        return new
    outcome_stays = new.outcome is None or new.outcome == before.outcome
    return Finish(
        exit_code=before.exit_code if new.exit_code is None else new.exit_code,
        reason=before.reason if new.reason is None else new.reason,
        launched=before.launched if new.launched is None else new.launched,
        outcome=before.outcome if new.outcome is None else new.outcome,
        cause=new.cause or (before.cause if outcome_stays else None),
        # A report that names no attempt counts for every later attempt.
        about=before.about if before.about == about or not new.says_more else None,
    )


def is_outdated(report: Finish, *, newest: Attempt) -> bool:
    """Whether all of it is about an older attempt."""
    return report.about is not None and report.about < newest


def current_end_reports(invocation: InvocationState, producers: Sequence[ProducerState]) -> list[EndReport]:
    """The launcher's word and those of the supervisors, without what was said of an older attempt."""
    newest: Attempt = () if invocation.attempts is None else invocation.attempts.newest
    reports: list[EndReport] = []
    finish = invocation.finish
    if finish is not None and not is_outdated(finish, newest=newest):
        reports.append(EndReport("The launcher", finish))
    for producer in producers:
        if producer.is_supervisor and producer.lineage.end is not None and not producer.superseded:
            reports.append(EndReport(f"Supervisor {producer.name}", Finish.from_wire(producer.lineage.end)))
    return reports


def describe_cause(cause: Cause) -> str:
    """A cause as a sentence for a person; what the platform says is told as the platform's."""
    text = _SENTENCES.get(cause.code, f"The platform gave the cause {cause.code}")
    if cause.peak_memory_bytes is not None:
        text += f" (at most {describe_bytes(cause.peak_memory_bytes)} were in use)"
    parts = [] if cause.node is None else [f"on node {cause.node}"]
    if cause.signal is not None:
        parts.append(f"by {describe_signal(cause.signal)}")
    if cause.exit_code is not None:
        parts.append(f"with exit code {cause.exit_code}")
    text += "".join(f", {part}" for part in parts) + "."
    detail = cause.detail.strip()
    return f"{text} The platform said: {detail}" if detail else text


def describe_exit_code(code: int) -> str:
    """An exit code as people know it: the end by a signal is told as that."""
    number = -code if code < 0 else code - 128
    if code < 0:
        return f"was ended by {describe_signal(number)}"
    if 128 < code <= 128 + 64 and _signal_name(number):
        return f"ended with exit code {code}, which stands for {describe_signal(number)}"
    return f"ended with exit code {code}"


def describe_signal(named: str | int) -> str:
    if isinstance(named, str):
        return f"signal {named}"
    name = _signal_name(named)
    return f"signal {named} ({name})" if name else f"signal {named}"


def describe_bytes(size: int) -> str:
    """A size in the largest unit of which there is at least one: `512 MiB`."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"


def _signal_name(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
