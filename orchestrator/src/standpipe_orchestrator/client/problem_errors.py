"""Problems as exceptions: one class for each kind of refusal that calling code may want to tell apart."""

from __future__ import annotations

from collections.abc import Mapping

from standpipe_orchestrator import errors
from standpipe_protocol.problems import Problem

_BY_NAME: Mapping[str, type[errors.ProblemError]] = {
    "unauthorized": errors.Unauthorized,
    "not-found": errors.NotFound,
    "malformed": errors.InvalidRequest,
    "invalid-request": errors.InvalidRequest,
    "invalid-message": errors.InvalidRequest,
    "too-large": errors.TooLarge,
    "overloaded": errors.Overloaded,
    "rate-limited": errors.Overloaded,
    "internal": errors.ServerFailed,
    "sequence-gap": errors.Conflict,
    "duplicate-materialization": errors.Conflict,
    "idempotency-conflict": errors.IdempotencyConflict,
    "invocation-ended": errors.InvocationEnded,
    "invocation-running": errors.InvocationRunning,
}
_ADVICE: Mapping[str, str] = {
    "unauthorized": "Check STANDPIPE_API_KEY: it must be the operator key of that server.",
    "forbidden-host": "Call the server by a name it knows; `standpipe serve --public-url` gives it another.",
    "idempotency-conflict": "Give each registration a key of its own.",
    "invocation-running": "Finish it first, or delete it with force=True.",
    "overloaded": "Try again later.",
    "rate-limited": "Try again later.",
    "internal": "The server's log says more.",
}


def error_for_problem(
    problem: Problem, *, status: int, call: str, url: str, request_id: str | None = None
) -> errors.ProblemError:
    """The exception for a refusal; a kind that this version does not know is a plain `ProblemError`."""
    pointer = problem.members.get("pointer")
    sentence = f"`{call}` on {url} was refused ({status} {problem.name}): {problem.detail or problem.kind.title}"
    if isinstance(pointer, str) and pointer:
        sentence += f" (at `{pointer}`)"
    if not sentence.endswith((".", "!", "?")):
        sentence += "."
    if advice := _ADVICE.get(problem.name):
        sentence += f" {advice}"
    kind = _BY_NAME.get(problem.name, errors.ProblemError)
    return kind(sentence, problem=problem, status=status, call=call, url=url, request_id=request_id)
