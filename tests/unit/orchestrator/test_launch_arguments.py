"""What is wrong with a launch is named at the call, before anything is registered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from standpipe_orchestrator import (
    AssetKey,
    BrokerClient,
    PipesLaunchError,
    PipesSubprocessClient,
    attach,
    open_pipes_session,
    replay,
)
from tests.support.stub_broker import Reply, StubBroker


@pytest.fixture
def broker() -> Iterator[StubBroker]:
    with StubBroker(lambda request: Reply.problem("internal", status=500)) as stub:
        yield stub


@pytest.fixture
def client(broker: StubBroker) -> Iterator[BrokerClient]:
    with BrokerClient(broker.url, api_key="key", retry_seconds=0) as made:
        yield made


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"/bin/true"


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"command": None}, TypeError, r"The command is None \(NoneType\); expected the words of a command as a list"),
        ({"command": Path("x")}, TypeError, r"The command is .*Path\('x'\) \("),
        ({"command": b"true"}, TypeError, r"The command is b'true' \(bytes\)"),
        ({"command": {"true"}}, TypeError, r"The command is \{'true'\} \(set\)"),
        ({"command": (word for word in "a")}, TypeError, r"\(generator\)"),
        ({"command": []}, ValueError, "The command is empty"),
        ({"command": "  "}, ValueError, "The command is empty"),
        ({"command": ["true", 1]}, TypeError, "Word 1 of the command is 1; expected a string or a path"),
        ({"command": [None, "x.py"]}, TypeError, r"Word 0 .* is None; .* Did shutil.which\(\) find nothing\?"),
        ({"command": [BytesPath()]}, TypeError, "Word 0 of the command is"),
        ({"command": ["true", "a\0b"]}, ValueError, "Word 1 of the command holds a NUL character"),
        ({"command": "true a\0b"}, ValueError, "The command holds a NUL character"),
        ({"env": ["A=1"]}, TypeError, r"`env` is \['A=1'\]; expected a mapping"),
        ({"env": {"A": 1}}, TypeError, "The variable 'A' in `env` is of type int; expected a string"),
        ({"env": {"A": None}}, TypeError, "The variable 'A' in `env` is of type NoneType"),
        ({"env": {b"A": "1"}}, TypeError, r"`env` has the name b'A' \(bytes\)"),
        ({"env": {"": "1"}}, ValueError, "`env` has the name ''"),
        ({"env": {"A=B": "1"}}, ValueError, "`env` has the name 'A=B'"),
        ({"env": {"A": "s\0ecret"}}, ValueError, "The variable 'A' in `env` holds a NUL character"),
        ({"cwd": 3}, TypeError, r"`cwd` is 3 \(int\); expected a string or a path"),
        ({"cwd": b"/"}, TypeError, r"`cwd` is b'/' \(bytes\)"),
        ({"cwd": "a\0b"}, ValueError, "`cwd` holds a NUL character"),
        ({"cwd": "/no/such/folder"}, PipesLaunchError, "in '/no/such/folder': there is no such folder"),
        ({"timeout": "5"}, TypeError, r"`timeout` is '5' \(str\); expected a number of seconds above 0"),
        ({"timeout": True}, TypeError, "`timeout` is True"),
        ({"timeout": 0}, ValueError, "`timeout` is 0; expected a number of seconds above 0"),
        ({"timeout": -1.5}, ValueError, "`timeout` is -1.5"),
        ({"timeout": math.nan}, ValueError, "`timeout` is nan"),
        ({"timeout": math.inf}, ValueError, "`timeout` is inf"),
        ({"lease_seconds": 0}, ValueError, "`lease_seconds` is 0"),
        ({"lease_seconds": "60"}, TypeError, "`lease_seconds` is '60'"),
        ({"key": ""}, ValueError, "The key is ''"),
        ({"extras": {"f": print}}, TypeError, "Invalid type for extra 'f'"),
        ({"context": object()}, TypeError, r"The context given \(object\) has no `run_id`"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_registered(
    arguments: dict[str, Any], kind: type[Exception], sentence: str, client: BrokerClient, broker: StubBroker
) -> None:
    with pytest.raises(kind, match=sentence) as raised:
        PipesSubprocessClient(client=client).run(**{"context": None, "command": ["true"], **arguments})
    assert "ecret" not in str(raised.value)
    assert broker.requests == []


@pytest.mark.parametrize("name", ["command", "env", "cwd", "timeout", "context"])
def test_it_is_named_by_the_call_and_not_by_the_first_result(name: str, client: BrokerClient) -> None:
    with pytest.raises(TypeError):
        PipesSubprocessClient(client=client).stream(**{"context": None, "command": ["true"], name: object()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"env": {"A": 1}}, TypeError),
        ({"termination_timeout_seconds": -1}, ValueError),
        ({"cancel_grace_seconds": "30"}, TypeError),
        ({"cwd": object()}, TypeError),
    ],
)
def test_what_is_wrong_for_every_command_is_named_when_the_client_is_made(
    arguments: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=next(iter(arguments))):
        PipesSubprocessClient(**arguments)


def of_dagster(name: str) -> type:
    """A class as Dagster has it: its contexts are recognised by where they are defined."""
    members = {
        "__module__": "dagster._core.execution.context.asset_execution_context",
        "run_id": "r",
        "asset_keys": (AssetKey("orders"),),
    }
    return type(name, (), members)


class WithKeysElsewhere:
    run_id = "r"

    @property
    def selected_asset_keys(self) -> set[AssetKey]:
        raise RuntimeError("undefined in this step")


CONTEXTS: list[tuple[Callable[[], object], str]] = [
    (of_dagster("AssetExecutionContext"), "The context given is Dagster's AssetExecutionContext"),
    (of_dagster("OpExecutionContext"), "The context given is Dagster's OpExecutionContext"),
    (type("Own", (of_dagster("AssetCheckExecutionContext"),), {"__module__": "pipeline"}), "is Dagster's Own"),
    (lambda: {"run_id": "r"}, r"The context given \(dict\) has no `run_id`"),
    (lambda: "r", r"The context given \(str\) has no `run_id`"),
    (lambda: SimpleNamespace(run_id=7), "has no `run_id`"),
    (lambda: SimpleNamespace(run_id="r", asset_key=AssetKey("a")), "has `asset_key` and no `asset_keys`"),
    (WithKeysElsewhere, "has `selected_asset_keys` and no `asset_keys`"),
]


@pytest.mark.parametrize(("make", "sentence"), CONTEXTS, ids=[sentence for _, sentence in CONTEXTS])
def test_a_context_that_cannot_be_served_is_refused_with_a_sentence_and_nothing_is_registered(
    make: Callable[[], Any], sentence: str, client: BrokerClient, broker: StubBroker
) -> None:
    def entered(manager: AbstractContextManager[object]) -> None:
        with manager:
            raise AssertionError("it was taken")

    pipes, context = PipesSubprocessClient(client=client), make()
    calls: list[Callable[[], object]] = [
        lambda: pipes.run(context=context, command=["true"]),
        lambda: list(pipes.stream(context=context, command=["true"])),
        lambda: pipes.run(context=context, command=["true"], key="a-key"),
        lambda: entered(open_pipes_session(context, client=client)),
        lambda: entered(attach("inv_x", client=client, context=context)),
        lambda: replay("inv_x", client=client, context=context),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=sentence):
            call()
    assert broker.requests == []


def test_a_context_that_gives_something_else_than_context_data_is_refused(
    client: BrokerClient, broker: StubBroker
) -> None:
    # From Python 3.12 on a mock does not count as what it pretends to be.
    sentence = r"`to_context_data` of the context given \(MagicMock\) gave <Mag|The context given \(MagicMock\) has no"
    with pytest.raises(TypeError, match=sentence):
        PipesSubprocessClient(client=client).run(context=MagicMock(), command=["true"])
    assert broker.requests == []


def test_a_context_with_the_documented_attributes_is_taken(client: BrokerClient, broker: StubBroker) -> None:
    contexts: list[Any] = [SimpleNamespace(run_id="r"), SimpleNamespace(run_id="r", asset_keys=None)]
    for context in contexts:
        with pytest.raises(Exception, match="500"):
            PipesSubprocessClient(client=client).run(context=context, command=["true"])
    assert [request.path for request in broker.requests] == ["/api/v1/invocations"] * 2
