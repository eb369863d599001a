"""What loses work silently elsewhere, each with real processes on a real server: here nothing of it ends green."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from standpipe.spool.creation import SUFFIX
from standpipe_orchestrator import (
    AssetExecutionContext,
    AssetKey,
    BrokerClient,
    ContextData,
    IntMetadataValue,
    MaterializeResult,
    PipesClientCompletedInvocation,
    PipesExecutionError,
    PipesResultsIncomplete,
    PipesSubprocessClient,
    TableColumnLineageMetadataValue,
    TableSchemaMetadataValue,
    asset,
    materialize,
)
from standpipe_orchestrator.values.metadata_conversion import metadata_from_wire
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_protocol.json_text import JsonValue
from tests.support.fork_server import ForkServer
from tests.support.processes import child_environment
from tests.support.server import Server
from tests.support.stub_broker import Reply, Request, StubBroker
from tests.support.waiting import wait_until

ORDERS = ContextData(asset_keys=("orders",), run_id="r")
GO_BY_THE_PROXY = "import os\nos.environ['STANDPIPE_URL'] = os.environ['PROXY_URL']\n"
"""What a launcher passes on wins over its `env`; the job itself may go another way."""
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("pains") / "home"
    with Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


@pytest.fixture
def pipes(client: BrokerClient, tmp_path: Path) -> PipesSubprocessClient:
    env = {"STANDPIPE_HOME": str(tmp_path / "job-home"), "STANDPIPE_CLOSE_TIMEOUT": "20"}
    return PipesSubprocessClient(env, client=client, forward_stdio=False)


@contextmanager
def proxy(broker: Server, *, passes: Callable[[Request], bool]) -> Iterator[dict[str, str]]:
    """A way to the broker on which the appends that do not pass are answered 503; gives a job's environment for it."""
    with httpx.Client(base_url=broker.url, trust_env=False) as way:

        def answer(request: Request) -> Reply:
            if request.method == "POST" and not passes(request):
                return Reply.problem("overloaded", status=503)
            own = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
            got = way.request(request.method, request.path, content=request.body, headers=own, params=request.query)
            return Reply(got.status_code, {"Content-Type": got.headers["Content-Type"]}, (got.content,))

        with StubBroker(answer) as stub:
            yield {"PROXY_URL": stub.url, "STANDPIPE_CLOSE_TIMEOUT": "0.5"}


def code(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def refused(pipes: PipesSubprocessClient, command: list[str], **given: object) -> PipesExecutionError:
    """The error with which the run of a command ends that is not green."""
    with pytest.raises(PipesExecutionError) as raised:
        pipes.run(context=ORDERS, command=command, **given)  # type: ignore[arg-type]
    assert raised.value.verdict not in (None, "succeeded")
    assert raised.value.completed is not None
    # Nothing implicit stands in for what is missing.
    assert raised.value.completed.get_results() == raised.value.completed.partial_results
    return raised.value


REPORTS_AND_ENDS_WELL = (
    GO_BY_THE_PROXY,
    "from standpipe import open_pipes",
    "with open_pipes() as context:",
    "    for number in range(5): context.report_custom_message(number)",
    "    context.report_asset_materialization(metadata={'rows': 3})",
)


def test_a_job_whose_every_upload_is_refused_is_not_green_and_names_its_spool(
    broker: Server, pipes: PipesSubprocessClient
) -> None:
    with proxy(broker, passes=lambda _: False) as env:
        error = refused(pipes, code(*REPORTS_AND_ENDS_WELL), env=env)
    assert (error.verdict, error.exit_code) == ("incomplete", 0)
    assert "The process never opened" in str(error)
    # In the spool of its launcher, which delivers from there.
    (spool,) = set(re.findall(rf"/\S+{re.escape(SUFFIX)}", str(error)))
    assert Path(spool).exists()


def test_a_run_around_it_is_not_green_and_records_nothing(
    broker: Server, pipes: PipesSubprocessClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "orchestrators-home"))
    with proxy(broker, passes=lambda _: False) as env:

        @asset
        def orders(context: AssetExecutionContext) -> MaterializeResult:
            completed = pipes.run(context=context, command=code(*REPORTS_AND_ENDS_WELL), env=env)
            return completed.get_materialize_result()

        result = materialize([orders], raise_on_error=False)
    assert not result.success
    assert result.materializations == ()
    assert "The process never opened" in str(result.outcome_for("orders").error)


def test_a_tail_that_never_arrived_is_missed(broker: Server, pipes: PipesSubprocessClient, tmp_path: Path) -> None:
    all_is_reported = tmp_path / "reported"
    appends: list[str] = []

    def passes(request: Request) -> bool:
        # So the third one is sent when everything is numbered, says so, and is too small to hold it.
        appends.append(request.path)
        if len(appends) == 2:
            wait_until(all_is_reported.exists, what="the job to have reported everything")
        return len(appends) <= 3

    command = code(
        GO_BY_THE_PROXY,
        "import pathlib, random",
        "from standpipe import open_pipes",
        "with open_pipes() as context:",
        "    for number in range(120): context.report_custom_message(random.randbytes(60_000).hex())",
        "    context.report_asset_materialization(metadata={'rows': 3})",
        f"    pathlib.Path({str(all_is_reported)!r}).touch()",
    )
    with proxy(broker, passes=passes) as env:
        error = refused(pipes, command, env=env)
    assert error.verdict == "incomplete"
    assert {"missing-tail", "never-closed"} <= {reason.code for reason in error.reasons}
    assert "never arrived" in str(error)


@needs_fork
def test_what_forked_children_report_arrives(pipes: PipesSubprocessClient) -> None:
    completed = pipes.run(
        context=ORDERS,
        command=code(
            "import multiprocessing",
            "from standpipe import open_pipes",
            "with open_pipes() as context:",
            "    fork = multiprocessing.get_context('fork')",
            "    children = [fork.Process(target=context.report_custom_message, args=(n,)) for n in range(4)]",
            "    for child in children: child.start()",
            "    for child in children: child.join()",
            "    context.report_custom_message('parent')",
        ),
    )
    assert set(completed.get_custom_messages()) == {0, 1, 2, 3, "parent"}
    assert completed.invocation.receipt is not None


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_killed_in_the_middle_is_not_green_and_its_reports_are_kept(
    pipes: PipesSubprocessClient, client: BrokerClient, number: signal.Signals
) -> None:
    error = refused(
        pipes,
        code(
            "import os, signal",
            "from standpipe import open_pipes",
            "with open_pipes() as context:",
            "    for n in range(95): context.log.info(f'line {n}')",
            "    context.report_asset_materialization(metadata={'rows': 3})",
            "    assert context.flush(20)",
            f"    os.kill(os.getpid(), {int(number)})",
            "    signal.pause()",
        ),
    )
    assert error.verdict == "failed"
    assert error.exit_code == -number
    assert number.name in str(error)
    assert error.completed is not None
    assert [result.metadata["rows"] for result in error.completed.partial_results] == [IntMetadataValue(3)]
    assert len(list(client.events.iterate(error.completed.invocation.id, methods=["log"]))) == 95


def test_a_script_started_by_hand_takes_no_branch_that_nobody_asked_for(tmp_path: Path) -> None:
    script = (
        "from standpipe import open_pipes\n"
        "with open_pipes() as context:\n"
        "    print(bool(context.extras.get('dry_run')), context.is_partition_step, context.run_id)\n"
        "    context.get_extra('dry_run')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=child_environment(home=tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "False False None\n"
    assert done.returncode == 1
    assert "Extra `dry_run` is undefined" in done.stderr


def test_a_megabyte_of_extras_reaches_a_launched_process(pipes: PipesSubprocessClient) -> None:
    extras = {"text": "ü☃x" * 340_000}
    completed = pipes.run(
        context=ORDERS,
        extras=extras,
        command=code(
            "import hashlib, os",
            "from standpipe import open_pipes",
            "with open_pipes() as context:",
            "    text = context.get_extra('text')",
            "    context.report_custom_message([len(text), text == 'ü☃x' * 340_000])",
            "    names = [name for name in os.environ if name.startswith('STANDPIPE_')]",
            "    context.report_custom_message(sum(len(os.environ[name]) for name in names) < 4096)",
        ),
    )
    assert completed.get_custom_messages() == ([1_020_000, True], True)


def test_a_printed_line_that_looks_like_a_message_is_output(pipes: PipesSubprocessClient, client: BrokerClient) -> None:
    forged = (
        '{"__dagster_pipes_version": "0.1", "method": "report_asset_check", "params": {"asset_key": "orders", '
        '"check_name": "not_empty", "passed": true, "severity": "ERROR", "metadata": {}}}'
    )
    error = refused(
        pipes,
        code("from standpipe import open_pipes", "with open_pipes():", f"    print({forged!r})"),
        expected={"checks": [{"asset_key": "orders", "check_name": "not_empty"}]},
    )
    assert error.verdict == "incomplete"
    assert [reason.code for reason in error.reasons] == ["missing-check"]
    assert error.completed is not None
    printed = list(client.events.iterate(error.completed.invocation.id, methods=["log_external_stream"]))
    assert [event.params for event in printed] == [{"stream": "stdout", "text": forged + "\n", "extras": {}}]


def test_metadata_in_another_shape_costs_its_siblings_nothing(pipes: PipesSubprocessClient) -> None:
    completed = pipes.run(
        context=ORDERS,
        command=code(
            "from standpipe import open_pipes",
            "lineage = {'table_column_lineage': {'id': [{'asset_key': 'raw', 'column': 'key'}]}}",
            "with open_pipes() as context:",
            "    context.report_asset_materialization(metadata={",
            "        'rows': 7,",
            "        'schema': {'type': 'table_schema', 'raw_value': [{'name': 'id', 'type': 'int'}]},",
            "        'lineage': {'type': 'table_column_lineage', 'raw_value': lineage},",
            "        'odd': {'type': 'table_schema', 'raw_value': 'no schema at all'},",
            "    })",
        ),
    )
    metadata = completed.get_materialize_result(implicit_materialization=False).metadata
    assert metadata["rows"] == IntMetadataValue(7)
    schema, lineage = metadata["schema"], metadata["lineage"]
    assert isinstance(schema, TableSchemaMetadataValue)
    assert [column.name for column in schema.value.columns] == ["id"]
    assert isinstance(lineage, TableColumnLineageMetadataValue)
    (dep,) = lineage.value.deps_by_column["id"]
    assert (dep.asset_key, dep.column_name) == (AssetKey("raw"), "key")
    assert "odd" in metadata


@pytest.mark.parametrize(
    ("command", "verdict", "cause"),
    [
        (
            code(
                "from standpipe import open_pipes",
                "try:",
                "    with open_pipes() as context:",
                "        raise ValueError('no orders')",
                "except ValueError:",
                "    pass",
            ),
            "failed",
            "ValueError: no orders",
        ),
        (code("print('all done')"), "incomplete", "The process never opened"),
    ],
)
def test_a_job_that_raises_or_never_opens_and_exits_with_0_is_not_green(
    pipes: PipesSubprocessClient, command: list[str], verdict: str, cause: str
) -> None:
    error = refused(pipes, command)
    assert (error.verdict, error.exit_code) == (verdict, 0)
    assert cause in str(error)


def test_an_exception_in_the_orchestrators_own_handling_is_not_green(
    pipes: PipesSubprocessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(metadata: Mapping[str, JsonValue] | None) -> dict[str, MetadataValue]:
        if metadata and "odd" in metadata:
            raise ZeroDivisionError("nobody thought of this")
        return metadata_from_wire(metadata)

    monkeypatch.setattr("standpipe_orchestrator.values.from_events.metadata_from_wire", raising)
    command = code(
        "from standpipe import open_pipes",
        "with open_pipes() as context:",
        "    context.report_asset_materialization(asset_key='orders', metadata={'odd': 1})",
        "    context.report_asset_check('not_empty', True, asset_key='orders')",
    )
    with pytest.raises(PipesResultsIncomplete, match=r"position 2 .* nobody thought of this") as raised:
        pipes.run(context=ORDERS, command=command)
    assert raised.value.completed is not None
    (check,) = raised.value.completed.get_results()
    assert check.asset_key == AssetKey("orders")


@pytest.mark.parametrize(("messages", "size"), [(10_000, 200), (100, 65_536)])
def test_many_and_large_messages_lose_none(pipes: PipesSubprocessClient, messages: int, size: int) -> None:
    command = code(
        "from standpipe import open_pipes",
        "with open_pipes() as context:",
        f"    for n in range({messages}): context.report_custom_message(f'{{n}} '.ljust({size}, 'x'))",
    )

    def launch(_: int) -> PipesClientCompletedInvocation:
        return pipes.run(context=ORDERS, command=command)

    with ThreadPoolExecutor(max_workers=3) as pool:
        for completed in pool.map(launch, range(3)):
            received = [str(message).split()[0] for message in completed.get_custom_messages()]
            assert received == [str(number) for number in range(messages)]
