"""The queue of output: the end of one run waits for what was queued before it, and for nothing of another run."""

from __future__ import annotations

import threading

from standpipe_orchestrator.reading.output_queue import OutputQueue


def test_a_flush_waits_only_for_what_was_queued_before_it() -> None:
    queue = OutputQueue(name="test-output", may_drop=False, on_dropped=lambda _: None)
    over, flushed = threading.Event(), threading.Event()
    written: list[str] = []

    def write_of_another_run() -> None:
        # There is always more of it.
        if not over.is_set():
            queue.put(write_of_another_run, size=1)

    def end_a_run() -> None:
        queue.put(lambda: written.append("of this run"), size=1)
        if queue.flush() and written:
            flushed.set()

    queue.put(write_of_another_run, size=1)
    ending = threading.Thread(target=end_a_run)
    ending.start()
    try:
        assert flushed.wait(10)
    finally:
        over.set()
        ending.join()
