"""Which threads send: what is logged on them must not be reported, or every report would make the next one."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

_idents: set[int] = set()


def mark_sender_thread() -> None:
    """Says that the calling thread sends, until `unmark_sender_thread`."""
    _idents.add(threading.get_ident())


def unmark_sender_thread() -> None:
    _idents.discard(threading.get_ident())


@contextmanager
def sending() -> Generator[None]:
    """The calling thread, which is none of the sender's, sends for the length of the block."""
    mark_sender_thread()
    try:
        yield
    finally:
        unmark_sender_thread()


def in_sender_thread() -> bool:
    """Whether the calling thread is one that sends."""
    return threading.get_ident() in _idents
