"""Programs that differ from Dagster's guides for external code in their import alone."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import standpipe as dagster_pipes
from standpipe import DagsterPipesError, DagsterPipesWarning, PipesMessageWriter, PipesMessageWriterChannel
from standpipe.testing import recording_broker
from tests.support.waiting import wait_until

# What dagster-pipes 1.13 offers to external code; its log writers are left out: launchers capture the output.
OF_UPSTREAM = [
    "PipesExtras",
    "PipesParams",
    "PipesMessage",
    "PipesOpenedData",
    "PipesContextData",
    "PipesPartitionKeyRange",
    "PipesTimeWindow",
    "PipesDataProvenance",
    "PipesAssetCheckSeverity",
    "PipesMetadataRawValue",
    "PipesMetadataValue",
    "PipesMetadataType",
    "PipesException",
    "DagsterPipesError",
    "DagsterPipesWarning",
    "encode_param",
    "decode_param",
    "encode_env_var",
    "decode_env_var",
    "PIPES_PROTOCOL_VERSION",
    "DAGSTER_PIPES_CONTEXT_ENV_VAR",
    "DAGSTER_PIPES_MESSAGES_ENV_VAR",
    "PipesContextLoader",
    "PipesMessageWriter",
    "PipesMessageWriterChannel",
    "PipesParamsLoader",
    "PipesMappingParamsLoader",
    "PipesEnvVarParamsLoader",
    "PipesCliArgsParamsLoader",
    "PipesDatabricksNotebookWidgetsParamsLoader",
    "PipesDefaultContextLoader",
    "PipesS3ContextLoader",
    "PipesGCSContextLoader",
    "PipesAzureBlobStorageContextLoader",
    "PipesDbfsContextLoader",
    "PipesUnityCatalogVolumesContextLoader",
    "PipesDefaultMessageWriter",
    "PipesBlobStoreMessageWriter",
    "PipesS3MessageWriter",
    "PipesGCSMessageWriter",
    "PipesAzureBlobStorageMessageWriter",
    "PipesDbfsMessageWriter",
    "PipesUnityCatalogVolumesMessageWriter",
    "PipesPrefectLogsMessageWriter",
    "PipesBlobStoreMessageWriterChannel",
    "PipesBufferedFilesystemMessageWriterChannel",
    "PipesFileMessageWriterChannel",
    "PipesStreamMessageWriterChannel",
    "PipesBufferedStreamMessageWriterChannel",
    "PipesS3MessageWriterChannel",
    "PipesGCSMessageWriterChannel",
    "PipesAzureBlobStorageMessageWriterChannel",
    "PipesPrefectLogsMessageWriterChannel",
    "open_dagster_pipes",
    "PipesContext",
]
LOADERS: dict[str, Any] = {
    "Default": dagster_pipes.PipesDefaultContextLoader,
    "S3": lambda: dagster_pipes.PipesS3ContextLoader(client=object()),
    "GCS": lambda: dagster_pipes.PipesGCSContextLoader(client=object()),
    "AzureBlobStorage": lambda: dagster_pipes.PipesAzureBlobStorageContextLoader(client=object()),
    "Dbfs": dagster_pipes.PipesDbfsContextLoader,
    "UnityCatalogVolumes": dagster_pipes.PipesUnityCatalogVolumesContextLoader,
}
WRITERS: dict[str, Any] = {
    "Default": dagster_pipes.PipesDefaultMessageWriter,
    "S3": lambda: dagster_pipes.PipesS3MessageWriter(client=object(), interval=5),
    "GCS": lambda: dagster_pipes.PipesGCSMessageWriter(client=object()),
    "AzureBlobStorage": lambda: dagster_pipes.PipesAzureBlobStorageMessageWriter(client=object()),
    "Dbfs": dagster_pipes.PipesDbfsMessageWriter,
    "UnityCatalogVolumes": lambda: dagster_pipes.PipesUnityCatalogVolumesMessageWriter(interval=1),
    "PrefectLogs": dagster_pipes.PipesPrefectLogsMessageWriter,
}


@pytest.mark.parametrize("name", OF_UPSTREAM)
def test_a_name_that_guides_for_external_code_import_is_offered(name: str) -> None:
    assert getattr(dagster_pipes, name) is not None
    assert name in dagster_pipes.__all__


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_ready_made_loader_and_writer_are_the_server_where_one_launched_the_process(loader: str, writer: str) -> None:
    with recording_broker(asset_keys=["orders"], extras={"a": 1}) as broker, broker.environment():
        with dagster_pipes.open_dagster_pipes(
            context_loader=LOADERS[loader](),
            message_writer=WRITERS[writer](),
            params_loader=dagster_pipes.PipesEnvVarParamsLoader(),
        ) as pipes:
            assert pipes.asset_key == "orders"
            pipes.report_asset_materialization(
                metadata={"failures": dagster_pipes.PipesMetadataValue(type="int", raw_value=0)}
            )
        assert broker.methods == ("opened", "report_asset_materialization", "closed")


@pytest.mark.parametrize("kind", ["default", "arguments", "widgets"])
def test_outside_an_orchestrator_they_give_the_null_context_with_its_warning(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoWidgets:
        def get(self, name: str) -> str:
            raise LookupError(f"No input widget named {name} is defined")

    monkeypatch.setattr(sys, "argv", ["job.py", "--date", "2026-01-01"])
    params: Any = {
        "default": dagster_pipes.PipesEnvVarParamsLoader,
        "arguments": dagster_pipes.PipesCliArgsParamsLoader,
        "widgets": lambda: dagster_pipes.PipesDatabricksNotebookWidgetsParamsLoader(NoWidgets()),
    }[kind]()
    with pytest.warns(DagsterPipesWarning, match="not launched by an orchestrator"):
        opened = dagster_pipes.open_dagster_pipes(
            context_loader=LOADERS["S3"](), message_writer=WRITERS["S3"](), params_loader=params
        )
    with opened as pipes:
        assert pipes.is_null
        pipes.report_asset_materialization(metadata={"rows": 1})


@pytest.mark.parametrize("joined", [True, False])
def test_the_params_may_come_from_arguments_of_the_command(joined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording_broker(extras={"a": 1}) as broker:
        given = {
            "--" + name.lower().replace("_", "-"): value
            for name, value in broker.environment().items()
            if name in ("STANDPIPE_URL", "STANDPIPE_INVOCATION", "STANDPIPE_TOKEN")
        }
        words = [f"{k}={v}" for k, v in given.items()] if joined else [w for pair in given.items() for w in pair]
        monkeypatch.setattr(sys, "argv", ["job.py", "--rows", "3", *words])
        with dagster_pipes.open_dagster_pipes(params_loader=dagster_pipes.PipesCliArgsParamsLoader()) as pipes:
            assert pipes.get_extra("a") == 1
        assert broker.methods == ("opened", "closed")


def test_the_params_may_come_from_the_widgets_of_a_notebook() -> None:
    with recording_broker(extras={"a": 1}) as broker:
        widgets: Mapping[str, str] = broker.environment()
        loader = dagster_pipes.PipesDatabricksNotebookWidgetsParamsLoader(widgets)
        with dagster_pipes.open_dagster_pipes(params_loader=loader) as pipes:
            assert pipes.get_extra("a") == 1
        assert broker.methods == ("opened", "closed")


def test_what_a_writer_of_ones_own_says_with_opened_arrives() -> None:
    class Mine(dagster_pipes.PipesDefaultMessageWriter):
        def get_opened_extras(self) -> Mapping[str, Any]:
            return {"cluster": "c7"}

    with recording_broker() as broker, broker.environment():
        with dagster_pipes.open_dagster_pipes(message_writer=Mine()):
            pass
        (opened,) = [message for message in broker.messages if message.method == "opened"]
        params: Any = opened.params
        assert params["extras"]["cluster"] == "c7"


class Params(dagster_pipes.PipesParamsLoader):
    def __init__(self, context: Mapping[str, Any], messages: Mapping[str, Any]) -> None:
        self.params = context, messages

    def is_dagster_pipes_process(self) -> bool:
        return True

    def load_context_params(self) -> Mapping[str, Any]:
        return self.params[0]

    def load_messages_params(self) -> Mapping[str, Any]:
        return self.params[1]


def test_the_default_components_read_and_write_files_that_the_params_name(tmp_path: Path) -> None:
    (tmp_path / "context.json").write_text(json.dumps({"asset_keys": ["orders"], "run_id": "r"}), encoding="utf-8")
    params = Params({"path": str(tmp_path / "context.json")}, {"path": str(tmp_path / "messages")})
    with dagster_pipes.open_dagster_pipes(
        context_loader=dagster_pipes.PipesDefaultContextLoader(),
        message_writer=dagster_pipes.PipesDefaultMessageWriter(),
        params_loader=params,
    ) as pipes:
        assert (pipes.asset_key, pipes.run_id) == ("orders", "r")
        pipes.report_custom_message(1)
    lines = [json.loads(line) for line in (tmp_path / "messages").read_text(encoding="utf-8").splitlines()]
    assert [line["method"] for line in lines] == ["opened", "report_custom_message", "closed"]


@pytest.mark.parametrize("key", ["stdio", "buffered_stdio"])
def test_the_default_components_take_data_and_write_to_streams(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    params = Params({"data": {"asset_keys": None, "run_id": "r"}}, {key: "stderr"})
    with dagster_pipes.open_dagster_pipes(
        context_loader=dagster_pipes.PipesDefaultContextLoader(),
        message_writer=dagster_pipes.PipesDefaultMessageWriter(),
        params_loader=params,
    ) as pipes:
        pipes.report_custom_message(1)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["method"] for line in lines] == ["opened", "report_custom_message", "closed"]


def test_params_that_name_nothing_are_told_and_without_their_values() -> None:
    params = Params({"secret": "hush"}, {"secret": "hush"})
    with pytest.raises(
        DagsterPipesError, match=r'expected key "path" or "data", received the keys \[\'secret\'\]'
    ) as at:
        dagster_pipes.open_dagster_pipes(
            context_loader=dagster_pipes.PipesDefaultContextLoader(),
            message_writer=dagster_pipes.PipesDefaultMessageWriter(),
            params_loader=params,
        )
    assert "hush" not in str(at.value)


class Bucket:
    """As much of an S3 client as upstream's plug-ins use."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.failures = 1

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, Any]:
        return {"Body": _Body(json.dumps({"run_id": f"{Bucket}/{Key}"}))}

    def put_object(self, *, Body: str, Bucket: str, Key: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the store is away")
        self.objects[f"{Bucket}/{Key}"] = Body


class _Body:
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> bytes:
        return self.text.encode()


def test_with_params_of_a_bucket_messages_are_uploaded_and_an_upload_that_failed_is_tried_again() -> None:
    client = Bucket()
    params = Params({"bucket": "b", "key": "context"}, {"bucket": "b", "key_prefix": "m"})
    with dagster_pipes.open_dagster_pipes(
        context_loader=dagster_pipes.PipesS3ContextLoader(client=client),
        message_writer=dagster_pipes.PipesS3MessageWriter(client=client, interval=0.01),
        params_loader=params,
    ) as pipes:
        assert pipes.run_id == "b/context"
        pipes.report_custom_message(1)
        wait_until(lambda: client.failures == 0, what="the upload that fails")
    text = "\n".join(client.objects[key] for key in sorted(client.objects))
    assert [json.loads(line)["method"] for line in text.splitlines()] == ["opened", "report_custom_message", "closed"]
    assert set(client.objects) >= {"b/m/1.json"}


def test_a_writer_as_the_guide_on_customization_has_it_takes_the_messages() -> None:
    class MyChannel(PipesMessageWriterChannel):
        def __init__(self) -> None:
            self.messages: list[dagster_pipes.PipesMessage] = []

        def write_message(self, message: dagster_pipes.PipesMessage) -> None:
            self.messages.append(message)

    class MyWriter(PipesMessageWriter["MyChannel"]):
        channel = MyChannel()

        @contextmanager
        def open(self, params: dagster_pipes.PipesParams) -> Iterator[MyChannel]:
            yield self.channel

        def get_opened_extras(self) -> dagster_pipes.PipesExtras:
            return {"hello": 1}

    writer = MyWriter()
    assert writer.get_opened_payload() == dagster_pipes.PipesOpenedData(extras={"hello": 1})
    with recording_broker() as broker, broker.environment(), dagster_pipes.open_dagster_pipes(message_writer=writer):
        pass
    assert [message["method"] for message in writer.channel.messages] == ["opened", "closed"]


def test_params_travel_as_upstreams_do() -> None:
    assert dagster_pipes.decode_param("eJyrVipILMlQslJQyk0tLk5MTy1WqgUARiYG4A==") == {"path": "messages"}
    assert dagster_pipes.decode_env_var(dagster_pipes.encode_env_var({"a": [1, None]})) == {"a": [1, None]}
    with pytest.raises(DagsterPipesError, match="Invalid type for parameter `value` of `encode_param`"):
        dagster_pipes.encode_param(object())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = dagster_pipes.PipesException(message="m", stack=(), name="E", cause=None, context=None)
    assert error.name == "E"
