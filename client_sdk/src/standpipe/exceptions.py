"""Exceptions of user code as they are reported: type, message, stack, cause and context, bounded in every direction."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import cast

from standpipe.errors import DagsterPipesError
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.members import InvalidMessage, PipesException
from standpipe_protocol.messages import Closed, parse_message

CHAIN_EXCEPTIONS = 20
STACK_FRAMES = 100
MESSAGE_CHARACTERS = 64 * 1024


def describe_exception(exc: BaseException | PipesException | Mapping[str, object]) -> PipesException:
    """An exception in the protocol's form, or Dagster's dictionary read; raises DagsterPipesError for anything else."""
    if isinstance(exc, PipesException):
        return exc
    if isinstance(exc, BaseException):
        return _described(exc, seen=set())
    wire = dict(exc) if isinstance(exc, Mapping) else exc  # pyright: ignore[reportUnnecessaryIsInstance]  callers are not always typed
    try:
        parsed = parse_message({"method": "closed", "params": {"exception": cast("JsonValue", wire)}})
    except InvalidMessage as error:
        raise DagsterPipesError(f"Invalid value for parameter `exc` of `close`. {error}") from None
    return cast("PipesException", cast("Closed", parsed).exception)


def _described(error: BaseException, *, seen: set[int]) -> PipesException:
    # One set for the whole chain: `__cause__` and `__context__` are often the same object, and a chain may be a circle.
    seen.add(id(error))

    def linked(other: BaseException | None) -> PipesException | None:
        if other is None or id(other) in seen or len(seen) >= CHAIN_EXCEPTIONS:
            return None
        return _described(other, seen=seen)

    return PipesException(
        message=_bounded("".join(_only(error))),
        stack=tuple(_stack(error)),
        name=type(error).__name__,
        cause=linked(error.__cause__),
        context=linked(error.__context__),
    )


def _only(error: BaseException) -> list[str]:
    """The exception without its frames: `ValueError: text`, notes, and the members of a group."""
    lines = _lines_of(error)
    members = getattr(error, "exceptions", ())
    if isinstance(members, tuple):
        for number, member in enumerate(cast("tuple[object, ...]", members)[:CHAIN_EXCEPTIONS], 1):
            if isinstance(member, BaseException):
                lines.append(f"  {number}. " + "".join(_lines_of(member)))
    return lines


def _lines_of(error: BaseException) -> list[str]:
    try:
        return traceback.format_exception_only(type(error), error)
    except Exception as broken:
        # A __str__ that raises must not cost the report of what went wrong.
        return [f"{type(error).__name__}: its text cannot be read ({type(broken).__name__})\n"]


def _stack(error: BaseException) -> list[str]:
    try:
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
    except Exception as broken:
        # Lines of source come from loaders of user code, too.
        frames = [f"  its frames cannot be read ({type(broken).__name__})\n"]
    if len(frames) <= STACK_FRAMES:
        return frames
    head, tail = STACK_FRAMES // 5, STACK_FRAMES * 4 // 5
    left_out = len(frames) - head - tail
    return [*frames[:head], f"  … {left_out} frames were left out …\n", *frames[-tail:]]


def _bounded(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}… (cut)"
