"""Which contexts this process has open, and which of them a call means that names none.

One process may serve many invocations, one after the other and at once. A task or thread belongs to the context that it
opened, and so does every task that it starts (`contextvars`). The invariant: what belongs to one context is never
answered with another, and what belongs to none is answered only where there is nothing to choose.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextvars import ContextVar

from standpipe.errors import DagsterPipesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from standpipe.context.pipes_context import PipesContext

    Identity: TypeAlias = tuple[str, str]
    """An invocation: the server's address and the id; or what a params loader gave that names no server."""

REMEMBERED_INVOCATIONS = 16
"""Of so many closed invocations it is known what was materialized, for a notebook cell that is run again."""
NAMED = 5


class SeveralContexts(DagsterPipesError):
    """Several contexts are open, and the calling task or thread belongs to none of them."""


class Origin:
    """What a context was opened for, and by which way."""

    __slots__ = ("from_environment", "identity")

    def __init__(self, identity: Identity, *, from_environment: bool) -> None:
        self.identity = identity
        self.from_environment = from_environment
        """Whether the environment of the process named it, and no params loader."""


class Process:
    """What was opened in one process, by all its threads."""

    def __init__(self) -> None:
        self.open: dict[int, PipesContext] = {}
        self.latest: PipesContext | None = None
        """The last one that was opened. When all are closed it is still the answer, as upstream has it."""
        self.materialized: dict[Identity, set[str]] = {}
        self.renew_locks()

    def renew_locks(self) -> None:
        """Also in a forked child, where one may be held by a thread that does not exist there."""
        # Reentrant, because a signal handler may interrupt the code that holds one.
        self.lock = threading.RLock()
        self.opening: weakref.WeakValueDictionary[Identity, threading.RLock] = weakref.WeakValueDictionary()

    def contexts(self) -> list[PipesContext]:
        """What is open, in the order of opening."""
        with self.lock:
            return [context for context in self.open.values() if not context.is_closed]


_process = Process()
_stack: ContextVar[tuple[PipesContext, ...]] = ContextVar("standpipe_contexts", default=())
"""To which contexts this task or thread belongs: the one that it opened last is the last."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _process.renew_locks())  # noqa: PLW0108  tests replace `_process`


def own() -> PipesContext | None:
    """The context to which this task or thread belongs, closed or not."""
    stack = _stack.get()
    return stack[-1] if stack else None


def answer(call: str) -> PipesContext | None:
    """What a call without a context means here; None where nothing was ever opened.

    Raises:
        SeveralContexts: several are open, and this task or thread belongs to none of them.
    """
    return own() or only_open(call) or _process.latest


def is_initialized() -> bool:
    """Whether `answer` has one, or several to choose from."""
    return bool(_stack.get()) or _process.latest is not None


def only_open(call: str) -> PipesContext | None:
    """The one open context of this process. Null contexts count only where there are no others.

    Raises:
        SeveralContexts: there are several.
    """
    contexts = _process.contexts()
    contexts = [context for context in contexts if not context.is_null] or contexts
    if len(contexts) > 1:
        names = ", ".join(map(_name, contexts[:NAMED])) + (", …" if len(contexts) > NAMED else "")
        raise SeveralContexts(
            f"Calling `{call}` without naming a context is undefined here. This process has {len(contexts)} contexts"
            f" open ({names}), and thread `{threading.current_thread().name}` belongs to none of them. Pass the"
            " context to the code that runs here, or run that code in a copy of its caller's context variables:"
            " `executor.submit(contextvars.copy_context().run, work)`."
        )
    return contexts[0] if contexts else None


def all_open() -> list[PipesContext]:
    """All open contexts of this process, in the order of opening."""
    return _process.contexts()


def find(identity: Identity) -> PipesContext | None:
    """The open context of an invocation."""
    for context in _process.contexts():
        origin = context.origin
        if origin is not None and origin.identity == identity:
            return context
    return None


def opening_lock(identity: Identity) -> threading.RLock:
    """Held while an invocation is looked for and opened, so that two threads do not open it twice."""
    with _process.lock:
        lock = _process.opening.get(identity)
        if lock is None:
            lock = _process.opening[identity] = threading.RLock()
        return lock


def enter(context: PipesContext) -> None:
    """From now on this task or thread belongs to the context, and all others can find it."""
    around = tuple(one for one in _stack.get() if one is not context and not one.is_closed)
    _stack.set((*around, context))
    with _process.lock:
        _process.latest = context
        if not context.is_closed:
            _process.open[id(context)] = context


def leave() -> None:
    """This task or thread belongs to no context any more, and none is found that `answer` would have given it."""
    stack = _stack.get()
    _stack.set(())
    with _process.lock:
        contexts = _process.contexts()
        left = stack or (tuple(contexts) if len(contexts) == 1 else ())
        for context in left:
            _process.open.pop(id(context), None)
        if not contexts or _process.latest in left:
            contexts = _process.contexts()
            _process.latest = contexts[-1] if contexts else None


def forget(context: PipesContext) -> None:
    """The context is found no more, though it stays open."""
    with _process.lock:
        _process.open.pop(id(context), None)


def note_closed(context: PipesContext, *, materialized: set[str]) -> None:
    """The context is closed."""
    with _process.lock:
        _process.open.pop(id(context), None)
        origin = context.origin
        if origin is not None:
            _process.materialized.pop(origin.identity, None)
            _process.materialized[origin.identity] = materialized
            while len(_process.materialized) > REMEMBERED_INVOCATIONS:
                del _process.materialized[next(iter(_process.materialized))]


def leave_block(context: PipesContext) -> None:
    """Behind its `with` block a task or thread belongs to the context that it belonged to before, if that is open."""
    stack = _stack.get()
    around = tuple(one for one in stack if not one.is_closed)
    if around and stack[-1] is context:
        _stack.set(around)


def materialized_before(identity: Identity) -> set[str] | None:
    """What this process has reported for an invocation in contexts that were closed."""
    with _process.lock:
        return _process.materialized.get(identity)


def swap(process: Process, stack: tuple[PipesContext, ...] = ()) -> tuple[Process, tuple[PipesContext, ...]]:
    """For tests in one process: makes this the state of the process and of the calling task or thread.

    Returns:
        What it was before.
    """
    global _process  # noqa: PLW0603  what is open belongs to the process
    before = _process, _stack.get()
    _process = process
    _stack.set(stack)
    return before


def _name(context: PipesContext) -> str:
    origin = context.origin
    return "one without an invocation" if origin is None else origin.identity[1]
