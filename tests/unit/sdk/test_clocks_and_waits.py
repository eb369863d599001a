"""A frozen or replaced clock, and time-outs without end: everything is delivered, or kept, as ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe import open_pipes
from standpipe.delivery.outbox import Outbox
from standpipe.delivery.settings import close_seconds, open_seconds
from standpipe.runtime import clock
from standpipe.runtime.clock import utc_now
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.messages import ReportCustomMessage
from tests.support.processes import child_environment, run_python

NOWHERE = Bootstrap(url="http://127.0.0.1:9", invocation="i", token="t")
ENDLESS = ["inf", "1e12", "1e400", "9" * 400, "-inf", "-1", "nan", "forever", "0"]

FREEZE_IN_BLOCK = """
from freezegun import freeze_time
from standpipe import open_pipes
with freeze_time("2024-02-29"):
    with open_pipes() as context:
        context.report_custom_message(context.get_extra("day"))
"""
FREEZE_BEFORE_IMPORT = """
from freezegun import freeze_time
with freeze_time("2099-01-01"):
    from standpipe import open_pipes
    with open_pipes() as context:
        context.report_custom_message(context.get_extra("day"))
"""
FREEZE_AFTER_OPENING = """
from freezegun import freeze_time
from standpipe import open_pipes
with open_pipes() as context:
    context.flush(10)
    with freeze_time("1971-01-01"):
        context.report_custom_message(context.get_extra("day"))
        assert context.flush(10)
"""
REPLACED = """
import time
time.time = time.monotonic = time.perf_counter = lambda: 0.0
time.sleep = lambda seconds: None
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(context.get_extra("day"))
"""


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(extras={"day": 29}) as running:
        yield running


@pytest.mark.parametrize(
    "script",
    [FREEZE_IN_BLOCK, FREEZE_BEFORE_IMPORT, FREEZE_AFTER_OPENING, REPLACED],
    ids=["in-block", "before-import", "after-opening", "replaced"],
)
def test_a_clock_that_stands_still_holds_up_nothing(broker: RecordingBroker, tmp_path: Path, script: str) -> None:
    done = run_python("-c", script, env=child_environment(broker.environment(), home=tmp_path / "home"), timeout=30)
    assert broker.custom_messages == [29]
    assert [one.method for one in broker.messages][-1] == "closed"
    assert done.stderr.count("The clock of this process is not this machine's") <= 1
    assert ("clock" in done.stderr) is (script != FREEZE_AFTER_OPENING)


def test_a_clock_that_stands_still_ends_a_wait_in_time(tmp_path: Path) -> None:
    script = """
import time
from standpipe import open_pipes
time.monotonic = time.perf_counter = time.time = lambda: 5.0
context = open_pipes()
context.report_custom_message(1)
report = context.close(timeout=0.2)
assert report.spooled == report.numbered == 3, report
"""
    env = {**NOWHERE.to_environment(), "STANDPIPE_CLOSE_TIMEOUT": "0.2"}
    run_python("-c", script, env=child_environment(env, home=tmp_path / "home"), timeout=30)


def test_pauses_are_kept_where_sleep_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    before = clock.monotonic()
    clock.sleep(0.05)
    assert clock.monotonic() - before >= 0.04


@pytest.mark.parametrize("seconds", ENDLESS)
def test_a_time_out_of_the_environment_can_be_waited_for(seconds: str) -> None:
    for read, variable in ((close_seconds, "STANDPIPE_CLOSE_TIMEOUT"), (open_seconds, "STANDPIPE_OPEN_TIMEOUT")):
        # A lock that is free: what cannot be waited for raises all the same.
        assert threading.Lock().acquire(timeout=read({variable: seconds}))


@pytest.mark.parametrize("seconds", ENDLESS)
def test_whatever_the_time_out_everything_is_delivered_or_kept(
    broker: RecordingBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("STANDPIPE_CLOSE_TIMEOUT", seconds)
    monkeypatch.setenv("STANDPIPE_OPEN_TIMEOUT", seconds)
    with broker.environment():
        context = open_pipes()
        context.report_custom_message(1)
        report = context.close()
    assert report.acknowledged + report.spooled == report.numbered == 3
    if report.acknowledged == 3:
        assert broker.custom_messages == [1]


@pytest.mark.parametrize("seconds", [float("inf"), 1e12, 1e300, float("-inf"), float("nan"), -1.0])
def test_whatever_time_out_a_call_is_given_it_is_waited_for(broker: RecordingBroker, seconds: float) -> None:
    outbox = Outbox.connect(broker.bootstrap)
    outbox.send(ReportCustomMessage(payload=1))
    outbox.flush(seconds)
    report = outbox.close(seconds)
    assert report.acknowledged + report.spooled == 1


def test_a_time_out_that_is_no_number_is_refused_before_anything_is_closed(broker: RecordingBroker) -> None:
    with broker.environment():
        context = open_pipes()
        with pytest.raises((TypeError, ValueError)):
            context.close(timeout="a while")  # type: ignore[arg-type]  on purpose
        context.report_custom_message(1)
        assert context.close(timeout=10).complete
    assert broker.custom_messages == [1]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e20, None, -1e20])
def test_a_clock_that_tells_no_time_leaves_messages_a_time(monkeypatch: pytest.MonkeyPatch, wrong: object) -> None:
    monkeypatch.setattr(time, "time", lambda: wrong)
    assert utc_now().endswith("Z")
