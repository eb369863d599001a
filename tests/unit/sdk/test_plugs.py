"""The extension points under upstream's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from standpipe import (
    DagsterPipesWarning,
    PipesConfigurationError,
    PipesContextLoader,
    PipesEnvVarParamsLoader,
    PipesMappingParamsLoader,
    PipesMessageWriter,
    PipesMessageWriterChannel,
    PipesParamsLoader,
    open_dagster_pipes,
)
from standpipe.testing import recording_broker


class Params(PipesParamsLoader):
    def __init__(self, launched: bool = True) -> None:
        self.launched = launched

    def is_dagster_pipes_process(self) -> bool:
        return self.launched

    def load_context_params(self) -> Mapping[str, Any]:
        return {"where": "context"}

    def load_messages_params(self) -> Mapping[str, Any]:
        return {"where": "messages"}


class Loader(PipesContextLoader):
    left = False

    @contextmanager
    def load_context(self, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"asset_keys": ["a"], "run_id": params["where"], "extras": {"x": 1}}
        self.left = True


class Channel(PipesMessageWriterChannel):
    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []

    def write_message(self, message: Mapping[str, Any]) -> None:
        self.messages.append(message)


class Writer(PipesMessageWriter[PipesMessageWriterChannel]):
    def __init__(self) -> None:
        self.channel = Channel()
        self.left = False

    @contextmanager
    def open(self, params: Mapping[str, Any]) -> Iterator[PipesMessageWriterChannel]:
        assert params == {"where": "messages"}
        yield self.channel
        self.left = True

    def get_opened_extras(self) -> Mapping[str, Any]:
        return {"hello": True}


def test_loader_and_writer_replace_the_server_altogether() -> None:
    loader, writer = Loader(), Writer()
    with open_dagster_pipes(context_loader=loader, message_writer=writer, params_loader=Params()) as pipes:
        assert pipes.run_id == "context"
        assert pipes.get_extra("x") == 1
        pipes.report_asset_materialization()
        with pytest.raises(TypeError):
            pipes.report_custom_message(object())  # pyright: ignore
    assert writer.left
    assert loader.left
    assert [message["method"] for message in writer.channel.messages] == [
        "opened",
        "report_asset_materialization",
        "closed",
    ]
    assert writer.channel.messages[0] == {
        "__dagster_pipes_version": "0.1",
        "method": "opened",
        "params": {"extras": {"hello": True}},
    }
    assert writer.channel.messages[-1]["params"] == {}


def test_a_mapping_may_name_the_server() -> None:
    with recording_broker(extras={"a": 1}) as broker:
        loader = PipesMappingParamsLoader(broker.environment())
        assert loader.is_dagster_pipes_process()
        with open_dagster_pipes(params_loader=loader) as pipes:
            assert pipes.get_extra("a") == 1
        assert broker.methods == ("opened", "closed")


def test_the_context_may_come_from_elsewhere_and_messages_go_to_the_server() -> None:
    class Here(Loader):
        @contextmanager
        def load_context(self, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
            yield {"asset_keys": None, "run_id": params["invocation"]}

    with recording_broker() as broker, broker.environment():
        with open_dagster_pipes(context_loader=Here(), params_loader=PipesEnvVarParamsLoader()) as pipes:
            assert pipes.run_id == broker.invocation
            pipes.report_custom_message(1)
        assert broker.custom_messages == [1]
        assert not [request for request in broker.requests if request.startswith("GET")]


def test_messages_may_go_elsewhere_and_the_context_come_from_the_server() -> None:
    class There(Writer):
        @contextmanager
        def open(self, params: Mapping[str, Any]) -> Iterator[PipesMessageWriterChannel]:
            yield self.channel

    writer = There()
    with recording_broker(extras={"a": 1}) as broker, broker.environment():
        with open_dagster_pipes(message_writer=writer) as pipes:
            assert pipes.get_extra("a") == 1
        assert broker.messages == ()
    assert [message["method"] for message in writer.channel.messages] == ["opened", "closed"]


def test_a_process_that_was_not_launched_gets_a_null_context() -> None:
    with pytest.warns(DagsterPipesWarning):
        pipes = open_dagster_pipes(params_loader=Params(launched=False))
    assert pipes.is_null


def test_params_without_a_server_are_a_named_error() -> None:
    with pytest.raises(PipesConfigurationError, match="expected `url`, `invocation` and `token`"):
        open_dagster_pipes(params_loader=Params())
