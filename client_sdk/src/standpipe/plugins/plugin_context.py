"""Opens a context with plug-ins: context loader, message writer, or both, and the server for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from standpipe.context import open_contexts
from standpipe.context.null_context import open_null_context
from standpipe.context.open_contexts import Origin
from standpipe.context.pipes_context import PipesContext
from standpipe.delivery.outbox import Outbox
from standpipe.delivery_report import DeliveryReport
from standpipe.errors import DagsterPipesError, PipesConfigurationError
from standpipe.http_context import open_http_context
from standpipe.lifecycle.termination import close_on_sigterm, release
from standpipe.plugins.dagster_types import PIPES_PROTOCOL_VERSION
from standpipe.plugins.interfaces import PipesMappingParamsLoader, ServerPlugin
from standpipe.producer.opening import begin_opening
from standpipe.runtime.threads import BackgroundThread
from standpipe_protocol.bootstrap import Bootstrap, BootstrapError, server_address
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control
from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_protocol.messages import PIPES_VERSION_FIELD, Closed, Message, Opened, message_to_wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from standpipe.context.channels import ContextSource, MessageChannel
    from standpipe.context.open_contexts import Identity
    from standpipe.plugins.dagster_types import PipesMessage, PipesParams
    from standpipe.plugins.interfaces import (
        PipesContextLoader,
        PipesMessageWriter,
        PipesMessageWriterChannel,
        PipesParamsLoader,
    )
    from standpipe_protocol.members import PipesException


def open_with_plugins(
    context_loader: PipesContextLoader | None,
    message_writer: PipesMessageWriter[PipesMessageWriterChannel] | None,
    params_loader: PipesParamsLoader | None,
    *,
    environment: Mapping[str, str],
    strict: bool = False,
) -> PipesContext:
    """The open context of the invocation that the params loader names, or a new one; a null one if it names none.

    A new one uses these plug-ins; for each that is None it uses the server.

    Raises:
        DagsterPipesError: `strict` was asked for, and a message writer, which confirms nothing.
        PipesConfigurationError: a server is needed and the params do not name one.
    """
    if strict and message_writer is not None and not isinstance(message_writer, ServerPlugin):
        _refuse_strict()
    params_loader = params_loader or PipesMappingParamsLoader(environment)
    if not params_loader.is_dagster_pipes_process():
        own = open_contexts.own()
        if own is not None and own.is_null and not own.is_closed:
            return own  # pyright: ignore[reportReturnType]  only contexts are registered
        is_mapping = isinstance(params_loader, PipesMappingParamsLoader)
        return open_null_context(environment, variables=params_loader.mapping if is_mapping else {})
    context_params, messages_params = params_loader.load_context_params(), params_loader.load_messages_params()
    extras: Mapping[str, JsonValue] = {}
    if isinstance(context_loader, ServerPlugin) and context_loader.is_server(context_params):
        context_loader = None
    if isinstance(message_writer, ServerPlugin) and message_writer.is_server(messages_params):
        extras = message_writer.get_opened_extras()
        message_writer = None
    if strict and message_writer is not None:
        _refuse_strict()
    if context_loader is None and message_writer is None:
        return open_http_context(
            _bootstrap(messages_params), environment=environment, strict=strict, from_environment=False, extras=extras
        )
    plugins = _Plugins(context_loader, message_writer, context_params, messages_params)
    origin = Origin(plugins.identity(), from_environment=False)
    with open_contexts.opening_lock(origin.identity):
        context = open_contexts.find(origin.identity)
        if context is None:
            context = plugins.open(environment=environment, strict=strict, extras=extras)
            context.origin = origin
        open_contexts.enter(context)
    return context  # pyright: ignore[reportReturnType]  as above


@dataclass(frozen=True, slots=True)
class _Plugins:
    """Plug-ins and their params; None stands for the server."""

    context_loader: PipesContextLoader | None
    message_writer: PipesMessageWriter[PipesMessageWriterChannel] | None
    context_params: PipesParams
    messages_params: PipesParams

    def identity(self) -> Identity:
        """The invocation that the params name; without one, the kinds of the plug-ins and a digest of their params."""
        for params in (self.messages_params, self.context_params):
            match params:
                case {"url": str(url), "invocation": str(invocation)}:
                    with suppress(BootstrapError):
                        url = server_address(url, name="url")
                    return (url.rstrip("/"), invocation.strip())
                case _:
                    pass
        plugins = (self.context_loader, self.message_writer)
        kinds = [type(plugin).__qualname__ for plugin in plugins if plugin is not None]
        # Shown where several are open; the values may be secrets.
        values = repr((sorted(self.context_params.items()), sorted(self.messages_params.items()))).encode()
        names = sorted({*self.context_params, *self.messages_params})
        return (", ".join(kinds), f"one with {', '.join(names) or 'no'} params ({sha256(values).hexdigest()[:16]})")

    def open(self, *, environment: Mapping[str, str], strict: bool, extras: Mapping[str, JsonValue]) -> PipesContext:
        """A new context. Where only its context comes from the server it sends nothing there and holds no lease."""
        outbox: Outbox | None = None
        if self.message_writer is None:
            bootstrap = _bootstrap(self.messages_params)
            opening = begin_opening(bootstrap, environment=environment, extras=extras)
            outbox = Outbox.connect(bootstrap, environment=environment, opening=opening, strict=strict)
            if not opening.on_disk:
                outbox.confirm_opening()
        elif self.context_loader is None:
            bootstrap = _bootstrap(self.context_params)
            outbox = Outbox.connect(bootstrap, fetch_context=True, heartbeat=False, environment=environment)
        with ExitStack() as stack:
            source: ContextSource = cast("ContextSource", outbox)
            if self.context_loader is not None:
                source = _LoadedContext(stack.enter_context(self.context_loader.load_context(self.context_params)))
            channel: MessageChannel = cast("MessageChannel", outbox)
            if self.message_writer is not None:
                channel = _WriterChannel(
                    stack.enter_context(self.message_writer.open(self.messages_params)), also_close=outbox
                )
                channel.send(Opened(extras=dict(self.message_writer.get_opened_payload()["extras"])))
            return _PluginContext(source=source, channel=channel, plugins=stack.pop_all())


class _PluginContext(PipesContext):
    """A context that exits its plug-ins' context managers when it is closed."""

    def __init__(self, *, source: ContextSource, channel: MessageChannel, plugins: ExitStack) -> None:
        super().__init__(source=source, channel=channel)
        self._plugins = plugins
        close_on_sigterm(self)

    def _begin_termination(
        self, reason: PipesException | None, *, signal: str, seconds: float
    ) -> Callable[[float], object]:
        self._signal = signal
        # Plug-ins are user code, which may take any time: closed on a thread that is joined boundedly.
        closing = BackgroundThread(lambda: self.close(reason), name="standpipe-closing")
        closing.start()
        return closing.join

    def _release(self) -> None:
        release(self)
        self._plugins.close()


class _LoadedContext:
    def __init__(self, wire: Mapping[str, object]) -> None:
        self._data = ContextData.from_wire(cast("dict[str, JsonValue]", dict(wire)))

    def context(self) -> ContextData:
        return self._data


class _WriterChannel:
    """A message writer's channel with the interface of the context: synchronous, so a written message is delivered."""

    control = Control()

    def __init__(self, channel: PipesMessageWriterChannel, *, also_close: Outbox | None) -> None:
        self._channel = channel
        self._also_close = also_close
        self._count = 0

    def send(self, message: Message) -> None:
        # Encoded for its errors: a payload that JSON cannot carry raises here as it does over HTTP.
        wire = message_to_wire(message)
        encode_json(wire)
        params = wire["params"]
        if isinstance(message, Closed):
            # Dagster's readers know no other member.
            params: JsonValue = {} if message.exception is None else {"exception": message.exception.to_wire()}
        envelope = {PIPES_VERSION_FIELD: PIPES_PROTOCOL_VERSION, "method": message.method, "params": params}
        self._channel.write_message(cast("PipesMessage", envelope))
        self._count += 1

    def flush(self, timeout: float) -> bool:
        return True

    def close(self, timeout: float | None = None) -> DeliveryReport:
        if self._also_close is not None:
            self._also_close.close(timeout)
        return DeliveryReport(producer="", numbered=self._count, acknowledged=self._count)


def _refuse_strict() -> NoReturn:
    raise DagsterPipesError(
        "Calling `open_pipes` with `strict=True` and a `message_writer` is undefined. A message writer does not "
        "confirm what was stored; leave one of them out."
    )


def _bootstrap(params: PipesParams) -> Bootstrap:
    match params:
        case {"url": str(url), "invocation": str(invocation), "token": str(token)}:
            file = params.get("token_file")
            try:
                return Bootstrap.checked(
                    url=url, invocation=invocation, token=token, token_file=file if isinstance(file, str) else None
                )
            except BootstrapError as error:
                raise PipesConfigurationError(f"What the params loader brought cannot be used. {error}") from None
        case _:
            raise PipesConfigurationError(
                "The params loader names no server: expected `url`, `invocation` and `token`, got "
                f"{sorted(params)}. The orchestration side may expect another context loader or message writer."
            )
