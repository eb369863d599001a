"""Every background thread of the SDK is joined by its owner: none is left when a context is closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from standpipe import open_pipes
from standpipe.testing import RecordingBroker, recording_broker
from tests.support.waiting import wait_until


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(lease_seconds=0.3) as running, running.environment():
        yield running


def of_the_sdk() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("standpipe-"))


def test_a_closed_context_leaves_no_thread(broker: RecordingBroker) -> None:
    with open_pipes() as context:
        context.report_custom_message(1)
        broker.wait_for(lambda seen: len(seen.heartbeats) > 0)
        assert "standpipe-heart" in of_the_sdk()
    assert of_the_sdk() == []


def test_closing_waits_for_a_callback_that_runs(broker: RecordingBroker) -> None:
    begun, over, finished = threading.Event(), threading.Event(), threading.Event()

    def stop() -> None:
        begun.set()
        over.wait(10)
        finished.set()

    context = open_pipes(on_cancel=stop, raise_on_cancel=False)
    broker.request_cancel()
    wait_until(begun.is_set, what="the callback")
    threading.Timer(0.05, over.set).start()
    context.close()
    assert finished.is_set()
    assert of_the_sdk() == []


def test_a_callback_that_hangs_does_not_hold_up_the_close(broker: RecordingBroker) -> None:
    over = threading.Event()
    context = open_pipes(on_cancel=lambda: over.wait(60), raise_on_cancel=False)
    broker.request_cancel()
    wait_until(lambda: "standpipe-on-cancel" in of_the_sdk(), what="the callback")
    assert context.close().complete
    over.set()
    wait_until(lambda: of_the_sdk() == [], what="the end of the callback")
