"""Dagster's ready-made plug-ins. Where the params name a server each of them stands for that server; with params of
Dagster's own shapes they read and write what Dagster's do."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from standpipe.errors import DagsterPipesError
from standpipe.plugins.interfaces import (
    PipesContextLoader,
    PipesMappingParamsLoader,
    PipesMessageWriter,
    PipesMessageWriterChannel,
    ServerPlugin,
)
from standpipe_protocol.bootstrap import (
    DAGSTER_CONTEXT_VARIABLE,
    INVOCATION_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
)

if TYPE_CHECKING:
    from standpipe.plugins.dagster_types import PipesContextData, PipesMessage, PipesParams

_NAMES = (URL_VARIABLE, INVOCATION_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, DAGSTER_CONTEXT_VARIABLE)
_STREAMS = ("stderr", "stdout")


def text_param(params: PipesParams, key: str, part: object) -> str:
    """A text among the params.

    Raises:
        DagsterPipesError: it is not there, or no text.
    """
    value = params.get(key)
    if not isinstance(value, str):
        # Names only: among the values there may be a token.
        raise DagsterPipesError(
            f'Invalid params for {type(part).__name__}, expected key "{key}" with a string, received the keys'
            f" {sorted(params)}. The orchestration side may expect another context loader or message writer."
        )
    return value


class PipesCliArgsParamsLoader(PipesMappingParamsLoader):
    """Reads the three variables from arguments of the command: `--standpipe-url URL`, `--standpipe-invocation ID` and
    `--standpipe-token TOKEN`, each also with `=`. What is no argument is read from the environment.

    Other users of a machine can read the arguments of its processes: prefer the environment where there is one.
    """

    def __init__(self) -> None:
        super().__init__({**os.environ, **_arguments(sys.argv[1:])})


def _arguments(words: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    options = {"--" + name.lower().replace("_", "-"): name for name in _NAMES}
    for index, word in enumerate(words):
        option, is_joined, value = word.partition("=")
        if option in options:
            if is_joined:
                values[options[option]] = value
            elif index + 1 < len(words):
                values[options[option]] = words[index + 1]
    return values


class Widgets(Protocol):
    """What a Databricks notebook has as `dbutils.widgets`."""

    def get(self, name: str, /) -> str | None: ...


class PipesDatabricksNotebookWidgetsParamsLoader(PipesMappingParamsLoader):
    """Reads the three variables from a notebook's widgets (its base parameters), else from the environment."""

    def __init__(self, widgets: Widgets) -> None:
        self.widgets = widgets
        values: dict[str, str] = {}
        for name in _NAMES:
            # A widget that is not defined raises an error of the platform's own.
            with contextlib.suppress(Exception):
                if value := widgets.get(name):
                    values[name] = value
        super().__init__({**os.environ, **values})


class PipesDefaultContextLoader(ServerPlugin, PipesContextLoader):
    """The context from the server, from the file `path`, or from `data` among the params."""

    FILE_PATH_KEY = "path"
    DIRECT_KEY = "data"

    @contextmanager
    def load_context(self, params: PipesParams) -> Generator[PipesContextData]:
        if self.FILE_PATH_KEY in params:
            yield json.loads(Path(text_param(params, self.FILE_PATH_KEY, self)).read_text(encoding="utf-8"))
            return
        data = params.get(self.DIRECT_KEY)
        if not isinstance(data, dict):
            raise DagsterPipesError(
                f'Invalid params for {type(self).__name__}, expected key "{self.FILE_PATH_KEY}" or'
                f' "{self.DIRECT_KEY}", received the keys {sorted(params)}'
            )
        yield cast("PipesContextData", data)


class PipesDefaultMessageWriter(ServerPlugin, PipesMessageWriter[PipesMessageWriterChannel]):
    """Messages to the server, to the file `path`, or to a stream: `stdio`, or at the end `buffered_stdio`."""

    FILE_PATH_KEY = "path"
    STDIO_KEY = "stdio"
    BUFFERED_STDIO_KEY = "buffered_stdio"
    STDERR = "stderr"
    STDOUT = "stdout"

    @contextmanager
    def open(self, params: PipesParams) -> Generator[PipesMessageWriterChannel]:
        if self.FILE_PATH_KEY in params:
            yield PipesFileMessageWriterChannel(text_param(params, self.FILE_PATH_KEY, self))
        elif self.STDIO_KEY in params:
            yield PipesStreamMessageWriterChannel(self._stream(params, self.STDIO_KEY))
        elif self.BUFFERED_STDIO_KEY in params:
            channel = PipesBufferedStreamMessageWriterChannel(self._stream(params, self.BUFFERED_STDIO_KEY))
            try:
                yield channel
            finally:
                channel.flush()
        else:
            raise DagsterPipesError(
                f'Invalid params for {type(self).__name__}, expected key "path" or "std", received the keys'
                f" {sorted(params)}. The orchestration side's message reader may expect a different message writer:"
                " pass it as `message_writer` to `open_dagster_pipes`."
            )

    def _stream(self, params: PipesParams, key: str) -> TextIO:
        name = text_param(params, key, self)
        if name not in _STREAMS:
            raise DagsterPipesError(f'Invalid value for key "std", expected "stderr" or "stdout" but received {name}')
        return sys.stderr if name == self.STDERR else sys.stdout


class PipesFileMessageWriterChannel(PipesMessageWriterChannel):
    """One message a line, at the end of a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write_message(self, message: PipesMessage) -> None:
        with Path(self._path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")


class PipesStreamMessageWriterChannel(PipesMessageWriterChannel):
    """One message a line, to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write_message(self, message: PipesMessage) -> None:
        self._stream.write(json.dumps(message) + "\n")


class PipesBufferedStreamMessageWriterChannel(PipesMessageWriterChannel):
    """One message a line, to a stream, all of them when it is flushed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def write_message(self, message: PipesMessage) -> None:
        self._lines.append(json.dumps(message) + "\n")

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.writelines(lines)


class PipesPrefectLogsMessageWriter(ServerPlugin, PipesMessageWriter[PipesMessageWriterChannel]):
    """Messages to the server, or with `prefect_logs` among the params as records of Prefect's run logger."""

    PREFECT_LOGS_KEY = "prefect_logs"
    LOGGER_NAME = "prefect.flow_runs.dagster_pipes"

    @contextmanager
    def open(self, params: PipesParams) -> Generator[PipesMessageWriterChannel]:
        if not isinstance(params.get(self.PREFECT_LOGS_KEY), bool):
            raise DagsterPipesError(
                f'Invalid params for {type(self).__name__}, expected key "{self.PREFECT_LOGS_KEY}" with true or false,'
                f" received the keys {sorted(params)}."
            )
        yield PipesPrefectLogsMessageWriterChannel(logging.getLogger(self.LOGGER_NAME))


class PipesPrefectLogsMessageWriterChannel(PipesMessageWriterChannel):
    """One INFO record a message."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def write_message(self, message: PipesMessage) -> None:
        self._logger.info("%s", json.dumps(message))
