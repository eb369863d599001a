"""What is read of one invocation: its events as results, log records and output, and whether all of them are here.

Everything comes from the stored events, from the first, so that a process which takes up what another one began has the
same results. Handling runs on the reader's thread; all public members may be used from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.reading.event_dispatch import EventDispatch
from standpipe_orchestrator.reading.event_reader import EventReader
from standpipe_orchestrator.reading.forwarded_output import flush_forwarded
from standpipe_orchestrator.reading.receipt_check import superseded_producers
from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.invocation import Control, Invocation


class InvocationReading:
    """Reads one invocation from `start()` to `close()`.

    Args:
        asset_keys: the escaped keys that the invocation targets.
        own_producer: of this process; the output that it captured is forwarded already.
        on_result: called with each result, on the reader's thread.
        on_opened: called once, when the first process has opened.

    Attributes:
        collected: what was reported until now.
        opened: set when a process of the work has opened: from then on it receives what it is asked for.
        cancel_requested: set when the broker said that the work is to stop.
    """

    def __init__(
        self,
        invocation_id: str,
        *,
        client: BrokerClient,
        asset_keys: Sequence[str] | None,
        log: logging.Logger,
        own_producer: str,
        forward_stdio: bool,
        on_result: Callable[[PipesResult], None] | None,
        on_opened: Callable[[], None],
    ) -> None:
        self.opened = threading.Event()
        self.cancel_requested = threading.Event()
        self.collected = ResultCollection(asset_keys, read_again=partial(client.events.iterate, invocation_id))
        self.wake = self.collected.wake
        """Lets a thread that waits in `stream_results` look again."""
        self._on_opened = on_opened
        self._forward_stdio = forward_stdio
        self._dispatch = EventDispatch(
            collected=self.collected,
            log=log,
            own_producer=own_producer,
            forward_stdio=forward_stdio,
            on_result=on_result,
            on_opened=self._note_opened,
            cancelled=self.cancel_requested.is_set,
        )
        self._reader = EventReader(
            invocation_id,
            client=client,
            log=log,
            handle=self._dispatch.handle,
            on_over=self.wake,
            on_cancel=self.note_cancel_request,
        )
        self.start = self._reader.start

    @property
    def position(self) -> int:
        """The position of the last event that was handled."""
        return self._reader.position

    @property
    def trouble(self) -> str | None:
        """Why what was reported is not all here, as far as is known; None when it is."""
        return self._reader.trouble()

    @property
    def over(self) -> bool:
        """Whether no event will come any more: the invocation has ended, or its events cannot be read any more."""
        return self._reader.wait(0)

    @property
    def ended(self) -> bool:
        """Whether the end of the invocation was read."""
        return self._reader.ended is not None

    @property
    def stderr_tail(self) -> str:
        """The end of what a launcher captured of the work's stderr."""
        return self._dispatch.stderr_tail

    def stream_results(
        self,
        *,
        wait: float = 0.0,
        implicit_materializations: bool = True,
        or_until: Callable[[], bool] = lambda: False,
    ) -> Iterator[PipesResult]:
        """The results that came since the last call, each once, so that a loop may yield while it polls:

            while process.poll() is None:
                yield from session.stream_results(wait=1.0)

        and once more after the block, for the rest and the implicit ones.

        Args:
            wait: how long to wait for the first, in seconds.
            or_until: ends the wait when it is true; looked at after each `wake()`.
        """
        yield from self.collected.take_new(implicit=implicit_materializations, wait=wait, or_until=or_until)

    def wait(self, timeout: float | None) -> bool:
        """Waits until no event will come any more."""
        return self._reader.wait(timeout)

    def drain(self, latest: Invocation) -> Invocation:
        """Waits until every event that the broker has was handled; returns the newest known state of the invocation.

        Raises:
            BrokerError, TimeoutError: they could not be read, or handled.
        """
        return self._reader.drain(latest)

    def close(self, invocation: Invocation, *, drained: bool) -> None:
        """Stops reading; from now on there are implicit results, if the invocation succeeded and all of it was read."""
        self._reader.stop()
        # What the launcher forwarded came back as events.
        if self._dispatch.printed or (self._forward_stdio and not drained):
            flush_forwarded()
        self.collected.end(
            succeeded=drained and self.trouble is None and invocation.verdict == "succeeded",
            superseded_producers=superseded_producers(invocation),
        )

    def note_cancel_request(self) -> None:
        """The work is to stop."""
        self.cancel_requested.set()
        self.wake()

    def on_control(self, control: Control) -> None:
        """Takes what the broker adds to its answers."""
        if control.cancel_requested:
            self.note_cancel_request()

    def _note_opened(self) -> None:
        self.opened.set()
        self._on_opened()
