"""What can go wrong, as one tree that grows on the client library's root:

    StandpipeError                               (standpipe.errors)
    ├── DagsterPipesError (also PipesError)      results are not as they were asked for (standpipe.errors)
    ├── PipesExecutionError (also DagsterPipesExecutionError)      (reading.execution_errors, with those below it)
    │   │                                        external work did not succeed; `completed` holds what was reported
    │   ├── PipesLaunchError                     it could not be started at all
    │   └── PipesResultsIncomplete               not all of what was reported is here, for any verdict
    ├── InvalidMetadata                          a metadata value that has no type
    ├── DefinitionError                          orchestration code is not as it must be
    │   ├── InvalidDefinition                    an asset, check or `Definitions` that cannot be
    │   ├── InvalidPartition                     a partition key that the definition does not have
    │   ├── InvalidSelection                     a selection that names what is not there
    │   ├── InvalidContextUse                    a property of the context that is undefined in this step
    │   ├── InvalidResult                        a step returned what it did not declare, or less than that
    │   ├── ValueNotStorable                     an asset's value that the I/O manager cannot keep
    │   └── ValueNotStored                       an asset's value that no run has stored
    ├── InvalidArchive                           a file is not a whole export of an invocation
    ├── BrokerNotFound                           no server to talk to, and none could be started
    ├── InvocationNotFound                       neither an id nor a key of an invocation
    └── PipesServerError                         (standpipe.errors)
        └── BrokerError                          a call to the broker failed: names call, address and what to do
            ├── BrokerUnreachable                no answer; a PipesServerUnreachable
            ├── UnexpectedAnswer                 an answer that is not the protocol's
            ├── ServerTooOld                     the server does not speak the version that is needed
            └── ProblemError                     an answer that is a problem (RFC 9457); a PipesProblem
                ├── Unauthorized, NotFound, TooLarge     each also the class of that name in standpipe.errors
                ├── InvalidRequest, Overloaded, ServerFailed
                └── Conflict: IdempotencyConflict, InvocationRunning, InvocationEnded (a PipesInvocationEnded)

Messages are full sentences and never hold a key or a token.
"""

from __future__ import annotations

import importlib

from standpipe.errors import DagsterPipesError as DagsterPipesError  # noqa: PLC0414  for importers of this module
from standpipe.errors import PipesError as PipesError  # noqa: PLC0414  for importers of this module
from standpipe.errors import (
    PipesInvocationEnded,
    PipesNotFound,
    PipesProblem,
    PipesServerError,
    PipesServerUnreachable,
    PipesTooLarge,
    PipesUnauthorized,
)
from standpipe.errors import StandpipeError as StandpipeError  # noqa: PLC0414  for importers of this module
from standpipe_protocol.problems import Problem

_OF_RESULTS = (
    "DagsterPipesExecutionError",
    "PipesExecutionError",
    "PipesLaunchError",
    "PipesResultsIncomplete",
)
"""They stand beside the results that they hold; this module gives them, too."""


def __getattr__(name: str) -> object:
    if name not in _OF_RESULTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("standpipe_orchestrator.reading.execution_errors"), name)


class InvalidMetadata(StandpipeError, TypeError):
    """A metadata value has no metadata type."""


class DefinitionError(StandpipeError):
    """Orchestration code is not as it must be."""


class InvalidDefinition(DefinitionError, ValueError):
    """An asset, a check or a `Definitions` that cannot be."""


class InvalidPartition(DefinitionError, ValueError):
    """A partition key that the partitions definition does not have."""


class InvalidSelection(DefinitionError, ValueError):
    """A selection that names what is not there, or leaves nothing to run."""


class InvalidResult(DefinitionError):
    """A step returned what it did not declare, or not all that it declared."""


class ValueNotStorable(DefinitionError):
    """An asset's value that the I/O manager cannot keep."""


class InvalidContextUse(DefinitionError):
    """A property of the context that is undefined in this step."""


class ValueNotStored(DefinitionError):
    """An asset's value was asked for that no run has stored."""


class BrokerNotFound(StandpipeError):
    """There is no server to use, and none could be started."""


class InvalidArchive(StandpipeError, ValueError):
    """A file is not what `standpipe export` wrote, or not all of it."""


class InvocationNotFound(StandpipeError, LookupError):
    """What was named is neither an id nor a key of an invocation on that broker."""


class BrokerError(PipesServerError):
    """A call to the broker failed.

    Attributes:
        call: what was called, `POST /api/v1/invocations`.
        url: the broker's address.
        request_id: the answer's `X-Request-ID`, with which the server's log names this call.
    """

    def __init__(self, message: str, *, call: str, url: str, request_id: str | None = None) -> None:
        # Not `super()`, which is a `PipesProblem` where this is one, and asks for more.
        PipesServerError.__init__(self, message if request_id is None else f"{message} (request {request_id})")
        self.call = call
        self.url = url
        self.request_id = request_id


class BrokerUnreachable(BrokerError, PipesServerUnreachable):
    """The broker gave no answer within the retry budget.

    Attributes:
        connected: a connection was made, and then broke or stayed silent.
    """

    def __init__(self, message: str, *, call: str, url: str, connected: bool = False) -> None:
        super().__init__(message, call=call, url=url)
        self.connected = connected


class UnexpectedAnswer(BrokerError):
    """What answered does not speak this protocol: a proxy's page, a redirect, another service."""


class ServerTooOld(BrokerError):
    """The server speaks an older version of the protocol than what was asked of it needs."""


class ProblemError(BrokerError, PipesProblem):
    """The broker refused. `problem` is its answer; `status` the HTTP status."""

    def __init__(
        self, message: str, *, problem: Problem, status: int, call: str, url: str, request_id: str | None = None
    ) -> None:
        super().__init__(message, call=call, url=url, request_id=request_id)
        self.problem = problem
        self.status = status


class Unauthorized(ProblemError, PipesUnauthorized):
    """The operator key is missing or wrong."""


class NotFound(ProblemError, PipesNotFound):
    """There is no such thing, or it is not ours."""


class InvalidRequest(ProblemError):
    """The request breaks a rule; `problem.members` has `pointer` and `expected`."""


class TooLarge(ProblemError, PipesTooLarge):
    """Something in the request is larger than the server's limit; `problem.members` has `limit`."""


class Overloaded(ProblemError):
    """The server has too much to do, and still had when the retry budget was used up."""


class ServerFailed(ProblemError):
    """The server failed; its log has the request's id."""


class Conflict(ProblemError):
    """The request does not fit what is stored."""


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another request."""


class InvocationEnded(Conflict, PipesInvocationEnded):
    """The invocation has ended."""


class InvocationRunning(Conflict):
    """The invocation has not ended yet."""
