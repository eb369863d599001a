"""`open_pipes(strict=True)`: a report that returned is stored, and what is not stored raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from standpipe import (
    DagsterPipesError,
    PipesConfigurationError,
    PipesInvocationEnded,
    PipesMessageWriter,
    PipesMessageWriterChannel,
    PipesNotDelivered,
    PipesProblem,
    PipesServerUnreachable,
    open_pipes,
)
from standpipe.testing import RecordingBroker, recording_broker


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(asset_keys=["orders"]) as running, running.environment():
        yield running


def test_each_report_is_stored_when_it_returns(broker: RecordingBroker) -> None:
    with open_pipes(strict=True) as context:
        for n in range(20):
            context.report_custom_message(n)
            assert broker.custom_messages == list(range(n + 1))
        context.report_asset_check("c", passed=True)
        context.report_asset_materialization()
        assert set(broker.materializations) == {"orders"}
        # A line of a log is not waited for.
        broker.hold()
        context.log.info("on its way")
        broker.let_go()
    assert broker.closed is not None
    assert [one.message for one in broker.logs] == ["on its way"]


def test_a_server_that_is_away_raises_at_the_report_and_the_report_is_kept(
    broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_pipes(strict=True)
    context.report_custom_message(0)
    broker.stop()
    monkeypatch.setenv("STANDPIPE_CLOSE_TIMEOUT", "0.3")
    with pytest.raises(PipesServerUnreachable, match=r"`report_custom_message`: .* has not confirmed it within 0.3 s"):
        context.report_custom_message(1)
    broker.start()
    monkeypatch.setenv("STANDPIPE_CLOSE_TIMEOUT", "15")
    context.report_custom_message(2)
    assert context.close().complete
    assert broker.custom_messages == [0, 1, 2]


def test_closing_raises_once_when_something_is_not_delivered(broker: RecordingBroker) -> None:
    context = open_pipes(strict=True)
    context.report_custom_message(0)
    broker.stop()
    context.log.info("this one")
    with pytest.raises(
        PipesNotDelivered, match=r"Of 4 messages 2 are stored, 2 are kept in .* `standpipe deliver`"
    ) as e:
        context.close(timeout=0.1)
    assert e.value.report.spooled == 2
    assert e.value.report.spool_file is not None
    assert Path(e.value.report.spool_file).exists()
    assert context.close() == e.value.report


def test_what_the_program_failed_with_is_not_covered(
    broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        with open_pipes(strict=True) as context:
            context.report_custom_message(0)
            broker.stop()
            monkeypatch.setenv("STANDPIPE_CLOSE_TIMEOUT", "0.1")
            raise ValueError("no orders")

    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="no orders"):
        fail()
    assert "could not be delivered" in caplog.text


def test_a_rejected_report_and_an_ended_invocation_raise_by_name(broker: RecordingBroker) -> None:
    with open_pipes(strict=True) as context:
        context.report_asset_materialization()
        context._materialized.clear()
        with pytest.raises(PipesProblem, match="the server rejected message 3") as rejected:
            context.report_asset_materialization()
        assert rejected.value.problem.name == "duplicate-materialization"
        context.report_custom_message("goes on")
        broker.end("succeeded")
        with pytest.raises(PipesInvocationEnded, match="takes nothing"):
            context.report_custom_message("too late")
        with pytest.raises(PipesNotDelivered, match="1 were rejected, message 3 first"):
            context.close()


def test_threads_wait_for_their_own_reports(broker: RecordingBroker) -> None:
    context = open_pipes(strict=True)
    missing: list[int] = []

    def report(n: int) -> None:
        context.report_custom_message(n)
        if n not in broker.custom_messages:
            missing.append(n)

    threads = [threading.Thread(target=report, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    context.close()


def test_a_message_writer_cannot_be_strict(broker: RecordingBroker) -> None:
    class Writer(PipesMessageWriter[PipesMessageWriterChannel]):
        def open(self, params: object) -> NoReturn:
            raise AssertionError("it must not come to this")

    with pytest.raises(DagsterPipesError, match="does not confirm what was stored"):
        open_pipes(strict=True, message_writer=Writer())


def test_spool_first_has_each_report_on_disk_and_nothing_when_all_is_well(
    broker: RecordingBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDPIPE_SPOOL", "first")
    with open_pipes() as context:
        assert context.flush(20)
        broker.hold()
        for n in range(20):
            context.report_custom_message(n)
            (file,) = (tmp_path / "home" / "spool").iterdir()
            assert f'{{"payload":{n}}}' in file.read_text()
        broker.let_go()
    assert list((tmp_path / "home" / "spool").iterdir()) == []
    assert broker.custom_messages == list(range(20))


def test_a_misspelt_mode_is_told_when_it_is_opened(broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_SPOOL", "frist")
    with pytest.raises(PipesConfigurationError, match=r"STANDPIPE_SPOOL is 'frist'. Expected 'first'"):
        open_pipes()
    with open_pipes(spool="later") as context:
        context.report_custom_message(1)
    assert broker.custom_messages == [1]


def test_spool_first_on_a_disk_that_takes_nothing_is_told_once_and_goes_on_in_memory(
    broker: RecordingBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "file" / "home"))
    with open_pipes(spool="first") as context:
        for n in range(20):
            context.report_custom_message(n)
    assert broker.custom_messages == list(range(20))
    told = [one.getMessage() for one in caplog.records if "cannot be written to disk" in one.getMessage()]
    assert len(told) == 1
    assert "lost if this process is killed" in told[0]


def test_what_was_on_disk_when_the_server_refused_for_good_is_set_aside(
    broker: RecordingBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = open_pipes(spool="first")
    assert context.flush(20)
    broker.end("cancelled")
    context.report_custom_message("too late")
    report = context.close()
    assert report.undelivered > 0
    (aside,) = (tmp_path / "home" / "spool" / "set-aside").glob("*.ndjson")
    assert "too late" in aside.read_text()
    assert "invocation-ended" in aside.with_name(aside.name + ".reason.txt").read_text()
    assert str(aside) in caplog.text
