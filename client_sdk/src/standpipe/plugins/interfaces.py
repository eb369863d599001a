"""The extension points, under Dagster's names and in its shapes: params loader, context loader, message writer.

They are for a launcher that cannot set environment variables, for a context from elsewhere, and for messages that take
another way than HTTP. A message writer gets messages in Dagster's wire form.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Generic, TypeVar

from standpipe.errors import PipesConfigurationError
from standpipe_protocol.bootstrap import INVOCATION_VARIABLE, Bootstrap, BootstrapError
from standpipe_protocol.json_text import JsonValue

if TYPE_CHECKING:
    from standpipe.plugins.dagster_types import PipesMessage, PipesOpenedData, PipesParams

ChannelT_co = TypeVar("ChannelT_co", bound="PipesMessageWriterChannel", covariant=True)
_OVERRIDABLE = ("load_context", "open", "make_channel")


class PipesParamsLoader(ABC):
    """Says whether an orchestrator launched this process, and with which params."""

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
    """Loads the context."""

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
        """The extras of `opened`."""
        return {}

    def get_opened_payload(self) -> PipesOpenedData:
        """The params of `opened`; override `get_opened_extras` to add extras."""
        return {"extras": self.get_opened_extras()}


class ServerPlugin:
    """A ready-made plug-in, which stands for the server where the params name one."""

    def is_server(self, params: PipesParams) -> bool:
        """Whether it stands for the server; not where a subclass overrides how it reads or writes."""
        if not all(isinstance(params.get(name), str) for name in ("url", "invocation", "token")):
            return False
        methods = [getattr(type(self), name) for name in _OVERRIDABLE if hasattr(type(self), name)]
        return all(str(getattr(method, "__module__", "")).startswith("standpipe.") for method in methods)


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
        super().__init__(os.environ)
