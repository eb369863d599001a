"""The extension points, under upstream's names and in its shapes: params loader, context loader, message writer.

Most programs need none of them: the environment says where the server is. They are for a launcher that cannot set
environment variables, for a context from elsewhere, and for messages that take another way than HTTP. A message writer
sees messages in upstream's wire form.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from standpipe.context import open_contexts
from standpipe.context.null_context import open_null_context, refuse_launch_by_upstream
from standpipe.context.open_contexts import Origin
from standpipe.context.pipes_context import PipesContext
from standpipe.delivery.outbox import Outbox
from standpipe.delivery.strict import StrictChannel
from standpipe.errors import DagsterPipesError, PipesConfigurationError
from standpipe.http.decisions import DeliveryReport
from standpipe.lifecycle.termination import forget, tell_of_termination
from standpipe.plugins.dagster_types import PIPES_PROTOCOL_VERSION
from standpipe.producer.opening import begin_opening
from standpipe.session import open_http_context
from standpipe_protocol.bootstrap import INVOCATION_VARIABLE, Bootstrap, BootstrapError, server_address
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control
from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_protocol.messages import PIPES_VERSION_FIELD, Closed, Message, Opened, message_to_wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from standpipe.context.channels import ContextSource, MessageChannel
    from standpipe.context.open_contexts import Identity
    from standpipe.plugins.dagster_types import PipesMessage, PipesOpenedData, PipesParams
    from standpipe_protocol.messages import PipesException

ChannelT_co = TypeVar("ChannelT_co", bound="PipesMessageWriterChannel", covariant=True)
_WAYS = ("load_context", "open", "make_channel")


class PipesParamsLoader(ABC):
    """Finds out whether this process was launched by an orchestrator, and with what."""

    @abstractmethod
    def is_dagster_pipes_process(self) -> bool:
        """Whether it was launched by one."""

    @abstractmethod
    def load_context_params(self) -> PipesParams:
        """Where the context is: `url`, `invocation` and `token`, or what the context loader wants."""

    @abstractmethod
    def load_messages_params(self) -> PipesParams:
        """Where messages go: `url`, `invocation` and `token`, or what the message writer wants."""


class PipesContextLoader(ABC):
    """Brings the context."""

    @abstractmethod
    def load_context(self, params: PipesParams) -> AbstractContextManager[Mapping[str, object]]:
        """A context manager whose value is the context in the protocol's shape."""


class PipesMessageWriterChannel(ABC):
    """Where messages are written, one by one."""

    @abstractmethod
    def write_message(self, message: PipesMessage) -> None:
        """Writes one message. What it raises comes out of the report in user code."""


class PipesMessageWriter(ABC, Generic[ChannelT_co]):
    """Opens a channel for messages."""

    @abstractmethod
    def open(self, params: PipesParams) -> AbstractContextManager[ChannelT_co]:
        """A context manager whose value is the channel; its exit flushes."""

    def get_opened_extras(self) -> Mapping[str, JsonValue]:
        """What to tell the orchestrator with `opened`."""
        return {}

    def get_opened_payload(self) -> PipesOpenedData:
        """All that is told with `opened`; give `get_opened_extras` to add to it."""
        return {"extras": self.get_opened_extras()}


class ServerPart:
    """A ready-made plug-in, which is the server where the params name one."""

    def is_server(self, params: PipesParams) -> bool:
        """Whether it is; one whose ways to read or write were overridden is what they make it."""
        if not all(isinstance(params.get(name), str) for name in ("url", "invocation", "token")):
            return False
        ways = [getattr(type(self), name) for name in _WAYS if hasattr(type(self), name)]
        return all(str(getattr(way, "__module__", "")).startswith("standpipe.") for way in ways)


class PipesMappingParamsLoader(PipesParamsLoader):
    """Reads the three variables from a mapping: a notebook's widgets, a job's parameters."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self.mapping = mapping

    def is_dagster_pipes_process(self) -> bool:
        return bool(self.mapping.get(INVOCATION_VARIABLE, "").strip())

    def load_context_params(self) -> PipesParams:
        try:
            bootstrap = Bootstrap.from_environment(self.mapping)
        except BootstrapError as error:
            raise PipesConfigurationError(str(error)) from None
        if bootstrap is None:
            return {}
        params: dict[str, JsonValue] = {
            "url": bootstrap.url,
            "invocation": bootstrap.invocation,
            "token": bootstrap.token,
        }
        return params if bootstrap.token_file is None else {**params, "token_file": bootstrap.token_file}

    def load_messages_params(self) -> PipesParams:
        return self.load_context_params()


class PipesEnvVarParamsLoader(PipesMappingParamsLoader):
    """Reads the three variables from the environment, as `open_pipes` does by itself."""

    def __init__(self) -> None:
        import os

        super().__init__(os.environ)


def open_plugged(
    context_loader: PipesContextLoader | None,
    message_writer: PipesMessageWriter[PipesMessageWriterChannel] | None,
    params_loader: PipesParamsLoader | None,
    *,
    environment: Mapping[str, str],
    strict: bool = False,
) -> PipesContext:
    """The open context of the invocation that the params loader names, or a new one; a null one if it names none.

    It is made with the plug-ins given; what is not given is the server.

    Raises:
        DagsterPipesError: `strict` was asked for, and a message writer, which confirms nothing.
        PipesConfigurationError: a server is needed and the params do not name one.
    """
    if strict and message_writer is not None and not isinstance(message_writer, ServerPart):
        _refuse_strict()
    params_loader = params_loader or PipesMappingParamsLoader(environment)
    if not params_loader.is_dagster_pipes_process():
        own = open_contexts.own()
        if own is not None and own.is_null and not own.is_closed:
            return own
        if isinstance(params_loader, PipesMappingParamsLoader):
            refuse_launch_by_upstream(params_loader.mapping)
        null = open_null_context(environment)
        open_contexts.enter(null)
        return null
    context_params, messages_params = params_loader.load_context_params(), params_loader.load_messages_params()
    extras: Mapping[str, JsonValue] = {}
    if isinstance(context_loader, ServerPart) and context_loader.is_server(context_params):
        context_loader = None
    if isinstance(message_writer, ServerPart) and message_writer.is_server(messages_params):
        extras = message_writer.get_opened_extras()
        message_writer = None
    if strict and message_writer is not None:
        _refuse_strict()
    if context_loader is None and message_writer is None:
        return open_http_context(
            _bootstrap(messages_params), environment=environment, strict=strict, from_environment=False, extras=extras
        )
    origin = Origin(_identity(context_loader, message_writer, context_params, messages_params), from_environment=False)
    with open_contexts.opening_lock(origin.identity):
        context = open_contexts.find(origin.identity)
        if context is None:
            context = _open_with(
                context_loader,
                message_writer,
                context_params,
                messages_params,
                environment=environment,
                strict=strict,
                extras=extras,
            )
            context.origin = origin
        open_contexts.enter(context)
    return context


def _open_with(
    context_loader: PipesContextLoader | None,
    message_writer: PipesMessageWriter[PipesMessageWriterChannel] | None,
    context_params: PipesParams,
    messages_params: PipesParams,
    *,
    environment: Mapping[str, str],
    strict: bool,
    extras: Mapping[str, JsonValue],
) -> PipesContext:
    # Only messages to the server: an outbox. Only the context from it: one that sends nothing and holds no lease.
    outbox: Outbox | None = None
    if message_writer is None:
        bootstrap = _bootstrap(messages_params)
        begun = begin_opening(bootstrap, environment=environment, extras=extras)
        outbox = Outbox.connect(bootstrap, environment=environment, opening=begun)
        if not begun.on_disk:
            outbox.wait_until_heard()
    elif context_loader is None:
        outbox = Outbox.connect(
            _bootstrap(context_params), fetch_context=True, heartbeat=False, environment=environment
        )
    with ExitStack() as opening:
        source: ContextSource
        if context_loader is not None:
            source = _LoadedContext(opening.enter_context(context_loader.load_context(context_params)))
        else:
            source = cast("ContextSource", outbox)
        channel: MessageChannel
        if message_writer is not None:
            written = opening.enter_context(message_writer.open(messages_params))
            channel = _WrittenChannel(written, also_close=outbox)
            channel.send(Opened(extras=dict(message_writer.get_opened_payload()["extras"])))
        else:
            connected = cast("Outbox", outbox)
            channel = StrictChannel(lambda: connected) if strict else connected
        return _PluggedContext(source=source, channel=channel, plugs=opening.pop_all())


class _PluggedContext(PipesContext):
    """A context that leaves its plug-ins' context managers when it is closed."""

    def __init__(self, *, source: ContextSource, channel: MessageChannel, plugs: ExitStack) -> None:
        super().__init__(source=source, channel=channel)
        self._plugs = plugs
        tell_of_termination(self)

    def _begin_termination(
        self, reason: PipesException | None, *, signal: str, seconds: float
    ) -> Callable[[float], object]:
        self._signal = signal
        # Plug-ins are code of the user's, which may take as long as it likes.
        closing = threading.Thread(target=self.close, args=(reason,), name="standpipe-closing", daemon=True)
        closing.start()
        return closing.join

    def close(self, exc: object = None, *, timeout: float | None = None) -> DeliveryReport:
        try:
            return super().close(exc, timeout=timeout)  # pyright: ignore[reportArgumentType]  passed on as it came
        finally:
            forget(self)
            self._plugs.close()


class _LoadedContext:
    def __init__(self, wire: Mapping[str, object]) -> None:
        self._data = ContextData.from_wire(cast("dict[str, JsonValue]", dict(wire)))

    def context(self) -> ContextData:
        return self._data


class _WrittenChannel:
    """A user's channel as the context knows channels: synchronous, so what was written is delivered."""

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
            # Upstream's readers know nothing else in it.
            params: JsonValue = {} if message.exception is None else {"exception": message.exception.to_wire()}
        written = {PIPES_VERSION_FIELD: PIPES_PROTOCOL_VERSION, "method": message.method, "params": params}
        self._channel.write_message(cast("PipesMessage", written))
        self._count += 1

    def flush(self, timeout: float) -> bool:
        return True

    def close(self, timeout: float | None = None) -> DeliveryReport:
        if self._also_close is not None:
            self._also_close.close(timeout)
        return DeliveryReport(producer="", numbered=self._count, acknowledged=self._count)


def _identity(
    context_loader: PipesContextLoader | None,
    message_writer: PipesMessageWriter[PipesMessageWriterChannel] | None,
    context_params: PipesParams,
    messages_params: PipesParams,
) -> Identity:
    """The invocation that the params name; where they name none, the same params for the same kinds of plug-ins."""
    for params in (messages_params, context_params):
        match params:
            case {"url": str(url), "invocation": str(invocation)}:
                with suppress(BootstrapError):
                    url = server_address(url, name="url")
                return (url.rstrip("/"), invocation.strip())
            case _:
                pass
    kinds = [type(plug).__qualname__ for plug in (context_loader, message_writer) if plug is not None]
    # Shown where several are open; the values may be secrets.
    values = repr((sorted(context_params.items()), sorted(messages_params.items()))).encode()
    names = sorted({*context_params, *messages_params})
    return (", ".join(kinds), f"one with {', '.join(names) or 'no'} params ({sha256(values).hexdigest()[:16]})")


def _refuse_strict() -> NoReturn:
    raise DagsterPipesError(
        "Calling `open_pipes` with `strict=True` and a `message_writer` is undefined. A message writer does not "
        "tell what was stored; leave one of them out."
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
