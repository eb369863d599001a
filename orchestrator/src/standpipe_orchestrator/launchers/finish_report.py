"""How work ended, as its launcher reports it to the broker: the platform's words, and why it was ended. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from standpipe_orchestrator.launchers.protocol import JobEnd
from standpipe_protocol.process_end import Cause, Outcome

REASON_CHARACTERS = 4096
_SENT_FROM_OUTSIDE = frozenset({"SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM"})
"""By others than the program itself, which ends by SIGSEGV or SIGABRT when it crashes."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the orchestrator ended a job, or what it waited for when the job ended."""

    because: str
    outcome: Outcome = "failed"
    cause_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishReport:
    """How the work ended.

    Attributes:
        because: why it was ended, or could not be launched.
    """

    exit_code: int | None = None
    stderr_tail: str = ""
    because: str | None = None
    outcome: Outcome | None = None
    cause: Cause | None = None

    @property
    def reason(self) -> str | None:
        """What the broker gets beside the exit code: the end counts."""
        if self.exit_code == 0 and self.because is None:
            return None
        parts = (self.because, self.stderr_tail.strip())
        return "\n".join(part for part in parts if part)[-REASON_CHARACTERS:] or None


def finish_report(end: JobEnd | None, *, stop: Stop | None, stderr_tail: str) -> FinishReport:
    """What is known of the end of a job that was launched.

    Args:
        end: None where the job could not be killed either.
    """
    if end is None:
        because = f"{'' if stop is None else stop.because} It could not be killed, and may still run.".strip()
        stop = None if stop is None else replace(stop, because=because)
        end = JobEnd(outcome="unknown", detail=because)
    because, outcome, cause = end.detail, end.outcome, end.cause
    by = signal_name(end.exit_code)
    if stop is not None:
        because, outcome = stop.because, stop.outcome
        if stop.cause_code is not None:
            cause = Cause(code=stop.cause_code, detail=stop.because, signal=by)
    elif cause is None and by in _SENT_FROM_OUTSIDE:
        outcome, cause = "failed", Cause(code="stopped-outside", detail="", signal=by)
    if end.exit_code == 0 and end.outcome is None and (stop is None or stop.cause_code is None):
        outcome = "succeeded"
    return FinishReport(exit_code=end.exit_code, stderr_tail=stderr_tail, because=because, outcome=outcome, cause=cause)


def signal_name(exit_code: int | None) -> str | None:
    """The signal that ended a process, as Python counts exit codes; None where none did."""
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
