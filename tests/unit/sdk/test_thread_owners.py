"""Every background thread of the SDK is joined by its owner: none is left when a context is closed."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from standpipe import open_pipes
from standpipe.delivery.heartbeat import Heartbeat
from standpipe.delivery.message_queue import MessageQueue
from standpipe.delivery.outbox import Outbox
from standpipe.delivery.sender import Sender
from standpipe.http.decisions import NoAnswer
from standpipe.http.transport import Transport
from standpipe.runtime.threads import BackgroundThread
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.bootstrap import Bootstrap
from tests.support.processes import run
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


def test_a_forked_child_asks_no_lock_of_its_parent_for_the_context(broker: RecordingBroker) -> None:
    with open_pipes() as context:
        assert context.extras == {}
        outbox = context._channel  # pyright: ignore[reportPrivateUsage]
        assert isinstance(outbox, Outbox)
        held, released = threading.Event(), threading.Event()

        def hold() -> None:
            # As any thread of the parent may at the moment of a fork, which leaves it held in the child.
            with outbox.sender.context._condition:  # type: ignore[attr-defined]  # pyright: ignore
                held.set()
                released.wait(60)

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        held.wait(10)
        child = Sender(
            bootstrap=outbox.bootstrap,
            producer="child",
            queue=outbox.queue,
            environment={},
            fetch_context=True,
            heartbeat=False,
        )
        inheriting = threading.Thread(target=child.inherit, args=(outbox.sender,), daemon=True)
        inheriting.start()
        inheriting.join(10)
        is_stuck = inheriting.is_alive()
        released.set()
        holder.join(10)
    assert not is_stuck
    assert child.context.result(timeout=0).extras == {}


def test_a_heartbeat_without_an_answer_does_not_use_up_the_time_to_close() -> None:
    connecting, over = threading.Event(), threading.Event()

    def connect() -> Transport:
        connecting.set()
        over.wait(60)
        raise OSError("no answer")

    heartbeat = Heartbeat(
        connect=connect, send=lambda _: NoAnswer(reason="none"), last_activity=lambda: 0.0, on_answer=lambda _: None
    )
    sender = Sender(
        bootstrap=Bootstrap(url="http://127.0.0.1:9", invocation="inv_1", token="spt_1"),
        producer="p",
        queue=MessageQueue(spool=lambda _: pytest.fail("nothing is kept")),
        environment={},
        fetch_context=False,
        heartbeat=True,
    )
    sender._heartbeat = heartbeat  # pyright: ignore[reportPrivateUsage]
    heartbeat.start(lease_seconds=0.01)
    assert connecting.wait(10)
    stopping = threading.Thread(target=lambda: sender.stop(timeout=45), daemon=True)
    stopping.start()
    stopping.join(20)
    is_stuck = stopping.is_alive()
    over.set()
    assert not is_stuck


def test_a_thread_is_known_to_its_owner_from_its_first_step() -> None:
    seen: list[bool] = []

    def run_once() -> None:
        thread = BackgroundThread(lambda: seen.append(thread.is_alive), name="standpipe-test")
        assert thread.start()
        thread.join(10)

    for _ in range(50):
        run_once()
    assert seen == [True] * 50


FORKS = """
import os, threading
from standpipe.runtime.threads import in_sending_thread, sending

over = threading.Event()
def send():
    with sending():
        over.wait(30)
senders = [threading.Thread(target=send, daemon=True) for _ in range(4)]
[one.start() for one in senders]
child = os.fork()
if child == 0:
    mistaken = []
    users = [threading.Thread(target=lambda: mistaken.append(in_sending_thread())) for _ in range(8)]
    [one.start() for one in users]
    [one.join() for one in users]
    os._exit(1 if any(mistaken) else 0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_no_thread_of_a_forked_child_is_taken_for_one_that_sends() -> None:
    # Python 3.12 and later warn of a fork with threads, which is what is tried here.
    done = run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS])
    assert done.stdout.strip() == "0"


def test_a_first_line_that_takes_sigterm_loads_little() -> None:
    program = "import sys; from standpipe import take_sigterm; print('logging' in sys.modules)"
    assert run([sys.executable, "-c", program]).stdout.strip() == "False"
