"""How a command ended, as this machine saw it, in the words that the broker is told. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Protocol

from standpipe_protocol.process_end import Cause, Outcome

_NO_STATUS = (
    "The command has ended, and its exit status is not known: other code in the process that launched it has taken it. "
    "Does that process wait for all of its children, or ignore SIGCHLD?"
)
_SENT_FROM_OUTSIDE = frozenset({"SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM"})
"""By others than the program itself, which ends by SIGSEGV or SIGABRT when it crashes."""


class EndedProcess(Protocol):
    @property
    def ended(self) -> bool: ...

    @property
    def exit_code(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the launcher ended a command, or what it waited for when the command ended."""

    because: str
    outcome: Outcome = "failed"
    code: str | None = None
    """Of the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How the command ended, as this machine saw it."""

    exit_code: int | None = None
    stderr_tail: str = ""
    because: str | None = None
    """Why it was ended, or could not start."""
    outcome: Outcome | None = None
    cause: Cause | None = None

    def reason(self, most_characters: int) -> str | None:
        """What the broker is told beside the exit code: the end counts."""
        if self.exit_code == 0 and self.because is None:
            return None
        said = "\n".join(part for part in (self.because, self.stderr_tail.strip()) if part)
        return said[-most_characters:] or None


def describe_end(process: EndedProcess, *, stop: Stop | None, stderr_tail: str) -> Seen:
    """What is known of the end of a process that was started."""
    code = process.exit_code
    because, outcome, cause = None if stop is None else stop.because, _outcome(process, stop), None
    by = signal_name(code)
    if stop is not None and stop.code is not None:
        cause = Cause(code=stop.code, detail=stop.because, signal=by)
    elif stop is None and by in _SENT_FROM_OUTSIDE:
        outcome, cause = "failed", Cause(code="stopped-outside", detail="", signal=by)
    if outcome == "unknown":
        because = _NO_STATUS
    return Seen(exit_code=code, stderr_tail=stderr_tail, because=because, outcome=outcome, cause=cause)


def _outcome(process: EndedProcess, stop: Stop | None) -> Outcome | None:
    if process.exit_code == 0 and (stop is None or stop.code is None):
        return "succeeded"
    if stop is not None:
        return stop.outcome
    # An exit code other than 0 says itself that it failed.
    return "unknown" if process.ended and process.exit_code is None else None


def signal_name(exit_code: int | None) -> str | None:
    """The signal that ended a process, as Python counts exit codes; None where none did."""
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
