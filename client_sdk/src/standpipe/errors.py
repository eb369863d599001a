"""Everything this distribution raises.

    StandpipeError
    ├── DagsterPipesError  (also PipesError)    a call that is wrong, in Dagster's sentences
    │   └── PipesMessageTooLarge                a message no server would take
    ├── PipesConfigurationError                 the environment names no usable server
    └── PipesServerError                        the server cannot be reached, or refuses
        ├── PipesServerUnreachable
        ├── PipesNotDelivered                   a strict context was closed and not everything is stored
        └── PipesProblem                        a refusal (RFC 9457); `problem` is the server's answer
            ├── PipesMalformed                  PipesForbiddenHost             PipesDuplicateMaterialization
            ├── PipesUnauthorized               PipesNotFound                  PipesInvalidMessage
            └── PipesInvocationEnded            PipesSequenceGap               PipesTooLarge

    DagsterPipesWarning (a Warning)             the process was not launched by an orchestrator

A problem has a class of its own where it can end a delivery or reject a message. The orchestrator's errors for problems
are subclasses of these.

Reporting raises `DagsterPipesError` only: an error of the server is raised by the first use of the context, which needs
the server, and never by a `report_*` call, except in a context that was opened with `strict=True`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from standpipe.delivery_report import DeliveryReport
    from standpipe_protocol.problems import Problem


class StandpipeError(Exception):
    """The root of everything raised here."""


class DagsterPipesError(StandpipeError):
    """A call that is wrong: an unknown key, a second materialization, an undefined property."""


PipesError = DagsterPipesError


class PipesMessageTooLarge(DagsterPipesError):
    """One message is larger than a server takes; raised at the call that made it."""


class PipesConfigurationError(StandpipeError):
    """The environment names no usable server: a variable is missing, an address malformed, a CA file unreadable."""


class PipesServerError(StandpipeError):
    """The server cannot be reached, or refuses."""


class PipesServerUnreachable(PipesServerError):
    """No answer came from the server in time."""


class PipesNotDelivered(PipesServerError):
    """A strict context was closed, and not every report is stored. `report` says what became of each."""

    def __init__(self, message: str, *, report: DeliveryReport) -> None:
        super().__init__(message)
        self.report = report


class PipesProblem(PipesServerError):
    """The server refused; `problem` says why."""

    name = "unknown"

    def __init__(self, message: str, *, problem: Problem) -> None:
        super().__init__(message)
        self.problem = problem


class PipesMalformed(PipesProblem):
    name = "malformed"


class PipesUnauthorized(PipesProblem):
    """The token is not valid."""

    name = "unauthorized"


class PipesForbiddenHost(PipesProblem):
    name = "forbidden-host"


class PipesNotFound(PipesProblem):
    """There is no such invocation, or the token is another one's."""

    name = "not-found"


class PipesSequenceGap(PipesProblem):
    name = "sequence-gap"


class PipesInvocationEnded(PipesProblem):
    """The invocation has ended with a verdict that nothing can change."""

    name = "invocation-ended"


class PipesDuplicateMaterialization(PipesProblem):
    name = "duplicate-materialization"


class PipesTooLarge(PipesProblem):
    name = "too-large"


class PipesInvalidMessage(PipesProblem):
    name = "invalid-message"


class DagsterPipesWarning(Warning):
    """The process was not launched by an orchestrator; its reports are not sent."""


_PROBLEM_ERRORS = {error.name: error for error in PipesProblem.__subclasses__()}


def error_for_problem(problem: Problem, *, message: str) -> PipesProblem:
    """The exception that is named as the problem is; any other problem is a plain `PipesProblem`."""
    return _PROBLEM_ERRORS.get(problem.name, PipesProblem)(message, problem=problem)
