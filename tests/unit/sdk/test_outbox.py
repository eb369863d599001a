"""The outbox against a broker that misbehaves: nothing lost, nothing doubled, and the truth about what became of it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.delivery.outbox import Outbox
from standpipe.errors import DagsterPipesError, PipesMessageTooLarge
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.invocation import Control
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import Log, LogExternalStream, ReportAssetMaterialization, ReportCustomMessage


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker() as running:
        yield running


def number(n: int) -> ReportCustomMessage:
    return ReportCustomMessage(payload=n)


def send_all(outbox: Outbox, numbers: range) -> None:
    for n in numbers:
        outbox.send(number(n))


def test_messages_arrive_in_order_and_are_acknowledged(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    send_all(outbox, range(2000))
    assert outbox.flush(20)
    report = outbox.close()
    assert (report.numbered, report.acknowledged, report.undelivered, report.complete) == (2000, 2000, 0, True)
    assert broker.custom_messages == list(range(2000))
    assert [one.seq for one in broker.messages] == list(range(1, 2001))
    assert {one.producer for one in broker.messages} == {outbox.producer}


def test_what_is_reported_while_a_request_is_in_flight_goes_together(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    broker.hold()
    outbox.send(number(0))
    broker.wait_for(lambda b: len(b.requests) == 1)
    send_all(outbox, range(1, 3001))
    broker.let_go()
    assert outbox.close().complete
    # One alone, because nothing was in flight; then as many as a request takes.
    assert len(broker.requests) == 3


def test_a_report_does_not_wait_for_a_server_that_hangs(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    broker.hold()
    outbox.send(number(0))
    broker.wait_for(lambda b: len(b.requests) == 1)
    send_all(outbox, range(1, 100))
    assert not outbox.flush(0.01)
    assert broker.messages == ()
    broker.let_go()
    assert outbox.close().complete


@pytest.mark.parametrize("problem", ["overloaded", "rate-limited", "internal"])
def test_a_refused_request_is_sent_again(broker: RecordingBroker, problem: str) -> None:
    broker.refuse(2, problem=problem, retry_after=0.0)
    outbox = Outbox.connect(broker.bootstrap)
    send_all(outbox, range(10))
    assert outbox.close(20).complete
    assert broker.custom_messages == list(range(10))


def test_the_time_that_the_server_names_is_waited_for(broker: RecordingBroker) -> None:
    broker.refuse(1, retry_after=0.5)
    outbox = Outbox.connect(broker.bootstrap)
    begun = time.monotonic()
    outbox.send(number(1))
    assert outbox.flush(20)
    assert time.monotonic() - begun >= 0.5
    outbox.close()


def test_an_answer_that_was_cut_off_neither_loses_nor_doubles(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    for round_ in range(5):
        broker.cut_after_store()
        send_all(outbox, range(round_ * 100, round_ * 100 + 100))
        assert outbox.flush(20)
    assert outbox.close().complete
    assert broker.custom_messages == list(range(500))


def test_a_broker_that_goes_and_comes_back_gets_everything_once(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    for round_ in range(3):
        send_all(outbox, range(round_ * 100, round_ * 100 + 50))
        broker.stop()
        send_all(outbox, range(round_ * 100 + 50, round_ * 100 + 100))
        broker.start()
    assert outbox.close(30).complete
    assert broker.custom_messages == list(range(300))


def test_many_threads_share_one_sequence(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    threads = [threading.Thread(target=send_all, args=(outbox, range(n * 100, n * 100 + 100))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.close().complete
    assert sorted(str(n) for n in broker.custom_messages) == sorted(str(n) for n in range(800))
    for n in range(8):
        own = [p for p in broker.custom_messages if isinstance(p, int) and p // 100 == n]
        assert own == sorted(own)


def test_a_rejected_message_is_told_once_and_costs_nobody_else(
    broker: RecordingBroker, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    broker.cut_after_store()
    outbox.send(ReportAssetMaterialization(asset_key="a"))
    outbox.send(ReportAssetMaterialization(asset_key="a"))
    outbox.send(number(1))
    report = outbox.close()
    assert report.acknowledged == 3
    assert not report.complete
    assert [(one.seq, one.problem.name, one.position) for one in report.rejected] == [
        (2, "duplicate-materialization", 2)
    ]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
        "The server rejected message 2 (report_asset_materialization): duplicate-materialization: Asset 'a' has already"
        " been materialized in this invocation, so no additional data can be reported for it."
    ]
    assert broker.custom_messages == [1]


def test_an_ended_invocation_stops_the_outbox_and_is_said(
    broker: RecordingBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.end("succeeded")
    outbox = Outbox.connect(broker.bootstrap)
    outbox.send(number(1))
    report = outbox.close(10)
    assert (report.acknowledged, report.undelivered, report.spooled) == (0, 1, 0)
    assert report.error is not None
    assert "invocation-ended" in report.error
    assert any("invocation-ended" in record.getMessage() for record in caplog.records)


def test_a_refused_token_does_not_disturb_who_reports(broker: RecordingBroker) -> None:
    stranger = type(broker.bootstrap)(url=broker.url, invocation=broker.invocation, token="wrong")
    outbox = Outbox.connect(stranger)
    outbox.send(number(1))
    assert not outbox.flush(10)
    for _ in range(100):
        outbox.send(number(2))
    report = outbox.close(1)
    assert report.undelivered == 101
    assert report.error is not None
    assert "unauthorized" in report.error
    assert broker.messages == ()


def test_a_message_too_large_for_every_server_raises_at_the_call() -> None:
    with recording_broker(limits=Limits(message_bytes=2000)) as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        outbox.context()
        with pytest.raises(PipesMessageTooLarge, match=r"`report_custom_message` with a message of \d+ bytes .* 2000"):
            outbox.send(ReportCustomMessage(payload="x" * 3000))
        outbox.send(number(1))
        assert outbox.close().complete
        assert broker.custom_messages == [1]


def test_an_integer_too_long_for_the_server_raises_at_the_call_and_costs_a_log_its_fields_only() -> None:
    with recording_broker(limits=Limits(integer_digits=700)) as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        outbox.context()
        with pytest.raises(PipesMessageTooLarge, match=r"an integer of more than 700 decimal digits.* as a string"):
            outbox.send(ReportCustomMessage(payload={"n": [10**700]}))
        outbox.send(ReportCustomMessage(payload=[10**699, "7" * 900]))
        outbox.send(Log(message="half way", details={"fields": {"n": 10**700}}))
        assert outbox.close().complete
        assert broker.custom_messages == [[10**699, "7" * 900]]
        assert broker.logs[0].message == "half way"


def test_a_log_text_that_is_too_long_is_cut_and_says_so() -> None:
    with recording_broker(limits=Limits(message_bytes=20_000)) as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        outbox.context()
        outbox.send(Log(message="é" * 30_000))
        outbox.send(LogExternalStream(stream="stdout", text="x" * 30_000))
        assert outbox.close().complete
        assert "more characters were cut" in broker.logs[0].message
        assert "more characters were cut" in str(broker.messages[1].params["text"])


def test_one_message_that_a_proxy_finds_too_large_does_not_stop_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    # The limit here is not published: a proxy's, not the server's.
    with recording_broker() as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        outbox.context()
        broker.limits = Limits(body_bytes=4000)
        broker.hold()
        send_all(outbox, range(20))
        outbox.send(ReportCustomMessage(payload="x" * 5000))
        send_all(outbox, range(20, 40))
        broker.let_go()
        report = outbox.close(20)
    assert broker.custom_messages == list(range(40))
    assert report.acknowledged == 41
    assert [(one.seq, one.problem.name) for one in report.rejected] == [(21, "too-large")]
    # Something stands under its number that is stored as rejected: the loss is in the history.
    assert broker.rejected[0].params["method"] == "report_custom_message"
    assert any("rejected message 21 (report_custom_message)" in record.getMessage() for record in caplog.records)


def test_what_memory_cannot_hold_waits_on_disk_and_is_delivered(broker: RecordingBroker, tmp_path: Path) -> None:
    outbox = Outbox.connect(broker.bootstrap, memory_messages=10)
    broker.hold()
    send_all(outbox, range(500))
    folder = tmp_path / "home" / "spool"
    files = list(folder.iterdir())
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    broker.let_go()
    assert outbox.close().complete
    assert broker.custom_messages == list(range(500))
    assert list(folder.iterdir()) == []


def test_what_cannot_be_delivered_in_time_is_kept_and_named(
    broker: RecordingBroker, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox.connect(broker.bootstrap, memory_messages=10)
    outbox.send(number(0))
    assert outbox.flush(10)
    broker.stop()
    send_all(outbox, range(1, 30))
    report = outbox.close(0.05)
    assert (report.numbered, report.acknowledged, report.spooled) == (30, 1, 29)
    assert report.spool_file is not None
    assert any(
        report.spool_file in record.getMessage() and "standpipe deliver" in record.getMessage()
        for record in caplog.records
    )
    first, *lines = Path(report.spool_file).read_text().splitlines()
    assert json.loads(first)["producer"] == outbox.producer
    assert [json.loads(line)["seq"] for line in lines] == list(range(2, 31))
    assert [json.loads(line)["message"]["params"]["payload"] for line in lines] == list(range(1, 30))


def test_what_can_be_kept_nowhere_is_counted_and_said(
    broker: RecordingBroker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDPIPE_SPOOL_BYTES", "2000")
    outbox = Outbox.connect(broker.bootstrap, memory_messages=10)
    broker.hold()
    send_all(outbox, range(100))
    broker.let_go()
    report = outbox.close(20)
    assert report.dropped > 0
    assert report.numbered + report.dropped == 100
    assert report.acknowledged == report.numbered
    assert not report.complete
    # What was kept is a run without a gap, so the server takes it.
    assert broker.custom_messages == list(range(report.numbered))
    warnings = [record for record in caplog.records if "cannot be stored" in record.getMessage()]
    assert len(warnings) == 1


def test_a_home_that_cannot_be_written_costs_only_what_memory_cannot_hold(
    broker: RecordingBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "file" / "home"))
    outbox = Outbox.connect(broker.bootstrap, memory_messages=5)
    broker.hold()
    send_all(outbox, range(20))
    broker.let_go()
    report = outbox.close(10)
    assert (report.numbered, report.acknowledged, report.dropped) == (5, 5, 15)
    broker.stop()
    other = Outbox.connect(broker.bootstrap)
    other.send(number(1))
    lost = other.close(0.05)
    assert lost.undelivered == 1
    assert lost.spool_file is None
    assert any("the spool file cannot be written" in record.getMessage() for record in caplog.records)


def test_heartbeats_keep_the_lease_of_a_silent_process() -> None:
    with recording_broker(lease_seconds=0.3) as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        outbox.send(number(1))
        broker.wait_for(lambda b: len(b.heartbeats) >= 2)
        assert broker.heartbeats[-1] == {"producer": outbox.producer, "numbered": 1}
        outbox.close()
        silent = Outbox.connect(broker.bootstrap, heartbeat=False)
        silent.send(number(2))
        count = len(broker.heartbeats)
        assert silent.close().complete
        assert len(broker.heartbeats) == count


def test_control_is_heard_with_any_answer(broker: RecordingBroker) -> None:
    heard = threading.Event()
    controls: list[Control] = []

    def listen(control: Control) -> None:
        controls.append(control)
        heard.set()

    outbox = Outbox.connect(broker.bootstrap)
    outbox.on_control(listen)
    outbox.send(number(1))
    assert outbox.flush(10)
    broker.request_cancel()
    outbox.send(number(2))
    assert heard.wait(10)
    assert outbox.control.cancel_requested
    assert controls == [Control(cancel_requested=True)]
    outbox.close()


def test_closing_twice_tells_the_same_and_sending_afterwards_raises(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    outbox.send(number(1))
    first = outbox.close()
    assert outbox.close() is first
    with pytest.raises(DagsterPipesError, match="Cannot send message after pipes context is closed"):
        outbox.send(number(2))


def test_an_outbox_that_was_never_used_closes_at_once(broker: RecordingBroker) -> None:
    report = Outbox.connect(broker.bootstrap).close()
    assert (report.numbered, report.complete) == (0, True)
    assert broker.messages == ()


def test_a_producer_may_be_named(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap, producer="launcher:stdout")
    outbox.send(number(1))
    outbox.close()
    assert broker.messages[0].producer == "launcher:stdout"


def test_no_thread_is_left_after_close(broker: RecordingBroker) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    outbox.send(number(1))
    outbox.close()
    assert "standpipe-outbox" not in [thread.name for thread in threading.enumerate()]
