"""Replies: gives waiting callers their results, each on the thread or event loop that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

Reply: TypeAlias = "Future[Any] | asyncio.Future[Any]"
Answer: TypeAlias = tuple[Reply, Any]
"""A reply and what it gets: a result, or an exception to raise."""


def resolve(answers: Sequence[Answer]) -> None:
    """Gives the callers their answers; all of one event loop in one call, since each call costs a system call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for reply, answer in answers:
        if isinstance(reply, Future):
            _set(reply, answer)
        else:
            by_loop.setdefault(reply.get_loop(), []).append((reply, answer))
    for loop, own in by_loop.items():
        # A caller that did not wait for its answer may have closed the loop.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_all, own)


def _set_all(answers: Sequence[Answer]) -> None:
    for reply, answer in answers:
        if not reply.done():
            _set(reply, answer)


def _set(reply: Reply, answer: Any) -> None:
    if isinstance(answer, BaseException):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
