"""What history keeps of an exception, and the one line by which an error is found.

Pure. Exceptions can be chained without end and carry whole data sets in their text: what is kept is bounded.
"""

from __future__ import annotations

from standpipe_protocol.messages import PipesException
from standpipe_protocol.problems import Problem
from standpipe_server.broker.messages.parsed_message import Closing, Content, ErrorLog

_EXCEPTION_TEXT = 16_384
_EXCEPTION_FRAMES = 100
_EXCEPTION_LINKS = 8


def shortened(exception: PipesException, *, links: int = _EXCEPTION_LINKS) -> PipesException:
    return PipesException(
        message=exception.message[:_EXCEPTION_TEXT],
        stack=tuple(frame[:_EXCEPTION_TEXT] for frame in exception.stack[:_EXCEPTION_FRAMES]),
        name=exception.name,
        cause=shortened(exception.cause, links=links - 1) if exception.cause and links else None,
        context=shortened(exception.context, links=links - 1) if exception.context and links else None,
    )


def error_summary(content: Content, problem: Problem | None) -> tuple[str, str] | None:
    """The kind (`exception`, `rejected`, `log`) and one line of text, for the index of first errors."""
    if problem is not None:
        return "rejected", problem.detail[:512]
    match content:
        case Closing(exception=PipesException() as exception):
            return "exception", exception.message.strip()[:512]
        case ErrorLog():
            return "log", content.message[:512]
        case _:
            return None
