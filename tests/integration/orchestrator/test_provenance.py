"""What an external process is told of the past: of what its assets were made before, and how often it was tried."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import cast

from standpipe_orchestrator import (
    AssetExecutionContext,
    BrokerClient,
    MaterializeResult,
    PipesClientCompletedInvocation,
    PipesExecutionError,
    PipesSubprocessClient,
    asset,
    materialize,
)

Script = Callable[[str], list[str]]
REPORTS = """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message([context.provenance, context.retry_number])
    context.report_asset_materialization(data_version=context.extras.get("version"))
"""


def test_provenance_is_that_of_the_last_materialization(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    name, told, command = uuid.uuid4().hex, list[object](), script(REPORTS)

    def launch(context: AssetExecutionContext, version: str | None) -> MaterializeResult:
        done = pipes.run(context=context, command=command, extras={"version": version})
        (message,) = done.get_custom_messages()
        told.append(message)
        return done.get_materialize_result()

    versions: dict[str, str | None] = {"raw": "r1", "orders": None}

    @asset(key=[name, "raw"])
    def raw(context: AssetExecutionContext) -> MaterializeResult:
        return launch(context, versions["raw"])

    @asset(key=[name, "orders"], deps=[[name, "raw"]], code_version="c7")
    def orders(context: AssetExecutionContext) -> MaterializeResult:
        return launch(context, versions["orders"])

    assert materialize([raw, orders], run_id="first").success
    assert told == [[None, 0], [None, 0]]
    versions["raw"] = None
    assert materialize([raw, orders], run_id="second").success
    assert told[2:] == [
        [{"code_version": "first", "input_data_versions": {}, "is_user_provided": True}, 0],
        [{"code_version": "c7", "input_data_versions": {f"{name}/raw": "r1"}, "is_user_provided": False}, 0],
    ]
    assert materialize([orders], run_id="third").success
    last = client.assets.materializations([name, "raw"], limit=1).items[0]
    # Without a data version of its own each materialization is one.
    provenance = {
        "code_version": "c7",
        "input_data_versions": {f"{name}/raw": f"{last['invocation_id']}/{last['position']}"},
        "is_user_provided": False,
    }
    assert told[-1] == [provenance, 0]


def test_a_retry_is_told_which_it_is(pipes: PipesSubprocessClient, script: Script) -> None:
    command = script("""
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(context.retry_number)
    if context.retry_number < 2:
        raise ValueError("not yet")
""")
    numbers: list[object] = []
    before: str | None = None
    for _ in range(3):
        try:
            done = pipes.run(context=None, command=command, retry_of=before)
        except PipesExecutionError as error:
            done = cast("PipesClientCompletedInvocation", error.completed)
        numbers += done.get_custom_messages()
        before = done.invocation.id
    assert numbers == [0, 1, 2]


def test_a_launch_that_is_taken_up_has_the_provenance_of_the_first(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    name, command, told = uuid.uuid4().hex, script(REPORTS), list[object]()

    @asset(key=name)
    def orders(context: AssetExecutionContext) -> MaterializeResult:
        done = pipes.run(context=context, command=command, key=f"provenance/{name}")
        told.extend(done.get_custom_messages())
        return done.get_materialize_result()

    # By the second time the asset was materialized.
    for run_id in ("first", "second"):
        assert materialize([orders], run_id=run_id).success
    assert told == [[None, 0]] * 2
    assert len(client.invocations.list(tag=f"standpipe.key=provenance/{name}").items) == 1
