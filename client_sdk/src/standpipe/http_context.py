"""The context of an invocation on a server, and the thread on which its outbox is made.

Waits for no network. The invariants: an invocation has at most one open context in a process; its opening is on disk,
or stored, before the context is returned.
"""

from __future__ import annotations

import contextlib
import threading

from standpipe.context import open_contexts
from standpipe.context.pipes_context import PipesContext
from standpipe.lifecycle import process_hooks
from standpipe.lifecycle.termination import close_on_sigterm, release
from standpipe.runtime.clock import bounded
from standpipe.runtime.threads import BackgroundThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from standpipe.context.channels import ContextSource, MessageChannel
    from standpipe.context.open_contexts import Identity
    from standpipe.delivery.outbox import Outbox
    from standpipe.delivery_report import DeliveryReport
    from standpipe_protocol.bootstrap import Bootstrap
    from standpipe_protocol.json_text import JsonValue
    from standpipe_protocol.members import PipesException

_IMPORT_SECONDS = 10.0
"""How long the end of the process waits for the thread that makes an outbox: it is importing."""


def open_http_context(
    bootstrap: Bootstrap,
    *,
    environment: Mapping[str, str],
    strict: bool,
    from_environment: bool,
    extras: Mapping[str, JsonValue] | None = None,
) -> PipesContext:
    """The open context of an invocation, or a new one. The calling task or thread belongs to it from now on."""
    identity = identity_of(bootstrap)
    with open_contexts.opening_lock(identity):
        context = open_contexts.find(identity)
        if isinstance(context, HttpPipesContext) and context.bootstrap.token != bootstrap.token and context.is_refused:
            # Now another token is tried.
            open_contexts.forget(context)
            context = None
        if context is None:
            context = HttpPipesContext(
                bootstrap,
                environment=environment,
                strict=strict,
                materialized=open_contexts.materialized_before(identity),
                extras=extras,
            )
            context.origin = open_contexts.Origin(identity, from_environment=from_environment)
        open_contexts.enter(context)
    return context  # pyright: ignore[reportReturnType]  only contexts are registered


def identity_of(bootstrap: Bootstrap) -> Identity:
    """The invocation, with any of its tokens."""
    return (bootstrap.url, bootstrap.invocation)


class HttpPipesContext(PipesContext):
    """A context that talks to a server; knows which invocation it belongs to."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        *,
        environment: Mapping[str, str],
        strict: bool = False,
        materialized: set[str] | None = None,
        extras: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(materialized=materialized)
        self.bootstrap = bootstrap
        self._outbox_maker = OutboxMaker(
            bootstrap, environment=environment, strict=strict, extras=extras, prepare=self._prepare
        )
        # First, since from here on the server may know the process, and the signal may come at any time.
        close_on_sigterm(self)
        self._outbox_maker.start()

    def close(
        self, exc: BaseException | PipesException | Mapping[str, object] | None = None, *, timeout: float | None = None
    ) -> DeliveryReport:
        """As `PipesContext.close`."""
        try:
            if timeout is not None:
                self._outbox_maker.outbox.closing_seconds = bounded(timeout)
            return super().close(exc, timeout=timeout)
        finally:
            release(self)

    @property
    def is_refused(self) -> bool:
        """Whether the server has refused everything for good."""
        outbox = self._outbox_maker.made
        return outbox is not None and outbox.sender.stopped_by is not None

    @property
    def _source(self) -> ContextSource:
        return self._outbox_maker.outbox

    @property
    def _channel(self) -> MessageChannel:
        return self._outbox_maker.made or self._outbox_maker.outbox

    def _prepare(self, outbox: Outbox) -> None:
        # A forked child handles SIGTERM once it has opened: pools end idle workers by it.
        outbox.after_fork(self._renew_lock, opened=lambda: close_on_sigterm(self))
        outbox.on_control(self._cancellation.on_control)

    def _begin_termination(
        self, reason: PipesException | None, *, signal: str, seconds: float
    ) -> Callable[[float], object]:
        self._outbox_maker.outbox.closing_seconds = seconds
        return super()._begin_termination(reason, signal=signal, seconds=seconds)

    def _send_closed(self, exc: BaseException | PipesException | Mapping[str, object] | None) -> None:
        outbox = self._outbox_maker.outbox
        # A forked child that leaves the `with` block without having reported anything has nothing to close.
        if exc is None and outbox.forked and outbox.queue.numbered == 0:
            return
        super()._send_closed(exc)


class OutboxMaker:
    """Makes an outbox on a thread of its own: the modules it imports are most of the cost of opening. A thread that
    needs the outbox sooner makes it, or waits for it. The thread goes on as the one that delivers, which the outbox
    joins."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        *,
        environment: Mapping[str, str],
        strict: bool,
        extras: Mapping[str, JsonValue] | None,
        prepare: Callable[[Outbox], object],
    ) -> None:
        from standpipe.producer.opening import begin_opening

        self._bootstrap = bootstrap
        self._environment = environment
        self._strict = strict
        self._prepare = prepare
        self._opening = begin_opening(bootstrap, environment=environment, extras=extras)
        self.made: Outbox | None = None
        # Reentrant, because a signal handler that reports may interrupt it.
        self._lock = threading.RLock()
        self._finished = threading.Event()
        self._thread = BackgroundThread(self._run, name="standpipe-opening")

    def start(self) -> None:
        process_hooks.watch_opening(self)
        if not self._opening.on_disk:
            # Then it has to be at the server.
            self.outbox.confirm_opening()
        # Without a further thread the outbox is made where it is first used.
        self._thread.start()

    @property
    def outbox(self) -> Outbox:
        if self.made is None:
            with self._lock:
                if self.made is None:
                    from standpipe.delivery.outbox import Outbox

                    outbox = Outbox.connect(
                        self._bootstrap,
                        fetch_context=True,
                        environment=self._environment,
                        opening=self._opening,
                        strict=self._strict,
                    )
                    self._prepare(outbox)
                    self.made = outbox
        return self.made

    def finish(self) -> None:
        """At the end of the process: makes the outbox, at best on the thread, which may be the last one it gets."""
        if self.made is None and self._thread.is_alive:
            self._finished.wait(_IMPORT_SECONDS)
        _ = self.outbox

    def wait_until_imported(self) -> None:
        self.outbox.wait_until_imported()

    def _run(self) -> None:
        deliver: Callable[[], None] | None = None
        # An error here is raised again where the outbox is first used.
        with contextlib.suppress(Exception):
            deliver = self.outbox.adopt_thread()
        self._finished.set()
        if deliver is not None:
            deliver()
