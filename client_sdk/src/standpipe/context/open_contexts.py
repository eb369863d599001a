"""The open contexts of this process, and which of them a call without a context means.

One process may serve many invocations, one after the other and at once. A task or thread belongs to the context that it
opened, and so does every task that it starts (`contextvars`). The invariant: a task or thread that belongs to one
context never gets another, and one that belongs to none gets a context only where one is open.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextvars import ContextVar

from standpipe.errors import DagsterPipesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Protocol, TypeAlias

    from standpipe_protocol.messages import Message

    Identity: TypeAlias = tuple[str, str]
    """An invocation: the server's address and the id; or the params of a params loader that names no server."""

    class OpenContext(Protocol):
        """What is registered: a `OpenContext`."""

        is_null: ClassVar[bool]
        origin: Origin | None

        @property
        def is_closed(self) -> bool: ...

        def _send(self, message: Message) -> None: ...


REMEMBERED_INVOCATIONS = 16
"""For so many closed invocations the materialized keys are remembered, for a notebook cell that is run again."""
NAMED = 5


class SeveralContexts(DagsterPipesError):
    """Several contexts are open, and the calling task or thread belongs to none of them."""


class Origin:
    """The invocation of a context, and what named it."""

    __slots__ = ("from_environment", "identity")

    def __init__(self, identity: Identity, *, from_environment: bool) -> None:
        self.identity = identity
        self.from_environment = from_environment
        """Whether the environment of the process named it, not a params loader."""


class Registry:
    """The contexts that all threads of one process opened."""

    def __init__(self) -> None:
        self.open: dict[int, OpenContext] = {}
        self.latest: OpenContext | None = None
        """The last one that was opened. It is still the result of `resolve` when all are closed, as in Dagster."""
        self.materialized: dict[Identity, set[str]] = {}
        self.renew_locks()

    def renew_locks(self) -> None:
        """Also in a forked child, where one may be held by a thread that does not exist there."""
        # Reentrant, because a signal handler may interrupt the code that holds one.
        self.lock = threading.RLock()
        self.opening: weakref.WeakValueDictionary[Identity, threading.RLock] = weakref.WeakValueDictionary()

    def contexts(self) -> list[OpenContext]:
        """What is open, in the order of opening."""
        with self.lock:
            return [context for context in self.open.values() if not context.is_closed]


_process = Registry()
_stack: ContextVar[tuple[OpenContext, ...]] = ContextVar("standpipe_contexts", default=())
"""The contexts to which this task or thread belongs, the one that it opened last at the end."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _process.renew_locks())  # noqa: PLW0108  tests replace `_process`


def own() -> OpenContext | None:
    """The context to which this task or thread belongs, closed or not."""
    stack = _stack.get()
    return stack[-1] if stack else None


def resolve(call: str) -> OpenContext | None:
    """The context that a call without one means here, None where none was ever opened; raises SeveralContexts where
    several are open, and this task or thread belongs to none of them."""
    return own() or only_open(call) or _process.latest


def is_initialized() -> bool:
    """Whether any context was opened."""
    return bool(_stack.get()) or _process.latest is not None


def only_open(call: str) -> OpenContext | None:
    """The one open context of this process; raises SeveralContexts. Null contexts count only where there are no
    others."""
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


def all_open() -> list[OpenContext]:
    """All open contexts of this process, in the order of opening."""
    return _process.contexts()


def find(identity: Identity) -> OpenContext | None:
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


def enter(context: OpenContext) -> None:
    """Makes this task or thread belong to the context, and the context visible to all others."""
    around = tuple(one for one in _stack.get() if one is not context and not one.is_closed)
    _stack.set((*around, context))
    with _process.lock:
        _process.latest = context
        if not context.is_closed:
            _process.open[id(context)] = context


def leave() -> None:
    """Makes this task or thread belong to no context, and unregisters what `resolve` would return for it."""
    stack = _stack.get()
    _stack.set(())
    with _process.lock:
        contexts = _process.contexts()
        removed = stack or (tuple(contexts) if len(contexts) == 1 else ())
        for context in removed:
            _process.open.pop(id(context), None)
        if not contexts or _process.latest in removed:
            contexts = _process.contexts()
            _process.latest = contexts[-1] if contexts else None


def forget(context: OpenContext) -> None:
    """Unregisters a context, which stays open."""
    with _process.lock:
        _process.open.pop(id(context), None)


def note_closed(context: OpenContext, *, materialized: set[str]) -> None:
    """Unregisters a closed context; its materialized keys are remembered."""
    with _process.lock:
        _process.open.pop(id(context), None)
        origin = context.origin
        if origin is not None:
            _process.materialized.pop(origin.identity, None)
            _process.materialized[origin.identity] = materialized
            while len(_process.materialized) > REMEMBERED_INVOCATIONS:
                del _process.materialized[next(iter(_process.materialized))]


def leave_block(context: OpenContext) -> None:
    """After its `with` block a task or thread belongs to the context that it belonged to before, if that is open."""
    stack = _stack.get()
    around = tuple(one for one in stack if not one.is_closed)
    if around and stack[-1] is context:
        _stack.set(around)


def materialized_before(identity: Identity) -> set[str] | None:
    """The keys that this process materialized for an invocation in contexts that are closed."""
    with _process.lock:
        return _process.materialized.get(identity)


def swap(process: Registry, stack: tuple[OpenContext, ...] = ()) -> tuple[Registry, tuple[OpenContext, ...]]:
    """For tests in one process: replaces the state of the process and of the calling task or thread, and returns it."""
    global _process  # noqa: PLW0603  what is open belongs to the process
    before = _process, _stack.get()
    _process = process
    _stack.set(stack)
    return before


def _name(context: OpenContext) -> str:
    origin = context.origin
    return "one without an invocation" if origin is None else origin.identity[1]
