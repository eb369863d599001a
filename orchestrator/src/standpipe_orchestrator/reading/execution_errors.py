"""A verdict other than `succeeded`, as an exception with a message that says what to look at."""

from __future__ import annotations

import signal

from standpipe.errors import StandpipeError
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_protocol.invocation import Invocation, Reason, VerdictName


class PipesExecutionError(StandpipeError):
    """External work ended with another verdict than `succeeded`.

    Attributes:
        completed: what was reported all the same; None when the invocation could not be read any more.
        verdict: the broker's word, None when the broker was not reached at the end.
        reasons: why, each a code and a sentence.
        exit_code: the process's, where there was one; negative for a signal.
        stderr_tail: the end of what the process wrote to stderr.
    """

    def __init__(
        self,
        message: str,
        *,
        completed: PipesClientCompletedInvocation | None = None,
        verdict: VerdictName | None = None,
        reasons: tuple[Reason, ...] = (),
        exit_code: int | None = None,
        stderr_tail: str = "",
    ) -> None:
        super().__init__(message)
        self.completed = completed
        self.verdict = verdict
        self.reasons = reasons
        self.exit_code = exit_code
        self.stderr_tail = stderr_tail


class PipesLaunchError(PipesExecutionError):
    """The external work could not be started: no such command, no permission, no such folder."""


class PipesResultsIncomplete(PipesExecutionError):
    """Not everything that the broker has of the work could be taken here, so that no result stands for all of it.

    The message names positions and causes; `completed.partial_results` has what could be taken.
    """


# Dagster's name, which ported code imports.
DagsterPipesExecutionError = PipesExecutionError


def execution_error(
    completed: PipesClientCompletedInvocation,
    *,
    exit_code: int | None = None,
    stderr_tail: str = "",
    because: str | None = None,
    kind: type[PipesExecutionError] = PipesExecutionError,
) -> PipesExecutionError:
    """The error for an invocation that did not succeed.

    Args:
        because: what the launcher knows better than the broker (a time-out, a command that does not exist).
    """
    invocation = completed.invocation
    which = f"invocation {invocation.id}, verdict {invocation.verdict or 'not known'}"
    if because is not None:
        head = f"{because} ({which})"
    elif exit_code:
        head = f"External execution process failed with code {exit_code}{_named(exit_code)} ({which})"
    else:
        head = f"External execution process did not succeed ({which})"
    explaining, _ = explained(invocation)
    details = [
        reason.detail
        for reason in explaining
        # The exit code is said already, and so are the end of stderr and what the launcher has said itself.
        if reason.code not in ("exit-code", "not-launched") and (because is None or because not in reason.detail)
    ]
    lines = [f"{head}{':' if details else '.'}", *(f"- {detail.strip()}" for detail in details)]
    if stderr_tail.strip():
        lines += ["The end of its stderr:", stderr_tail.strip()]
    return kind(
        "\n".join(lines),
        completed=completed,
        verdict=invocation.verdict,
        reasons=invocation.reasons,
        exit_code=exit_code,
        stderr_tail=stderr_tail,
    )


_LEFT_OPEN = frozenset(
    {
        "lease-expired",
        "never-opened",
        "never-closed",
        "missing-tail",
        "ledger-disagrees",
        "missing-materialization",
        "missing-check",
        "missing-custom-messages",
        "late-producer",
        "refused-requests",
        "unknown",
        "more",
    }
)


def explained(invocation: Invocation) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
    """The reasons of a verdict, and those that only follow from it: what is stopped leaves something undone."""
    if invocation.verdict != "cancelled":
        return invocation.reasons, ()
    why = tuple(reason for reason in invocation.reasons if reason.code not in _LEFT_OPEN)
    return why, tuple(reason for reason in invocation.reasons if reason.code in _LEFT_OPEN)


def _named(exit_code: int) -> str:
    if exit_code >= 0:
        return ""
    try:
        return f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        return f" (signal {-exit_code})"
