"""A process that gets no further thread: at a container's limit, or at the interpreter's end since Python 3.12.

Its work goes on, and what it reports is delivered by the threads that it has, or kept on disk.
"""

from __future__ import annotations

import os
import threading
import time

import pytest

from standpipe import PipesServerUnreachable, open_pipes
from standpipe.delivery.outbox import Outbox
from standpipe.spool.delivery import deliver_file, waiting_files
from standpipe.spool.spool_file import spool_folder
from standpipe.testing import recording_broker
from standpipe_protocol.messages import ReportCustomMessage


class NoThreads:
    """Refuses new threads as the interpreter does; of those named, only a number of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        starts = threading.Thread.start
        self.allowed = False

        def start(thread: threading.Thread) -> None:
            # The broker of these tests lives in this process, and needs its own.
            if not self.allowed and thread.name.startswith("standpipe-") and (not names or thread.name in names):
                raise RuntimeError("can't start new thread")
            starts(thread)

        monkeypatch.setattr(threading.Thread, "start", start)


def test_a_program_without_threads_runs_on_and_its_reports_wait_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording_broker() as broker, broker.environment():
        with monkeypatch.context() as patched:
            NoThreads(patched)
            began = time.monotonic()
            with open_pipes() as pipes:
                pipes.report_custom_message(1)
                with pytest.raises(PipesServerUnreachable, match="thread"):
                    _ = pipes.extras
                assert not pipes.flush(10)
            report = pipes.close()
            # Nobody delivers, so nobody is waited for.
            assert time.monotonic() - began < 10
        assert (report.numbered, report.spooled) == (3, 3)
        assert "thread" in (report.error or "")
        (file,) = waiting_files(spool_folder(os.environ))
        assert deliver_file(file, environment=os.environ).delivered == 3
        assert broker.custom_messages == [1]


def test_a_thread_that_can_be_had_later_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording_broker() as broker:
        none = NoThreads(monkeypatch)
        outbox = Outbox.connect(broker.bootstrap)
        outbox.send(ReportCustomMessage(payload=1))
        none.allowed = True
        outbox.send(ReportCustomMessage(payload=2))
        assert outbox.close(10).acknowledged == 2
        assert broker.custom_messages == [1, 2]


@pytest.mark.parametrize("thread", ["standpipe-heart", "standpipe-leftovers", "standpipe-opening"])
def test_a_thread_beside_the_delivery_is_done_without(monkeypatch: pytest.MonkeyPatch, thread: str) -> None:
    folder = spool_folder(os.environ)
    folder.mkdir(parents=True)
    (folder / "left.ndjson").touch()
    NoThreads(monkeypatch, thread)
    with recording_broker() as broker, broker.environment(), open_pipes() as pipes:
        pipes.report_custom_message(1)
        assert pipes.flush(10)
    assert broker.custom_messages == [1]
