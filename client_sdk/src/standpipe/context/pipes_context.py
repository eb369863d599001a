"""`PipesContext`: what external code sees. Dagster's properties, methods, rules and error sentences.

Knows neither HTTP nor queues: the context comes from a `ContextSource`, messages go into a `MessageChannel`. Only
misuse raises out of `report_*`. The invariant: an asset key counts as materialized once its message is queued, and
never before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from standpipe.context import open_contexts, rules
from standpipe.context.cancellation import Cancellation, PipesCancelled
from standpipe.context.properties import ContextProperties
from standpipe.errors import DagsterPipesError, PipesConfigurationError, PipesServerError
from standpipe.lifecycle.orderly_exit import is_no_failure
from standpipe.runtime.threads import held_if_free

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from types import TracebackType
    from typing import ClassVar, Literal

    from standpipe.context.channels import ContextSource, MessageChannel
    from standpipe.context.open_contexts import Origin
    from standpipe.delivery_report import DeliveryReport
    from standpipe_protocol.context import ContextData
    from standpipe_protocol.members import PipesException
    from standpipe_protocol.messages import Message


CALLBACK_SECONDS = 1.0
"""How long `close` waits for callbacks of `on_cancel` that still run."""


class PipesContext(ContextProperties):
    """The connection of this process to an invocation. Opened by `open_pipes`, found again by `PipesContext.get`."""

    is_null: ClassVar[bool] = False
    """Whether nothing is sent, because no orchestrator launched this process."""
    origin: Origin | None = None
    """The invocation that it was opened for; None where none was named."""

    @classmethod
    def is_initialized(cls) -> bool:
        """Whether `open_pipes` (or `set`) was called in this process."""
        return open_contexts.is_initialized()

    @classmethod
    def set(cls, context: PipesContext | None) -> None:
        """Makes a context that of the calling task or thread; None removes the one that `get` returns."""
        if context is None:
            open_contexts.leave()
        else:
            open_contexts.enter(context)

    @classmethod
    def get(cls) -> PipesContext:
        """The context of the calling task or thread; in one that opened none, the only one that is open.

        Raises:
            DagsterPipesError: none was opened, or several are open and this task or thread belongs to none of them.
        """
        context = open_contexts.resolve("PipesContext.get")
        if context is None:
            raise DagsterPipesError("PipesContext has not been initialized. You must call `open_dagster_pipes()`.")
        # Only contexts are registered; the registry knows them by their interface.
        return context  # pyright: ignore[reportReturnType]

    def __init__(
        self,
        *,
        source: ContextSource | None = None,
        channel: MessageChannel | None = None,
        materialized: set[str] | None = None,
    ) -> None:
        """For `open_pipes` and tests; opens nothing by itself.

        Args:
            source: where the context comes from; a subclass may give it by `_source`.
            channel: where messages go; a subclass may give it by `_channel`.
            materialized: keys already reported by this process for the same invocation.
        """
        self._own_source = source
        self._own_channel = channel
        self._loaded: ContextData | None = None
        self._materialized: set[str] = set() if materialized is None else materialized
        self._renew_lock()
        self._closed = False
        self._signal: str | None = None
        self._cancellation = Cancellation()
        self._logger: logging.Logger | None = None

    def __enter__(self) -> PipesContext:
        open_contexts.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close(error)
        finally:
            open_contexts.leave_block(self)

    def close(
        self, exc: BaseException | PipesException | Mapping[str, object] | None = None, *, timeout: float | None = None
    ) -> DeliveryReport:
        """Reports the end, delivers everything and returns what became of it. Idempotent.

        Args:
            exc: what the work failed with; an exception, or Dagster's form of one. An exit with status 0 is none.
            timeout: seconds to wait for the server; `STANDPIPE_CLOSE_TIMEOUT` or 30 by default. What is undelivered
                then is kept in a spool file.
        """
        with self._lock:
            is_first = not self._closed
            self._report_end(exc)
        try:
            return self._channel.close(timeout)
        finally:
            self._release()
            if is_first:
                self._cancellation.join(CALLBACK_SECONDS if timeout is None else min(CALLBACK_SECONDS, timeout))

    def flush(self, timeout: float) -> bool:
        """Waits until the server has everything reported so far; False when it has not after `timeout` seconds."""
        return self._channel.flush(timeout)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def cancel_requested(self) -> bool:
        """Whether this work was asked to stop. The request comes with the server's answers, so within a third of the
        lease (20 s by default) also when nothing is reported. See `on_cancel` and `checkpoint`."""
        return self._cancellation.requested or self._channel.control.cancel_requested

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Calls back once, on a thread of its own, when this work is asked to stop; at once if it has been."""
        self._cancellation.add_callback(callback)

    def raise_on_cancel(self, raises: bool) -> None:
        """Whether the next report in the main thread raises `PipesCancelled` after the request (the default)."""
        self._cancellation.set_raises(raises)

    def checkpoint(self) -> None:
        """A place at which this work can stop.

        Raises:
            PipesCancelled: it was asked to.
        """
        if self.cancel_requested:
            raise PipesCancelled

    @property
    def log(self) -> logging.Logger:
        """A logger whose records are reported."""
        if self._logger is None:
            from standpipe.context.log_handler import context_logger

            self._logger = context_logger(self)
        return self._logger

    def report_asset_materialization(
        self,
        metadata: Mapping[str, object] | None = None,
        data_version: str | None = None,
        asset_key: str | None = None,
    ) -> None:
        """Reports that an asset was materialized.

        Args:
            metadata: by name; plain values, or `{"raw_value": ..., "type": ...}`.
            data_version: a version of the data, where there is one.
            asset_key: may be left out where exactly one asset is in scope.

        Raises:
            DagsterPipesError: a parameter is wrong, or this process has already materialized the asset.
            TypeError: the metadata holds something that JSON cannot carry.
        """
        key = self._resolve_asset_key(asset_key, "report_asset_materialization")
        with self._lock:
            self._send(rules.materialization(key, metadata, data_version, materialized=self._materialized))
            self._materialized.add(key)
        self._cancellation.raise_if_due()

    def report_asset_check(
        self,
        check_name: str,
        passed: bool,
        severity: Literal["WARN", "ERROR"] = "ERROR",
        metadata: Mapping[str, object] | None = None,
        asset_key: str | None = None,
    ) -> None:
        """Reports the outcome of an asset check.

        Args:
            check_name: the check's name.
            passed: a real `bool` (a numpy one is refused, as by Dagster: write `bool(...)`).
            severity: what a failure means, `"WARN"` or `"ERROR"`.
            metadata: as for a materialization.
            asset_key: may be left out where exactly one asset is in scope; a check-only step has none, so needs it.

        Raises:
            DagsterPipesError: a parameter is wrong.
            TypeError: the metadata holds something that JSON cannot carry.
        """
        key = self._resolve_asset_key(asset_key, "report_asset_check")
        self._report(rules.asset_check(key, check_name, passed, severity, metadata))

    def report_asset_observation(
        self,
        metadata: Mapping[str, object] | None = None,
        data_version: str | None = None,
        asset_key: str | None = None,
        *,
        partition: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Reports an observation of an asset, as often as it is made. It counts as no materialization.

        Args:
            metadata: as for a materialization.
            data_version: the observed version, where there is one.
            asset_key: may be left out where exactly one asset is in scope.
            partition: of the asset; where it is left out, that of the context.
            tags: texts by name.

        Raises:
            DagsterPipesError: a parameter is wrong.
            TypeError: the metadata holds something that JSON cannot carry.
        """
        key = self._resolve_asset_key(asset_key, "report_asset_observation")
        self._report(rules.observation(key, metadata, data_version, partition=partition, tags=tags))

    def report_custom_message(self, payload: object) -> None:
        """Hands a JSON value to the orchestration code.

        Raises:
            TypeError: JSON cannot carry it. Keys that are numbers become strings, as `json.dumps` does it.
        """
        import standpipe_protocol.messages as protocol

        self._report(protocol.ReportCustomMessage(payload=payload))  # pyright: ignore[reportArgumentType]  encoding checks it

    def log_external_stream(self, stream: str, text: str, extras: Mapping[str, object] | None = None) -> None:
        """Reports a piece of captured output.

        Raises:
            DagsterPipesError: `stream` is neither `"stdout"` nor `"stderr"`, or `text` is no string.
        """
        self._send(rules.external_stream(stream, text, extras))

    @property
    def _source(self) -> ContextSource:
        assert self._own_source is not None  # noqa: S101  given to `__init__`, or by a subclass
        return self._own_source

    @property
    def _channel(self) -> MessageChannel:
        assert self._own_channel is not None  # noqa: S101  as above
        return self._own_channel

    @property
    def _data(self) -> ContextData:
        if self._loaded is None:
            self._loaded = self._source.context()
        return self._loaded

    def _renew_lock(self) -> None:
        # In a forked child the lock may be held by a thread that does not exist there. Reentrant, because a signal
        # handler that reports may interrupt a report.
        self._lock = threading.RLock()

    def _report(self, message: Message) -> None:
        self._send(message)
        self._cancellation.raise_if_due()

    def _send(self, message: Message) -> None:
        if self._closed:
            raise DagsterPipesError("Cannot send message after pipes context is closed.")
        try:
            self._channel.send(message)
        except (TypeError, ValueError) as error:
            raise rules.with_place(error, message) from error.__cause__

    def _release(self) -> None:
        """What a subclass gives back once everything is delivered."""

    def _report_end(self, exc: BaseException | PipesException | Mapping[str, object] | None) -> None:
        if not self._closed:
            self._send_closed(None if is_no_failure(exc) else exc)
            self._closed = True
            open_contexts.note_closed(self, materialized=self._materialized)

    def _begin_termination(
        self, reason: PipesException | None, *, signal: str, seconds: float
    ) -> Callable[[float], object]:
        """Reports that a signal ends the process; returns what waits for the delivery, so many seconds."""
        # Another thread may be in a report that waits.
        with held_if_free(self._lock, seconds=seconds):
            self._signal = signal
            self._report_end(reason)
        self._channel.flush(0.0)
        return self._channel.close

    def _send_closed(self, exc: BaseException | PipesException | Mapping[str, object] | None) -> None:
        from standpipe.exceptions import describe_exception
        from standpipe_protocol.messages import Closed

        self._channel.send(Closed(exception=None if exc is None else describe_exception(exc), signal=self._signal))

    def _resolve_asset_key(self, asset_key: str | None, method: str) -> str:
        rules.check_type("asset_key", method, asset_key, str, optional=True)
        try:
            keys = self._data.asset_keys
        except (PipesServerError, PipesConfigurationError):
            if not asset_key:
                raise
            # Without the server a report does not fail: it names the key, which the server checks later.
            return asset_key
        return rules.target_asset_key(asset_key, keys=keys, method=method)
