"""`open_pipes`: finds the invocation of the calling process, task or thread, and opens its context.

The invariant: a call that names one invocation never gets the context of another.
"""

from __future__ import annotations

import os
import threading

from standpipe.context import open_contexts
from standpipe.context.pipes_context import PipesContext
from standpipe.errors import PipesConfigurationError
from standpipe.http_context import identity_of, open_http_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from standpipe.context.open_contexts import OpenContext
    from standpipe.plugins.interfaces import (
        PipesContextLoader,
        PipesMessageWriter,
        PipesMessageWriterChannel,
        PipesParamsLoader,
    )
    from standpipe_protocol.bootstrap import Bootstrap


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
    """Opens the context of an invocation, or returns the one that is open.

    ```python
    with open_pipes() as context:
        context.report_asset_materialization(metadata={"rows": 3})
    ```

    The plug-ins, or else the environment, name an invocation. A context that any thread of this process has open for it
    is returned; otherwise a new one is opened, beside those of other invocations. The calling task or thread then
    belongs to it. A closed one is opened anew for the same invocation (a notebook cell that runs again): as a new
    producer, which remembers what was materialized. Where nothing names an invocation the result is a null context,
    with a `DagsterPipesWarning`.

    Without plug-ins, a task or thread that opened a context with them gets that one again. One that belongs to none
    gets the only open context where the environment names no invocation, and, except for the main thread, also where
    that one was opened with plug-ins.

    Args:
        context_loader: where the context comes from instead of the server.
        message_writer: where messages go instead of to the server.
        params_loader: where URL, invocation and token come from instead of the environment.
        strict: each report waits until the server has stored it, for at most `STANDPIPE_CLOSE_TIMEOUT` seconds, and
            raises when it has not; so does closing. For the call that opens; a context that is open stays as it is.
        spool: `"first"` has every report on disk before it returns, so that a killed process loses nothing;
            `"later"` only when memory is full or the server is away. `STANDPIPE_SPOOL` or `"later"` by default.
        on_cancel: called once, on a thread of its own, when this work is asked to stop.
        raise_on_cancel: whether the next report in the main thread then raises `PipesCancelled`; it does by default.

    Raises:
        DagsterPipesError: no plug-ins are given, several contexts are open, and this task or thread belongs to none of
            them.
        PipesConfigurationError: some of the three variables are set and some are not, the address is malformed, or
            Dagster itself launched this process (`DAGSTER_PIPES_CONTEXT` is set, and no invocation is named). A server
            that refuses or cannot be reached shows at the first use of the context, not here.
    """
    from standpipe.delivery.settings import SPOOL_VARIABLE, spools_first

    environment: Mapping[str, str] = os.environ if spool is None else {**os.environ, SPOOL_VARIABLE: spool}
    spools_first(environment)  # a misspelt value raises here, not on a thread
    if context_loader is not None or message_writer is not None or params_loader is not None:
        from standpipe.plugins.plugin_context import open_with_plugins

        context = open_with_plugins(
            context_loader, message_writer, params_loader, environment=environment, strict=strict
        )
    else:
        context = _open_by_environment(environment, strict=strict)
    if raise_on_cancel is not None:
        context.raise_on_cancel(raise_on_cancel)
    if on_cancel is not None:
        context.on_cancel(on_cancel)
    return context


open_dagster_pipes = open_pipes
"""The same under Dagster's name, so that a ported script changes one import."""


def _open_by_environment(environment: Mapping[str, str], *, strict: bool) -> PipesContext:
    from standpipe_protocol.bootstrap import Bootstrap, BootstrapError

    try:
        bootstrap = Bootstrap.from_environment(environment)
    except BootstrapError as error:
        raise PipesConfigurationError(str(error)) from None
    own = open_contexts.own()
    if own is not None and not own.is_closed and _is_meant(own, bootstrap):
        return own  # pyright: ignore[reportReturnType]  only contexts are registered
    if own is None and (bootstrap is None or _may_work_for_others()):
        only = open_contexts.only_open("open_pipes")
        if only is not None and (bootstrap is None or not _is_of(bootstrap, only)):
            return only  # pyright: ignore[reportReturnType]  as above
    if bootstrap is not None:
        return open_http_context(bootstrap, environment=environment, strict=strict, from_environment=True)
    from standpipe.context.null_context import open_null_context

    return open_null_context(environment, variables=environment)


def _may_work_for_others() -> bool:
    """Whether this thread may work for an invocation that the environment does not name. The main thread opens the one
    that it does name."""
    if threading.current_thread() is threading.main_thread():
        return False
    return any(not context.is_null and not _is_from_environment(context) for context in open_contexts.all_open())


def _is_of(bootstrap: Bootstrap, context: OpenContext) -> bool:
    return context.origin is not None and context.origin.identity == identity_of(bootstrap)


def _is_from_environment(context: OpenContext) -> bool:
    return context.origin is not None and context.origin.from_environment


def _is_meant(own: OpenContext, bootstrap: Bootstrap | None) -> bool:
    """Whether `open_pipes()` means the open context of its task or thread."""
    if bootstrap is None:
        return True
    # A null context gives way to an invocation, and one that the environment named to another that it names now.
    return not own.is_null and not _is_from_environment(own)
