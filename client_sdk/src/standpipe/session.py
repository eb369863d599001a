"""`open_pipes`: finds out who launched this process, and opens its context.

Waits for no network: what needs it happens on the outbox's thread. The invariants: an invocation has at most one open
context in a process, and a call that names another one never gets it; what is open was on disk, or stored, before the
call returned.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref

from standpipe.context import open_contexts
from standpipe.context.pipes_context import PipesContext
from standpipe.errors import PipesConfigurationError
from standpipe.lifecycle import process_hooks as lifetime
from standpipe.lifecycle.termination import forget, tell_of_termination
from standpipe.runtime.clock import bounded
from standpipe.runtime.threads import background_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from standpipe.context.channels import MessageChannel
    from standpipe.context.open_contexts import Identity
    from standpipe.delivery.outbox import Outbox
    from standpipe.http.decisions import DeliveryReport
    from standpipe.plugins.interfaces import (
        PipesContextLoader,
        PipesMessageWriter,
        PipesMessageWriterChannel,
        PipesParamsLoader,
    )
    from standpipe_protocol.bootstrap import Bootstrap
    from standpipe_protocol.context import ContextData
    from standpipe_protocol.invocation import Control
    from standpipe_protocol.json_text import JsonValue
    from standpipe_protocol.messages import Message, PipesException

_BACKGROUND_SECONDS = 10.0
"""How long the end of the process waits for the thread that makes an outbox: it is importing."""


def open_pipes(
    *,
    context_loader: PipesContextLoader | None = None,
    message_writer: PipesMessageWriter[PipesMessageWriterChannel] | None = None,
    params_loader: PipesParamsLoader | None = None,
    strict: bool = False,
    spool: Literal["first", "later"] | None = None,
    on_cancel: Callable[[], object] | None = None,
    raise_on_cancel: bool | None = None,
) -> PipesContext:
    """Opens the context of an invocation, or answers the one that is open.

    ```python
    with open_pipes() as context:
        context.report_asset_materialization(metadata={"rows": 3})
    ```

    The plug-ins, or else the environment, name an invocation. If a context is open for it in this process, that is the
    answer, in whichever thread it was opened; otherwise a new one is opened, beside those of other invocations. The
    calling task or thread then belongs to it. One that was closed is opened anew for the same invocation (a notebook
    cell that runs again): as a new producer, which still knows what was materialized. Where nothing names an invocation
    the answer is a null context, with a `DagsterPipesWarning`.

    Without plug-ins, a task or thread that opened a context with them gets that one again. In one that belongs to none
    the only open context is the answer where the environment names no invocation, and, but for the main thread, also
    where that one was opened with plug-ins.

    Args:
        context_loader: where the context comes from instead of the server.
        message_writer: where messages go instead of to the server.
        params_loader: where URL, invocation and token come from instead of the environment.
        strict: each report waits until the server has stored it, for at most `STANDPIPE_CLOSE_TIMEOUT` seconds, and
            raises when it has not; so does closing. For the call that opens; a context that is open stays as it is.
        spool: `"first"` has every report on disk before it returns, so that a killed process loses nothing;
            `"later"` only when memory is full or the server is away. `STANDPIPE_SPOOL` or `"later"` by default.
        on_cancel: called once, on a thread of its own, when somebody asks this work to stop.
        raise_on_cancel: whether the next report in the main thread then raises `PipesCancelled`; it does by default.

    Raises:
        DagsterPipesError: no plug-ins are given, several contexts are open, and this task or thread belongs to none of
            them.
        PipesConfigurationError: some of the three variables are set and some are not, the address is malformed, or
            Dagster itself launched this process (`DAGSTER_PIPES_CONTEXT` is set, and no invocation is named). A server
            that refuses or cannot be reached shows at the first use of the context, not here.
    """
    from standpipe.delivery.settings import SPOOL_VARIABLE, spool_first

    environment: Mapping[str, str] = os.environ if spool is None else {**os.environ, SPOOL_VARIABLE: spool}
    spool_first(environment)  # raises where it is misspelt, here and not on a thread
    if context_loader is not None or message_writer is not None or params_loader is not None:
        from standpipe.plugins.interfaces import open_plugged

        context = open_plugged(context_loader, message_writer, params_loader, environment=environment, strict=strict)
    else:
        context = _open_by_environment(environment, strict=strict)
    if raise_on_cancel is not None:
        context.raise_on_cancel(raise_on_cancel)
    if on_cancel is not None:
        context.on_cancel(on_cancel)
    return context


open_dagster_pipes = open_pipes
"""The same under upstream's name, so that a ported script changes one import."""


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
        self.bootstrap = bootstrap
        self._opening = _OpeningOutbox(
            bootstrap,
            environment=environment,
            extras=extras,
            in_forked_child=self._renew_lock,
            # Until it has opened SIGTERM is none of ours there: pools end idle workers so.
            on_opening_in_child=lambda: tell_of_termination(self),
            on_control=lambda control: self._cancellation.hear(control),  # noqa: PLW0108  made by `super().__init__`
        )
        channel: MessageChannel = self._opening
        if strict:
            from standpipe.delivery.strict import StrictChannel

            channel = StrictChannel(lambda: self._opening.outbox)
        super().__init__(source=self._opening, channel=channel, materialized=materialized)
        # First, since from here on the server may hear of it, and the signal may come at any time.
        tell_of_termination(self)
        self._opening.begin()

    def close(
        self, exc: BaseException | PipesException | Mapping[str, object] | None = None, *, timeout: float | None = None
    ) -> DeliveryReport:
        """As `PipesContext.close`."""
        try:
            if timeout is not None:
                self._opening.outbox.closing_seconds = bounded(timeout)
            return super().close(exc, timeout=timeout)
        finally:
            forget(self)

    @property
    def is_refused(self) -> bool:
        """Whether the server takes nothing more of it."""
        return self._opening.is_refused

    def _begin_termination(
        self, reason: PipesException | None, *, signal: str, seconds: float
    ) -> Callable[[float], object]:
        self._opening.outbox.closing_seconds = seconds
        return super()._begin_termination(reason, signal=signal, seconds=seconds)

    def _send_closed(self, exc: BaseException | PipesException | Mapping[str, object] | None) -> None:
        outbox = self._opening.outbox
        # A forked child that leaves the `with` block without having reported anything has nothing to close.
        if exc is None and outbox.forked and outbox.numbered == 0:
            return
        super()._send_closed(exc)


class _OpeningOutbox:
    """An outbox that is being made on a thread of its own: the modules it takes are most of what opening costs.

    Whoever needs it sooner makes it, or waits for it. `opened` is the first message in it, and was on disk before.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        *,
        environment: Mapping[str, str],
        extras: Mapping[str, JsonValue] | None,
        in_forked_child: Callable[[], None],
        on_opening_in_child: Callable[[], None],
        on_control: Callable[[Control], None],
    ) -> None:
        from standpipe.producer.opening import begin_opening

        self._bootstrap = bootstrap
        self._environment = environment
        self._in_forked_child = in_forked_child
        self._on_opening_in_child = on_opening_in_child
        self._on_control = on_control
        self._opening = begin_opening(bootstrap, environment=environment, extras=extras)
        self._made: Outbox | None = None
        # Reentrant, because a signal handler that reports may interrupt it.
        self._making = threading.RLock()
        self._in_background: threading.Event | None = None

    def begin(self) -> None:
        _watch(self)
        if not self._opening.on_disk:
            # Then it has to be at the server.
            self.outbox.wait_until_heard()
        # Where the process gets no further thread it is made where it is first used.
        with contextlib.suppress(RuntimeError):
            made = threading.Event()
            background_thread(self._make_in_background, args=(made,), name="standpipe-opening").start()
            self._in_background = made

    @property
    def outbox(self) -> Outbox:
        if self._made is None:
            with self._making:
                if self._made is None:
                    from standpipe.delivery.outbox import Outbox

                    outbox = Outbox.connect(
                        self._bootstrap, fetch_context=True, environment=self._environment, opening=self._opening
                    )
                    outbox.after_fork(self._in_forked_child, opened=self._on_opening_in_child)
                    outbox.on_control(self._on_control)
                    self._made = outbox
        return self._made

    @property
    def is_refused(self) -> bool:
        """Whether the server has refused everything for good."""
        return self._made is not None and self._made.refusal is not None

    @property
    def control(self) -> Control:
        return self.outbox.control

    def context(self) -> ContextData:
        return self.outbox.context()

    def send(self, message: Message) -> None:
        (self._made or self.outbox).send(message)

    def flush(self, timeout: float) -> bool:
        return self.outbox.flush(timeout)

    def close(self, timeout: float | None = None) -> DeliveryReport:
        return self.outbox.close(timeout)

    def wait_for_background(self, timeout: float) -> None:
        """At the end of the process: the thread that makes the outbox may be the last one that it gets."""
        if self._made is None and self._in_background is not None:
            self._in_background.wait(timeout)

    def _make_in_background(self, made: threading.Event) -> None:
        run: Callable[[], None] | None = None
        # What goes wrong here goes wrong again, and is told, where the outbox is first used.
        with contextlib.suppress(Exception):
            run = self.outbox.take_thread()
        made.set()
        if run is not None:
            run()


_openings: weakref.WeakValueDictionary[int, _OpeningOutbox] = weakref.WeakValueDictionary()
_hooks_installed = False


def _watch(opening: _OpeningOutbox) -> None:
    """Outboxes watch over forks and the end of the process; until there is one, this does."""
    global _hooks_installed  # noqa: PLW0603  hooks of the interpreter are process-wide by nature
    _openings[id(opening)] = opening
    # Imported before the hooks below: logging has hooks for forks of its own, and those that come into being while the
    # ones of a fork already run are called in part, which logging answers with an error on stderr.
    import logging  # noqa: F401  # pyright: ignore[reportUnusedImport]  for its hooks

    lifetime.call_at_end(_finish_opening)
    # After ours, so that it runs before it: what is open is closed there.
    lifetime.install()
    if not _hooks_installed:
        _hooks_installed = True
        if hasattr(os, "register_at_fork"):
            # A fork in the middle of an import leaves the import's lock held in the child for ever.
            os.register_at_fork(before=_wait_for_opening)


def _wait_for_opening() -> None:
    for opening in _all_openings():
        opening.outbox.wait_until_imported()


def _finish_opening() -> None:
    for opening in _all_openings():
        # What goes wrong here concerns one invocation of many.
        with contextlib.suppress(Exception):
            opening.wait_for_background(_BACKGROUND_SECONDS)
            _ = opening.outbox
    lifetime.close_all()


def _all_openings() -> list[_OpeningOutbox]:
    # As `lifetime` does it: other threads may open in the middle of a longer walk.
    return [opening for reference in _openings.valuerefs() if (opening := reference()) is not None]


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
        if context is not None and _was_refused(context, bootstrap):
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
    return context


def identity_of(bootstrap: Bootstrap) -> Identity:
    """Which invocation this is, whatever the token: an invocation may have several."""
    return (bootstrap.url, bootstrap.invocation)


def _was_refused(context: PipesContext, bootstrap: Bootstrap) -> bool:
    """Whether the server takes nothing more of an open context, and now another token is tried."""
    if not isinstance(context, HttpPipesContext) or context.bootstrap.token == bootstrap.token:
        return False
    return context.is_refused


def _open_by_environment(environment: Mapping[str, str], *, strict: bool) -> PipesContext:
    from standpipe_protocol.bootstrap import Bootstrap, BootstrapError

    try:
        bootstrap = Bootstrap.from_environment(environment)
    except BootstrapError as error:
        raise PipesConfigurationError(str(error)) from None
    own = open_contexts.own()
    if own is not None and not own.is_closed and _answers(own, bootstrap):
        return own
    if own is None and (bootstrap is None or _may_help_others()):
        only = open_contexts.only_open("open_pipes")
        if only is not None and (bootstrap is None or not _is_of(bootstrap, only)):
            return only
    if bootstrap is not None:
        return open_http_context(bootstrap, environment=environment, strict=strict, from_environment=True)
    from standpipe.context.null_context import open_null_context, refuse_launch_by_upstream

    refuse_launch_by_upstream(environment)
    context = open_null_context(environment)
    open_contexts.enter(context)
    return context


def _may_help_others() -> bool:
    """Whether this is a thread that may work for an invocation which the environment does not name.

    The main thread is where a process opens the one that it does name.
    """
    if threading.current_thread() is threading.main_thread():
        return False
    return any(not context.is_null and not _is_from_environment(context) for context in open_contexts.all_open())


def _is_of(bootstrap: Bootstrap, context: PipesContext) -> bool:
    return context.origin is not None and context.origin.identity == identity_of(bootstrap)


def _is_from_environment(context: PipesContext) -> bool:
    return context.origin is not None and context.origin.from_environment


def _answers(own: PipesContext, bootstrap: Bootstrap | None) -> bool:
    """Whether the open context of a task or thread is what it means with `open_pipes()`."""
    if bootstrap is None:
        return True
    # A null context gives way to an invocation, and one that the environment named to another that it names now.
    return not own.is_null and not _is_from_environment(own)
