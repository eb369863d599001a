"""The heartbeat goes its own way, whatever the delivery is at."""

from __future__ import annotations

from standpipe import open_pipes
from standpipe.delivery.outbox import Outbox
from standpipe.testing import RecordingBroker, recording_broker


def beats(broker: RecordingBroker) -> int:
    return sum(request.endswith("/heartbeat") for request in broker.requests)


def test_it_beats_while_a_request_of_the_delivery_hangs() -> None:
    with recording_broker(lease_seconds=0.3) as broker, broker.environment(), open_pipes() as pipes:
        assert pipes.flush(10)
        broker.hold()
        before = beats(broker)
        pipes.report_custom_message(1)
        broker.wait_for(lambda b: beats(b) > before)
        assert broker.custom_messages == []
        broker.let_go()
    assert broker.custom_messages == [1]


def test_it_beats_while_reports_are_refused_and_wait_to_be_sent_again() -> None:
    with recording_broker(lease_seconds=0.3) as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        outbox.context()
        broker.wait_for(lambda b: len(b.heartbeats) >= 1)
        # The whole delivery is told to come again in a minute; a lease that short would be over long before.
        broker.refuse(1, retry_after=60.0)
        broker.wait_for(lambda b: len(b.heartbeats) >= 5)
        outbox.close(0)


def test_it_ends_with_the_outbox() -> None:
    with recording_broker(lease_seconds=0.3) as broker:
        outbox = Outbox.connect(broker.bootstrap, fetch_context=True)
        broker.wait_for(lambda b: len(b.heartbeats) >= 1)
        outbox.close()
        count = beats(broker)
        other = Outbox.connect(broker.bootstrap, fetch_context=True)
        broker.wait_for(lambda b: beats(b) >= count + 2)
        assert all(beat["producer"] == other.producer for beat in broker.heartbeats[count:])
        other.close()
