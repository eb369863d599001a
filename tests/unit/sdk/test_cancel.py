"""How a program hears that it is to stop, and what it may still say."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from standpipe import DagsterPipesWarning, PipesCancelled, PipesContext, open_pipes
from standpipe.testing import RecordingBroker, recording_broker
from tests.support.waiting import wait_until


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(lease_seconds=0.3, asset_keys=["a", "b"]) as running, running.environment():
        yield running


def cancelled(pipes: PipesContext, broker: RecordingBroker) -> PipesContext:
    broker.request_cancel()
    wait_until(lambda: pipes.cancel_requested, what="the request to be heard")
    return pipes


def test_the_next_report_raises_once_and_is_kept(broker: RecordingBroker) -> None:
    pipes = cancelled(open_pipes(), broker)
    with pytest.raises(PipesCancelled, match="cancelled"):
        pipes.report_asset_materialization(asset_key="a")
    # Whoever cleans up reports as ever.
    pipes.report_custom_message("cleaned up")
    pipes.close()
    assert set(broker.materializations) == {"a"}
    assert broker.custom_messages == ["cleaned up"]


@pytest.mark.parametrize(
    "report",
    [
        lambda pipes: pipes.report_asset_materialization(asset_key="a"),
        lambda pipes: pipes.report_asset_check("c", True, asset_key="a"),
        lambda pipes: pipes.report_custom_message(1),
        lambda pipes: pipes.checkpoint(),
    ],
)
def test_whatever_is_called_next_raises_and_the_end_is_told_with_it(
    broker: RecordingBroker, report: Callable[[PipesContext], None]
) -> None:
    def work() -> None:
        with open_pipes() as pipes:
            report(cancelled(pipes, broker))

    with pytest.raises(PipesCancelled):
        work()
    assert broker.closed is not None
    assert broker.closed.exception is not None
    assert broker.closed.exception.name == "PipesCancelled"


def test_code_that_tries_again_after_any_exception_does_not_try_this_again(broker: RecordingBroker) -> None:
    tries: list[int] = []

    def work() -> None:
        with open_pipes() as pipes:
            cancelled(pipes, broker)
            for number in range(3):
                tries.append(number)
                with contextlib.suppress(Exception):
                    pipes.report_custom_message(number)

    with pytest.raises(PipesCancelled):
        work()
    assert tries == [0]


def test_logging_never_raises_it(broker: RecordingBroker) -> None:
    with open_pipes() as pipes:
        cancelled(pipes, broker).log.warning("still here")
    assert [log.message for log in broker.logs] == ["still here"]


def test_other_threads_are_asked_at_checkpoints_only(broker: RecordingBroker) -> None:
    with open_pipes() as pipes, ThreadPoolExecutor(1) as pool:
        cancelled(pipes, broker)
        pool.submit(pipes.report_custom_message, 1).result()
        for _ in range(2):
            with pytest.raises(PipesCancelled):
                pool.submit(pipes.checkpoint).result()


def test_it_can_be_switched_off_for_reports(broker: RecordingBroker) -> None:
    with open_pipes(raise_on_cancel=False) as pipes:
        cancelled(pipes, broker).report_custom_message(1)
        # What an open context was told holds for whoever opens it again.
        open_pipes().report_custom_message(2)
        with pytest.raises(PipesCancelled):
            pipes.checkpoint()
    assert broker.custom_messages == [1, 2]
    assert broker.closed is not None
    assert broker.closed.exception is None


def test_a_callback_is_called_once_on_a_thread_of_its_own(broker: RecordingBroker) -> None:
    threads: list[str] = []
    called, again = threading.Event(), threading.Event()

    def stop() -> None:
        threads.append(threading.current_thread().name)
        called.set()

    with open_pipes(on_cancel=stop, raise_on_cancel=False) as pipes:
        cancelled(pipes, broker)
        assert called.wait(10)
        pipes.on_cancel(again.set)
        assert again.wait(10)
        pipes.report_custom_message(1)
    assert threads == ["standpipe-on-cancel"]


def test_a_callback_that_fails_is_logged_and_costs_nothing(
    broker: RecordingBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pipes(on_cancel=lambda: 1 / 0, raise_on_cancel=False) as pipes, caplog.at_level(logging.ERROR):
        cancelled(pipes, broker)
        wait_until(lambda: "callback for the cancel" in caplog.text, what="the failure in the log")
        pipes.report_custom_message(1)
    assert broker.custom_messages == [1]


def test_outside_an_orchestrator_checkpoints_pass() -> None:
    with pytest.warns(DagsterPipesWarning), open_pipes() as pipes:
        pipes.checkpoint()


def test_without_a_further_thread_a_callback_runs_at_the_next_report(
    broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "standpipe-on-cancel":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    def stop() -> None:
        ran.append(threading.current_thread().name)
        pipes.checkpoint()

    pipes = cancelled(open_pipes(on_cancel=stop, raise_on_cancel=False), broker)
    assert ran == []
    pipes.report_custom_message("on its way")
    assert ran == [threading.current_thread().name]
    assert pipes.close().complete
    assert broker.custom_messages == ["on its way"]
