"""An invocation as a file: exported, imported into another server, replayed, as real commands and from Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    ContextData,
    IntMetadataValue,
    InvalidArchive,
    InvocationNotFound,
    MaterializeResult,
    PipesExecutionError,
    PipesResultsIncomplete,
    PipesSession,
    PipesSubprocessClient,
    attach,
    open_pipes_session,
    replay,
)
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue
from tests.conftest import ServerFactory
from tests.support import wire
from tests.support.fork_server import ForkServer
from tests.support.processes import child_environment, run
from tests.support.server import Server

STANDPIPE = Path(sys.executable).parent / "standpipe"
JOB = """
import sys
from standpipe import open_pipes
with open_pipes() as context:
    print("at work")
    context.log.warning("careful")
    for number in range(1500):
        context.report_custom_message({"part": number, "text": "ü☃"})
    context.report_asset_materialization(asset_key="orders", metadata={"rows": 3}, data_version="v1")
    context.report_asset_check("not_empty", False, "WARN", asset_key="orders")
"""
TARGETS = ContextData(asset_keys=("orders", "users"), run_id="r", extras={"big": 2**70})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("time-travel") / "home"
    with Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


@pytest.fixture
def elsewhere(start_server: ServerFactory, database_url: str) -> Server:
    """Another server, on each kind of database."""
    return start_server(database_url=database_url)


def standpipe(*words: str | Path, broker: Server | None, check: bool = True) -> subprocess.CompletedProcess[str]:
    env = child_environment() if broker is None else child_environment(home=broker.home)
    return run([STANDPIPE, *words], env=env, check=check)


def exported(broker: Server, invocation_id: str, file: Path) -> list[dict[str, Any]]:
    standpipe("export", invocation_id, "-o", file, broker=broker)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _without_digest(params: JsonValue) -> JsonValue:
    if not isinstance(params, dict) or not isinstance(ledger := params.get("ledger"), dict):
        return params
    return params | {"ledger": {name: value for name, value in ledger.items() if name != "sha256"}}


def told_again(event: Event) -> tuple[object, ...]:
    """What of an event another server must have too."""
    problem = None if event.problem is None else event.problem["type"]
    return (
        event.position,
        event.producer,
        event.seq,
        event.sent_at,
        event.method,
        _without_digest(event.params),
        event.details,
        problem,
    )


def everything(client: BrokerClient, invocation_id: str) -> list[tuple[object, ...]]:
    return [told_again(event) for event in client.events.iterate(invocation_id)]


def test_a_real_run_is_exported_imported_elsewhere_and_replayed_with_the_same_results(
    client: BrokerClient, broker: Server, elsewhere: Server, tmp_path: Path
) -> None:
    completed = PipesSubprocessClient(client=client, forward_stdio=False).run(
        context=TARGETS, command=[sys.executable, "-c", JOB], tags={"team": "x"}, expected={"custom_messages": 1500}
    )
    original = completed.invocation
    file = tmp_path / "run.ndjson"
    header, *lines, end = exported(broker, original.id, file)
    assert (header["standpipe_export"], header["invocation"]["id"]) == (1, original.id)
    assert end == {"end": {"events": original.last_position, "history": len(client.invocations.history(original.id))}}
    assert len(lines) == end["end"]["events"] + end["end"]["history"]

    for _ in range(2):  # and once more: nothing is stored twice
        told = json.loads(standpipe("import", file, "--json", broker=elsewhere).stdout)
        with BrokerClient(elsewhere.url, api_key=elsewhere.api_key) as other:
            (imported,) = other.invocations.list().items
            assert told["id"] == imported.id
            imported = other.invocations.get(imported.id)
            assert imported.tags == {"team": "x", "imported_from": original.id}
            assert (imported.verdict, imported.exit_code) == (original.verdict, 0)
            assert imported.context == original.context
            assert everything(other, imported.id) == everything(client, original.id)
            with attach(imported.id, client=other, forward_stdio=False) as session:
                session.wait(60)
            assert session.get_results() == completed.get_results()

    for source in (file, str(file), original.id):
        replayed = replay(source, client=client).completed
        assert replayed.get_results() == completed.get_results()
        assert replayed.get_custom_messages() == completed.get_custom_messages()
        assert replayed.invocation.verdict == "succeeded"


def incident(broker: Server) -> wire.Job:
    """Two producers by turns, a rejected message, something that is no message, and an end that was not clean."""
    job = wire.register(broker, context={"asset_keys": ["orders"]}, expected={"asset_keys": ["orders"]})
    job.append([wire.opened()], producer="one", first_seq=1)
    job.append([wire.opened(), {"method": "log", "params": {"message": "hm"}}], producer="two", first_seq=1)
    rejected = {"method": "report_asset_check", "params": {"asset_key": "orders", "check_name": "c", "passed": "yes"}}
    odd = [rejected, 17, {"method": "no_such_method", "params": {"a": [1]}}]
    job.append(json.dumps(odd), producer="one", first_seq=2)
    job.append({"method": "report_custom_message", "params": {"payload": None}})
    job.append([wire.closed()], producer="two", first_seq=3)
    return job


def test_an_incident_is_judged_elsewhere_as_it_was(
    broker: Server, client: BrokerClient, elsewhere: Server, tmp_path: Path
) -> None:
    job = incident(broker)
    client.invocations.tell_numbered(job.id, producer="one", numbered=9)
    client.invocations.cancel(job.id)
    before = client.invocations.finish(job.id, exit_code=3, reason="out of memory")
    exported(broker, job.id, tmp_path / "file")
    standpipe("import", tmp_path / "file", broker=elsewhere)
    with BrokerClient(elsewhere.url, api_key=elsewhere.api_key) as other:
        (found,) = other.invocations.list().items
        after = other.invocations.get(found.id)
        assert everything(other, after.id) == everything(client, job.id)
    assert (after.verdict, after.exit_code) == (before.verdict, 3) == ("cancelled", 3)
    assert [reason.code for reason in after.reasons] == [reason.code for reason in before.reasons]
    assert {"missing-tail", "rejected-messages", "exit-code"} <= {reason.code for reason in after.reasons}


def _opening(**extras: JsonValue) -> dict[str, Any]:
    return {"method": "opened", "params": {"extras": extras}}


def _ended_by_its_platform(job: wire.Job) -> None:
    cause = {"code": "out-of-memory", "detail": "OOMKilled", "peak_memory_bytes": 1 << 30}
    job.append([wire.opened(), wire.closed()], producer="one", first_seq=1)
    job.finish(outcome="failed", cause=cause, reason="Killed")


def _judged_by_its_launcher(job: wire.Job) -> None:
    job.finish(exit_code=0, outcome="succeeded")


def _started_again(job: wire.Job) -> None:
    """Once by its own number, once by the launcher's, and once by a name that the launcher numbered."""
    job.append([wire.opened(), wire.materialization("a")], producer="first", first_seq=1)
    job.append([_opening(attempt=[1]), wire.materialization("a")], producer="second", first_seq=1)
    job.server.http.post(f"{job.path}/attempts", json={"attempt": 2}).raise_for_status()
    job.append([wire.opened(), wire.materialization("a")], producer="third", first_seq=1)
    job.append(
        [_opening(attempt_name="uid-4"), wire.materialization("a"), wire.closed()], producer="fourth", first_seq=1
    )
    job.server.http.post(f"{job.path}/attempts", json={"attempt": 3, "name": "uid-4"}).raise_for_status()
    job.finish(exit_code=0)


def _opened_late(job: wire.Job) -> None:
    job.append([wire.opened(), wire.closed()], producer="one", first_seq=1)
    job.finish(exit_code=0)
    job.append([wire.opened(), wire.closed()], producer="two", first_seq=1)


@pytest.mark.parametrize(
    ("live", "members"),
    [
        (_ended_by_its_platform, {}),
        (_judged_by_its_launcher, {"pipes": "optional"}),
        (_started_again, {"expected": {"asset_keys": ["a"]}}),
        (_opened_late, {}),
    ],
    ids=["cause", "optional", "attempts", "late"],
)
def test_ends_and_attempts_are_judged_elsewhere_as_they_were(
    broker: Server, elsewhere: Server, tmp_path: Path, live: Callable[[wire.Job], None], members: dict[str, Any]
) -> None:
    job = wire.register(broker, **members)
    live(job)
    before = job.read()
    exported(broker, job.id, tmp_path / "file")
    for _ in range(2):
        standpipe("import", tmp_path / "file", broker=elsewhere)
    (found,) = elsewhere.http.get("/invocations").json()["items"]
    after = elsewhere.http.get(f"/invocations/{found['id']}").json()
    same = ("verdict", "judged_by", "outcome", "cause", "exit_code", "attempt", "pipes", "badge", "expected_progress")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    for one in (before, after):
        one["codes"] = [reason["code"] for reason in one["reasons"]]
        one["superseded"] = {producer["producer"]: producer["superseded"] for producer in one["producers"]}
    assert (after["codes"], after["superseded"]) == (before["codes"], before["superseded"])


def test_where_the_verdict_differs_the_import_says_so(broker: Server, client: BrokerClient, tmp_path: Path) -> None:
    job = incident(broker)
    exported(broker, job.id, tmp_path / "file")
    done = standpipe("import", tmp_path / "file", broker=broker, check=False)
    assert done.returncode == 1
    assert "The verdict was not known yet and is failed here." in done.stderr
    assert not client.invocations.get(job.id).ended


def test_an_import_that_was_interrupted_goes_on(broker: Server, client: BrokerClient, tmp_path: Path) -> None:
    job = incident(broker)
    client.invocations.finish(job.id)
    lines = exported(broker, job.id, tmp_path / "whole")
    torn = tmp_path / "torn"
    torn.write_text("".join(json.dumps(line) + "\n" for line in lines[:5]))
    done = standpipe("import", torn, broker=broker, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "was cut short" in done.stderr
    (half,) = client.invocations.list(tag=f"imported_from={job.id}").items
    assert not half.ended
    standpipe("import", tmp_path / "whole", broker=broker)
    (whole,) = client.invocations.list(tag=f"imported_from={job.id}").items
    assert (whole.id, whole.verdict) == (half.id, "failed")
    assert everything(client, whole.id) == everything(client, job.id)


def test_an_import_does_not_stand_in_the_place_of_a_key(broker: Server, client: BrokerClient, tmp_path: Path) -> None:
    with open_pipes_session(None, client=client, key="time-travel/key", require_success=False) as session:
        pass
    exported(broker, "time-travel/key", tmp_path / "file")
    standpipe("import", tmp_path / "file", broker=broker)
    with attach("time-travel/key", client=client, require_success=False) as found:
        found.wait(60)
    assert found.invocation_id == session.invocation_id


def test_an_export_of_what_runs_holds_what_was_there(broker: Server, client: BrokerClient, tmp_path: Path) -> None:
    with open_pipes_session(None, client=client, require_success=False) as session:
        report_from(session, "now")
        _, *_, end = exported(broker, session.invocation_id, tmp_path / "file")
        assert end["end"]["events"] == 1
    assert list(replay(tmp_path / "file").completed.get_custom_messages()) == ["now"]


def report_from(session: PipesSession, payload: str) -> None:
    from standpipe_protocol.messages import ReportCustomMessage

    before = session.client.invocations.get(session.invocation_id).last_position
    session.launch.report(ReportCustomMessage(payload=payload))
    assert session.client.events.read(session.invocation_id, after=before, wait=30).items


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "no header"),
        (['{"some": "json"}'], "no header"),
        (["no json"], "not JSON"),
        (['{"standpipe_export": 2, "invocation": {"id": "inv_x", "status": "ended"}}'], "formats up to 1"),
    ],
)
def test_what_is_no_export_is_refused_with_a_sentence(lines: list[str], complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("\n".join(lines))
    with pytest.raises(InvalidArchive, match=complaint):
        replay(file)
    done = standpipe("replay", file, broker=None, check=False)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_file_that_was_cut_short_is_never_replayed_as_whole(broker: Server, tmp_path: Path) -> None:
    job = incident(broker)
    lines = exported(broker, job.id, tmp_path / "file")
    for kept in range(1, len(lines)):
        (tmp_path / "file").write_text("".join(json.dumps(line) + "\n" for line in lines[:kept]))
        with pytest.raises(InvalidArchive, match="cut short"):
            _ = replay(tmp_path / "file").completed
    first = next(number for number, line in enumerate(lines) if "event" in line)
    del lines[first + 1]
    (tmp_path / "file").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InvalidArchive, match="position 3 where 2"):
        _ = replay(tmp_path / "file").completed


def test_a_green_invocation_whose_events_are_not_those_of_its_receipt_is_not_replayed_as_green(
    broker: Server, tmp_path: Path
) -> None:
    job = wire.register(broker)
    job.append([wire.opened(), {"method": "report_custom_message", "params": {"payload": 1}}, wire.closed()])
    job.finish()
    lines = exported(broker, job.id, tmp_path / "file")
    first = next(number for number, line in enumerate(lines) if "event" in line)
    lines[first + 1]["event"] |= {"method": "log", "params": {"message": "forged"}}
    (tmp_path / "file").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(PipesResultsIncomplete, match="report_custom_message"):
        _ = replay(tmp_path / "file").completed


def test_a_replay_in_original_time_takes_as_long_as_it_took_by_its_speed(broker: Server, tmp_path: Path) -> None:
    job = incident(broker)
    lines = exported(broker, job.id, tmp_path / "file")
    events = [line["event"] for line in lines if "event" in line]
    for number, event in enumerate(events):
        event["received_at"] = f"2026-01-31T12:00:{number * 2:02}.000000Z"
    (tmp_path / "file").write_text("".join(json.dumps(line) + "\n" for line in lines))
    begin = time.monotonic()
    _ = replay(tmp_path / "file", speed=20).completed
    took = time.monotonic() - begin
    assert 2 * (len(events) - 1) / 20 <= took
    begin = time.monotonic()
    _ = replay(tmp_path / "file").completed
    assert time.monotonic() - begin < took


def test_the_command_shows_what_a_session_yields(broker: Server, client: BrokerClient, tmp_path: Path) -> None:
    with pytest.raises(PipesExecutionError):
        PipesSubprocessClient(client=client, forward_stdio=False).run(
            context=TARGETS, command=[sys.executable, "-c", JOB + "sys.exit(3)"]
        )
    (invocation,) = client.invocations.list(verdict="failed", run_id="r", limit=1).items
    exported(broker, invocation.id, tmp_path / "file")
    shown = standpipe("replay", tmp_path / "file", broker=None).stdout
    assert "orders materialized, data version v1" in shown
    assert "check not_empty on orders failed (warning)" in shown
    assert "1,500 custom messages" in shown
    assert "failed after" in shown
    assert standpipe("replay", invocation.id, broker=broker).stdout == shown
    lines = standpipe("replay", tmp_path / "file", "--json", broker=None).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [set(line) & {"materialization", "check", "id"} for line in told] == [{"materialization"}, {"check"}, {"id"}]
    assert next(iter(replay(tmp_path / "file"))) == MaterializeResult(
        asset_key="orders", metadata={"rows": IntMetadataValue(3)}, data_version="v1"
    )


def test_what_is_not_there_is_said(broker: Server, client: BrokerClient, tmp_path: Path) -> None:
    with pytest.raises(InvocationNotFound, match="no-such-file"):
        replay("no-such-file.ndjson", client=client)
    for words in (["export", "inv_x"], ["import", tmp_path / "no-such-file"], ["replay", "no-such-file.ndjson"]):
        done = standpipe(*words, broker=broker, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"standpipe {words[0]}: ")
        assert len(done.stderr.splitlines()) == 1
