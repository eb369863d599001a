"""`open_pipes`: finds out who launched this process, and opens its context.

Returns at once; whatever needs the network happens on the outbox's thread. The invariant: one process has one current
context, and the same call in the same state answers the same one.
"""

from __future__ import annotations

import os

from standpipe.context import PipesContext
from standpipe.errors import PipesConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from standpipe.plugs import PipesContextLoader, PipesMessageWriter, PipesParamsLoader
    from standpipe_protocol.bootstrap import Bootstrap
    from standpipe_protocol.messages import PipesException


def open_pipes(
    *,
    context_loader: PipesContextLoader | None = None,
    message_writer: PipesMessageWriter | None = None,
    params_loader: PipesParamsLoader | None = None,
) -> PipesContext:
    """Opens the context of this process, or answers the one that is open.

    ```python
    with open_pipes() as context:
        context.report_asset_materialization(metadata={"rows": 3})
    ```

    A context that was closed, or that belongs to another invocation than the environment now names, is replaced by a
    new one (a notebook cell that runs again). Reopened for the same invocation it is a new producer, which still
    knows what was materialized. Outside an orchestrator the answer is a null context, with a `DagsterPipesWarning`.

    Args:
        context_loader: where the context comes from instead of the server.
        message_writer: where messages go instead of to the server.
        params_loader: where URL, invocation and token come from instead of the environment.

    Raises:
        PipesConfigurationError: some of the three variables are set and some are not, or the address is malformed.
            A server that refuses or cannot be reached shows at the first use of the context, not here.
    """
    if context_loader is not None or message_writer is not None or params_loader is not None:
        from standpipe.plugs import open_plugged

        current = PipesContext.get() if PipesContext.is_initialized() else None
        if current is not None and not current.is_closed:
            return current
        context = open_plugged(context_loader, message_writer, params_loader, environment=os.environ)
    else:
        context = _open_by_environment(os.environ)
    PipesContext.set(context)
    return context


open_dagster_pipes = open_pipes
"""The same under upstream's name, so that a ported script changes one import."""


class HttpPipesContext(PipesContext):
    """A context that talks to a server; knows which invocation it belongs to."""

    def __init__(self, bootstrap: Bootstrap, *, materialized: set[str] | None = None) -> None:
        from standpipe.outbox import Outbox
        from standpipe_protocol.messages import Opened

        self.bootstrap = bootstrap
        self._outbox = Outbox.connect(bootstrap, fetch_context=True)
        super().__init__(source=self._outbox, channel=self._outbox, materialized=materialized)
        self._outbox.after_fork(self._renew_lock)
        self._outbox.send(Opened())

    def reopened(self) -> HttpPipesContext:
        """A new context for the same invocation: another producer, the same memory of what was materialized."""
        return HttpPipesContext(self.bootstrap, materialized=self._materialized)

    def _send_closed(self, exc: BaseException | PipesException | Mapping[str, object] | None) -> None:
        # A forked child that leaves the `with` block without having reported anything has nothing to close.
        if exc is None and self._outbox.forked and self._outbox.numbered == 0:
            return
        super()._send_closed(exc)


def _open_by_environment(environment: Mapping[str, str]) -> PipesContext:
    from standpipe_protocol.bootstrap import Bootstrap, BootstrapError

    try:
        bootstrap = Bootstrap.from_environment(environment)
    except BootstrapError as error:
        raise PipesConfigurationError(str(error)) from None
    current = PipesContext.get() if PipesContext.is_initialized() else None
    if current is not None and _still_serves(current, bootstrap):
        return current
    if bootstrap is None:
        from standpipe.null_context import open_null_context

        return open_null_context(environment)
    if isinstance(current, HttpPipesContext) and current.bootstrap == bootstrap:
        return current.reopened()
    return HttpPipesContext(bootstrap)


def _still_serves(current: PipesContext, bootstrap: Bootstrap | None) -> bool:
    """Whether the open context is the one that the environment asks for."""
    if current.is_closed:
        return False
    if bootstrap is None:
        return True
    if isinstance(current, HttpPipesContext):
        return current.bootstrap == bootstrap
    # One that somebody set stays; a null context gives way to an invocation.
    return not current.is_null
