"""Opening, using and leaving: `open_pipes` against a recording broker."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from standpipe import (
    PipesConfigurationError,
    PipesContext,
    PipesNotFound,
    PipesServerUnreachable,
    PipesUnauthorized,
    open_pipes,
)
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.members import PipesException
from standpipe_protocol.messages import Closed


def exception_of(broker: RecordingBroker) -> PipesException:
    closed = broker.closed
    assert isinstance(closed, Closed)
    assert closed.exception is not None
    return closed.exception


def test_opened_comes_first_and_closed_last_with_its_ledger() -> None:
    with recording_broker() as broker, broker.environment(), open_pipes() as pipes:
        pipes.report_custom_message(1)
        pipes.log.info("x")
    assert broker.methods == ("opened", "report_custom_message", "log", "closed")
    closed = broker.closed
    assert closed is not None
    assert closed.ledger is not None
    assert closed.ledger.messages == 4
    assert closed.ledger.by_method == {"opened": 1, "report_custom_message": 1, "log": 1, "closed": 1}
    assert closed.exception is None
    assert set(broker.messages[-1].params) == {"ledger"}
    for one in broker.messages:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(one.envelope["sent_at"]))


def test_a_base_path_is_kept() -> None:
    with recording_broker(base_path="/tools/standpipe/", extras={"a": 1}) as broker, broker.environment():
        with open_pipes() as pipes:
            assert pipes.get_extra("a") == 1
        assert broker.requests[0].startswith("GET /tools/standpipe/api/v1/invocations/inv_")


def test_an_exception_is_reported_with_stack_cause_and_context_and_goes_on() -> None:
    def inner() -> None:
        try:
            raise KeyError("missing")
        except KeyError as error:
            raise ValueError("wrapped") from error

    def outer() -> None:
        try:
            inner()
        except ValueError:
            raise RuntimeError("outer") from None

    with recording_broker() as broker, broker.environment():
        with pytest.raises(RuntimeError, match="outer"), open_pipes():
            outer()
        report = PipesContext.get().close()
        assert report.complete
    found = exception_of(broker)
    assert (found.name, found.message) == ("RuntimeError", "RuntimeError: outer\n")
    assert any("test_an_exception_is_reported" in frame for frame in found.stack)
    assert found.cause is None
    assert found.context is not None
    assert found.context.name == "ValueError"
    assert found.context.cause is not None
    assert (found.context.cause.name, found.context.cause.message) == ("KeyError", "KeyError: 'missing'\n")
    # The same object is its `__context__` too; it is told once.
    assert found.context.context is None


def test_a_circle_of_exceptions_and_an_endless_stack_are_bounded() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("deep" * 50_000)

    def circle() -> None:
        try:
            deep(500)
        except ValueError as error:
            other = KeyError("x")
            error.__cause__, other.__cause__ = other, error
            raise

    with recording_broker() as broker, broker.environment():
        with pytest.raises(ValueError, match="deep"), open_pipes():
            circle()
        assert len(exception_of(broker).stack) <= 101
        assert len(exception_of(broker).message) < 70_000
        cause = exception_of(broker).cause
        assert cause is not None
        assert cause.cause is None


def test_a_long_chain_is_cut() -> None:
    error = ValueError("0")
    for n in range(1, 200):
        later = ValueError(str(n))
        later.__cause__ = error
        error = later
    with recording_broker() as broker, broker.environment():
        with pytest.raises(ValueError, match="199"), open_pipes():
            raise error
        links, found = 0, exception_of(broker)
        while found.cause is not None:
            links, found = links + 1, found.cause
        assert links < 30


def test_an_exception_whose_text_cannot_be_read_is_reported_all_the_same() -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    with recording_broker() as broker, broker.environment():
        with pytest.raises(Unreadable), open_pipes():
            raise Unreadable
        assert exception_of(broker).name == "Unreadable"


@pytest.mark.parametrize("code", [None, 0])
def test_leaving_by_exit_zero_is_a_clean_close(code: int | None) -> None:
    with recording_broker() as broker, broker.environment():
        with pytest.raises(SystemExit), open_pipes():
            raise SystemExit(code)
        assert broker.closed is not None
        assert broker.closed.exception is None


@pytest.mark.parametrize("code", [1, "message", True])
def test_leaving_by_another_exit_is_an_exception(code: Any) -> None:
    with recording_broker() as broker, broker.environment():
        with pytest.raises(SystemExit), open_pipes():
            raise SystemExit(code)
        assert exception_of(broker).name == "SystemExit"


def test_close_takes_an_exception_in_any_form() -> None:
    forms: list[Any] = [
        ValueError("by hand"),
        PipesException(message="ValueError: by hand\n", name="ValueError"),
        {"message": "ValueError: by hand\n", "stack": [], "name": "ValueError", "cause": None, "context": None},
    ]
    for form in forms:
        with recording_broker() as broker, broker.environment():
            open_pipes().close(form)
            assert exception_of(broker).message == "ValueError: by hand\n"


def test_a_refused_token_shows_at_the_first_use_by_name() -> None:
    with recording_broker() as broker:
        environment = broker.environment()
        environment["STANDPIPE_TOKEN"] = "wrong"
        with environment:
            pipes = open_pipes()
            with pytest.raises(PipesUnauthorized) as caught:
                _ = pipes.extras
        told = str(caught.value)
        assert broker.url in told
        assert broker.invocation in told
        assert "Check that STANDPIPE_TOKEN" in told
        assert "wrong" not in told
        assert caught.value.problem.name == "unauthorized"


def test_an_unknown_invocation_shows_at_the_first_use_by_name() -> None:
    with recording_broker() as broker:
        environment = broker.environment()
        environment["STANDPIPE_INVOCATION"] = "inv_unknown"
        with environment, pytest.raises(PipesNotFound, match="inv_unknown"):
            _ = open_pipes().run_id


def test_a_server_that_cannot_be_reached_shows_at_the_first_use_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_OPEN_TIMEOUT", "0.2")
    with recording_broker() as broker, broker.environment() as environment:
        broker.stop()
        monkeypatch.setenv("STANDPIPE_CLOSE_TIMEOUT", "0")
        pipes = open_pipes()
        with pytest.raises(PipesServerUnreachable) as caught:
            _ = pipes.run_id
        assert environment["STANDPIPE_URL"] in str(caught.value)
        assert broker.invocation in str(caught.value)
        assert "ConnectError" in str(caught.value)
        assert pipes.close().spooled == 2


def test_a_server_that_comes_late_is_waited_for() -> None:
    with recording_broker(extras={"a": 1}) as broker, broker.environment():
        broker.stop()
        pipes = open_pipes()
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(pipes.get_extra("a")))
        thread.start()
        broker.start()
        thread.join(20)
        assert seen == [1]
        assert pipes.close().complete


def test_reports_do_not_raise_for_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_OPEN_TIMEOUT", "0.1")
    with recording_broker(asset_keys=["a"]) as broker, broker.environment():
        broker.stop()
        pipes = open_pipes()
        pipes.report_custom_message(1)
        pipes.log.warning("x")
        pipes.report_asset_materialization(asset_key="a")
        pipes.report_asset_check("c", True, asset_key="a")
        # Which asset is meant only the server knows.
        with pytest.raises(PipesServerUnreachable):
            pipes.report_asset_check("c", True)
        broker.start()
        assert pipes.close().complete
    assert broker.methods == (
        "opened",
        "report_custom_message",
        "log",
        "report_asset_materialization",
        "report_asset_check",
        "closed",
    )


def test_half_an_environment_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_INVOCATION", "inv_1")
    with pytest.raises(PipesConfigurationError, match="STANDPIPE_URL and STANDPIPE_TOKEN are not"):
        open_pipes()


def test_a_ca_file_that_cannot_be_read_is_a_named_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "STANDPIPE_URL": "https://standpipe.example",
        "STANDPIPE_INVOCATION": "inv_1",
        "STANDPIPE_TOKEN": "t",
        "STANDPIPE_CA_FILE": str(tmp_path / "missing.pem"),
    }.items():
        monkeypatch.setenv(name, value)
    pipes = open_pipes()
    with pytest.raises(PipesConfigurationError, match=r"STANDPIPE_CA_FILE is .*missing\.pem"):
        _ = pipes.extras
    assert pipes.close().undelivered == 2


def test_a_cell_that_runs_twice_gets_a_new_producer_of_the_same_invocation() -> None:
    with recording_broker(asset_keys=["a"]) as broker, broker.environment():
        with open_pipes() as first:
            first.report_asset_materialization()
        with open_pipes() as second:
            assert second is not first
            assert PipesContext.get() is second
            second.report_custom_message("again")
            with pytest.raises(Exception, match="already been materialized"):
                second.report_asset_materialization()
    assert len({one.producer for one in broker.messages}) == 2
    assert broker.methods == (
        "opened",
        "report_asset_materialization",
        "closed",
        "opened",
        "report_custom_message",
        "closed",
    )
    assert broker.rejected == ()


def test_an_environment_that_names_another_invocation_opens_that_one() -> None:
    with recording_broker(asset_keys=["a"]) as one, recording_broker(asset_keys=["a"]) as other:
        with one.environment():
            first = open_pipes()
            first.report_asset_materialization()
            with other.environment():
                PipesContext.set(first)
                second = open_pipes()
                assert second is not first
                second.report_asset_materialization()
                assert second.close().complete
            assert first.close().complete
        assert list(one.materializations) == list(other.materializations) == ["a"]


def test_a_context_that_somebody_set_is_kept() -> None:
    with recording_broker() as broker, broker.environment():
        pipes = open_pipes()
    with recording_broker() as other, other.environment():
        mine = PipesContext(source=pipes._source, channel=pipes._channel)  # pyright: ignore[reportPrivateUsage]
        PipesContext.set(mine)
        assert open_pipes() is mine
        PipesContext.set(None)


def test_cancel_is_seen_by_the_program() -> None:
    with recording_broker(lease_seconds=0.3) as broker, broker.environment(), open_pipes() as pipes:
        assert not pipes.cancel_requested
        assert pipes.run_id == "test-run"
        broker.request_cancel()
        deadline = time.monotonic() + 10
        while not pipes.cancel_requested and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert pipes.cancel_requested


def test_reporting_blocks_no_event_loop() -> None:
    async def job(pipes: PipesContext, broker: RecordingBroker) -> float:
        extras = await asyncio.to_thread(lambda: pipes.extras)
        assert extras == {"a": 1}
        broker.hold()
        begun = time.monotonic()
        for n in range(100):
            pipes.report_custom_message(n)
            await asyncio.sleep(0)
        took = time.monotonic() - begun
        broker.let_go()
        assert await asyncio.to_thread(pipes.flush, 10)
        return took

    with recording_broker(extras={"a": 1}) as broker, broker.environment(), open_pipes() as pipes:
        # A server that does not answer at all is no reason to wait.
        assert asyncio.run(job(pipes, broker)) < 5
    assert broker.custom_messages == list(range(100))


def test_the_traceback_of_a_refused_token_points_at_the_users_line() -> None:
    with recording_broker() as broker:
        environment = broker.environment()
        environment["STANDPIPE_TOKEN"] = "wrong"
        with environment:
            pipes = open_pipes()
            try:
                pipes.get_extra("a")
            except PipesUnauthorized as error:
                frames = traceback.extract_tb(error.__traceback__)
                assert frames[0].filename == __file__
