"""The outbox: one producer that numbers messages, stores them until the server has them, and reports what became of
each.

`send` returns in microseconds and raises only for what is wrong with the message itself. In a forked child the copy
becomes a producer of its own. The invariant: every message that `send` took is acknowledged, queued, in the spool file,
or counted in the report as lost.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import TYPE_CHECKING

from standpipe.delivery.confirmation import Confirmation
from standpipe.delivery.final_report import make_final_report
from standpipe.delivery.message_queue import MEMORY_BYTES, MEMORY_MESSAGES, MessageQueue
from standpipe.delivery.sender import Sender
from standpipe.delivery.settings import close_seconds, open_seconds, spools_first
from standpipe.delivery.size_limits import within_limits
from standpipe.delivery.warnings import LossWarnings, dropped_note
from standpipe.delivery_report import DeliveryReport
from standpipe.errors import DagsterPipesError, PipesServerUnreachable
from standpipe.exceptions import describe_exception
from standpipe.lifecycle import process_hooks
from standpipe.producer.opening import CONFIRM_SECONDS, Fork, begin_opening, new_producer
from standpipe.runtime import clock
from standpipe.runtime.threads import held_if_free
from standpipe.spool.format import SpoolHeader
from standpipe.spool.leftovers import Leftovers
from standpipe.spool.spool_file import Spool, open_spool
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import Closed, Ledger, Message, Opened, message_to_wire

if TYPE_CHECKING:
    from standpipe.producer.opening import Opening

IMPORT_SECONDS = 10.0
JOIN_SECONDS = 0.1
"""How long a thread in the middle of a request is waited for at the end: not longer than the caller allowed."""


class Outbox:
    """One producer of one invocation. Made by `connect`; thread-safe."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        *,
        producer: str,
        environment: Mapping[str, str],
        heartbeat: bool,
        fetch_context: bool,
        memory_messages: int,
        memory_bytes: int,
        opening: Opening | None,
        strict: bool,
    ) -> None:
        self.bootstrap = bootstrap
        self.closing_seconds: float | None = None
        """How long `closed` waits for what other processes left on disk, where that is not `close_seconds`."""
        self._environment = environment
        self._heartbeat = heartbeat
        self._fetch_context = fetch_context
        self._memory_messages = memory_messages
        self._memory_bytes = memory_bytes
        self._always_spool = spools_first(environment)
        self._confirmation = Confirmation(self) if strict else None
        self._fork: Fork | None = None
        self._opened_at = clock.monotonic()
        self._on_control: Callable[[Control], None] | None = None
        self._inherited: list[object] = []
        self._after_fork: Callable[[], object] | None = None
        self._after_opening_in_child: Callable[[], object] | None = None
        self._begin(producer)
        if opening is not None:
            self._put_opening(opening)

    @classmethod
    def connect(
        cls,
        bootstrap: Bootstrap,
        *,
        producer: str | None = None,
        heartbeat: bool = True,
        fetch_context: bool = False,
        environment: Mapping[str, str] | None = None,
        memory_messages: int = MEMORY_MESSAGES,
        memory_bytes: int = MEMORY_BYTES,
        opening: Opening | None = None,
        strict: bool = False,
    ) -> Outbox:
        """A new producer, with its background thread started; returns before anything is connected. `producer` is a
        random id by default, which is what a process wants that may be started twice; `heartbeat` keeps the
        invocation's lease while this outbox is open; `opening` is the first message and gives the id; `strict` makes
        `send` and `close` wait until the server has stored everything, or raise."""
        if opening is not None:
            producer = opening.producer
        outbox = cls(
            bootstrap,
            producer=producer or new_producer(),
            environment=os.environ if environment is None else environment,
            heartbeat=heartbeat,
            fetch_context=fetch_context,
            memory_messages=memory_messages,
            memory_bytes=memory_bytes,
            opening=opening,
            strict=strict,
        )
        process_hooks.watch(outbox)
        outbox._start()
        return outbox

    @property
    def control(self) -> Control:
        """The control members of the server's last answer."""
        return self.sender.control

    @property
    def closed(self) -> bool:
        return self._report is not None

    @property
    def forked(self) -> bool:
        """Whether this is a forked child's copy of an outbox that its parent opened."""
        return self._fork is not None

    @property
    def close_seconds(self) -> float:
        """How long the environment lets closing wait for the server."""
        return close_seconds(self._environment)

    def on_control(self, callback: Callable[[Control], None]) -> None:
        """Calls back, on the background thread, whenever `control` changes; at once if it has."""
        self._on_control = callback
        self.sender.on_control(callback)

    def after_fork(self, callback: Callable[[], object], *, opened: Callable[[], object]) -> None:
        """Calls back in a forked child, before anything else uses this outbox there, and once it has opened there."""
        self._after_fork, self._after_opening_in_child = callback, opened

    def context(self, *, timeout: float | None = None) -> ContextData:
        """The invocation's context; waits for it, `timeout` seconds from the opening of the outbox
        (`STANDPIPE_OPEN_TIMEOUT`, or 60). Raises PipesServerUnreachable when no answer came in time (it is still being
        tried), a PipesProblem when the server refused, and PipesConfigurationError when the environment names no usable
        server."""
        fetched = self.sender.context
        if not fetched.done():
            self._start()
            self.sender.hurry()
        allowed = open_seconds(self._environment) if timeout is None else clock.bounded(timeout)
        until = self._opened_at + allowed if self._started else 0.0
        try:
            return fetched.result(clock.bounded(until - clock.monotonic()))
        except FutureTimeout:
            waited = clock.monotonic() - self._opened_at
            trouble = self.sender.trouble or "it has not answered yet"
            raise PipesServerUnreachable(
                f"The Standpipe server at {self.bootstrap.url} did not give the context of invocation "
                f"{self.bootstrap.invocation} within {waited:.0f} s ({trouble}). Check that STANDPIPE_URL is an "
                "address this machine can reach (a proxy, a firewall, a container's own localhost?) and that the "
                "server runs; STANDPIPE_OPEN_TIMEOUT sets how long to wait."
            ) from None

    def send(self, message: Message) -> None:
        """Numbers the message and queues it; drops it once a newer attempt has begun. Raises TypeError or ValueError
        where JSON cannot carry it, PipesMessageTooLarge where no server takes it (log text is shortened instead), and
        DagsterPipesError after the close."""
        if self._report is not None:
            raise DagsterPipesError("Cannot send message after pipes context is closed.")
        if self.sender.superseded:
            return
        sent_at = clock.utc_now()
        if self._opens_with_report:
            self._open_in_child()
        if isinstance(message, Closed):
            if self._is_ended:
                return  # a signal handler or the end of the process closed it in the middle of a close
            stored = self._put_closing(message, sent_at=sent_at)
            self._is_ended = True
        else:
            body = encode_json(message_to_wire(message, sent_at=sent_at))
            body = within_limits(message, body, limits=self.sender.limits, sent_at=sent_at)
            stored = self.queue.put(message.method, body)
            if isinstance(message, Opened):
                self._has_opened = True
        if not stored or self.queue.spool_error is not None:
            self._losses.warn(trouble=self.sender.trouble)
        if not self._started:
            self._start()
        if self._confirms_opening and not isinstance(message, (Opened, Closed)):
            self.confirm_opening()
        if self._confirmation is not None:
            self._confirmation.after_send(message)

    def confirm_opening(self) -> None:
        """Waits, boundedly, until the opening is acknowledged: it is on no disk that outlives this process."""
        self._confirms_opening = False
        if self.queue.acknowledged:
            return
        self._start()
        self.sender.hurry()
        if self._started:
            self.queue.wait_for_acknowledgement(through=1, deadline=clock.monotonic() + CONFIRM_SECONDS)

    def flush(self, timeout: float) -> bool:
        """Waits until everything sent so far is acknowledged; False when it is not, after `timeout` seconds at most."""
        through, deadline = self.queue.numbered, clock.monotonic() + clock.bounded(timeout)
        if self.queue.acknowledged >= through or self.sender.superseded:
            return not self.sender.superseded
        self._start()
        self.sender.hurry()
        # Without a thread nothing is delivered, so there is nothing to wait for.
        return self._started and self.queue.wait_for_acknowledgement(through=through, deadline=deadline)

    def close(self, timeout: float | None = None) -> DeliveryReport:
        """Delivers what is queued for at most `timeout` seconds, spools the rest, and reports what became of each.

        Idempotent: a second call returns the first one's report. By default `STANDPIPE_CLOSE_TIMEOUT`, or 30 seconds.
        """
        report = self._close(timeout)
        if self._confirmation is not None:
            self._confirmation.after_close(report)
        return report

    def _close(self, timeout: float | None) -> DeliveryReport:
        seconds = self.close_seconds if timeout is None else clock.bounded(timeout)
        until = clock.monotonic() + seconds
        # Another thread may be closing it, and have more time for that than a process that a signal ends.
        with held_if_free(self._closing, seconds=seconds):
            if self._report is None:
                delivered = not self._waits_for_others and self.flush(max(until - clock.monotonic(), 0.0))
                self.sender.stop(timeout=2.0 if delivered else JOIN_SECONDS)
                self._leftovers.stop(timeout=JOIN_SECONDS)
                reason = "they were reported while this process closed" if delivered else "the time to close was over"
                # A signal handler may have closed it in between.
                self._report = self._report or make_final_report(
                    self.queue,
                    self.sender,
                    bootstrap=self.bootstrap,
                    producer=self.producer,
                    default_reason=reason,
                )
                if self._opening is not None:
                    self._opening.mark.release()
            return self._report

    def close_at_exit(self, timeout: float) -> None:
        """At the end of the process. A child that is known to end in order, or by what, closes by itself."""
        if self._report is None and self._opening is not None and self._opening.end.is_known:
            raised = self._opening.end.raised
            self.send(Closed(exception=None if raised is None else describe_exception(raised)))
        self._close(timeout)

    def adopt_thread(self) -> Callable[[], None] | None:
        """Makes the calling thread the one that delivers, unless there is one; returns what it has to run then."""
        with self._starting:
            if self._started or self._report is not None:
                return None
            self._started = True
            return self.sender.adopt_thread()

    def wait_until_imported(self) -> None:
        """Waits until no background thread imports anything: a fork would leave the import's lock held in the child."""
        self.sender.wait_until_imported(IMPORT_SECONDS)
        self._leftovers.wait_until_imported(IMPORT_SECONDS)

    def begin_in_child(self) -> None:
        """Makes a forked child's copy a producer of its own."""
        # Referenced, not closed: the sockets are the parent's, and a collected one would warn.
        self._inherited += [self.sender, self.queue]
        self.queue.forget_in_child()
        self._leftovers.forget_in_child()
        report, parents_sender, opens = self._report, self.sender, self._has_opened or self._opens_with_report
        parent = None if self._fork is None else self._fork.parent
        if self._opening is not None:
            self._opening.mark.forget_in_child()
            parent = self.producer
        self._fork = Fork(parent=parent, handled=sys.exc_info()[1])
        self._opened_at = clock.monotonic()
        self._begin(new_producer())
        self._report, self._opens_with_report = report, opens
        self.sender.inherit(parents_sender)
        if self._after_fork is not None:
            self._after_fork()

    def _begin(self, producer: str) -> None:
        """Starts as a fresh producer: nothing numbered, no thread yet."""
        self.producer = producer
        self._report: DeliveryReport | None = None
        # Reentrant, because a signal handler that closes may interrupt either.
        self._closing, self._starting = threading.RLock(), threading.RLock()
        self._opening: Opening | None = None
        self._started = self._has_opened = self._opens_with_report = self._confirms_opening = False
        self._waits_for_others = self._is_ended = False
        self._leftovers = Leftovers(self._environment)
        self.queue = MessageQueue(
            spool=self._make_spool,
            memory_messages=self._memory_messages,
            memory_bytes=self._memory_bytes,
            always_spool=self._always_spool,
            dropped_note=dropped_note,
        )
        self._losses = LossWarnings(self.queue, invocation=self.bootstrap.invocation)
        self.sender = Sender(
            bootstrap=self.bootstrap,
            producer=producer,
            queue=self.queue,
            environment=self._environment,
            fetch_context=self._fetch_context,
            heartbeat=self._heartbeat,
        )
        self.sender.on_control(self._on_control)

    def _start(self) -> None:
        with self._starting:
            if not self._started and self._report is None:
                # First: where threads are greenlets another one of them comes here while this one starts.
                self._started = True
                self._started = self.sender.start()
                if self._started and self._fork is None:
                    self._leftovers.start()

    def _put_opening(self, opening: Opening) -> None:
        on_disk = self.queue.put_opening(opening.body, spool=lambda: self._make_spool(1, opening))
        self._has_opened, self._opening = True, opening
        self._confirms_opening = not (on_disk and opening.safe)

    def _open_in_child(self) -> None:
        """A forked child opens with its first report: if it dies without closing, the server misses its `closed`."""
        with self._starting:
            if self._opens_with_report and not self._has_opened:
                # Set first: a signal handler that reports may interrupt what follows.
                self._has_opened = True
                opening = begin_opening(
                    self.bootstrap, environment=self._environment, producer=self.producer, fork=self._fork
                )
                self._put_opening(opening)
                process_hooks.install()
                if self._after_opening_in_child is not None:
                    self._after_opening_in_child()
                # Last: other threads that report wait for the lock until then.
                self._opens_with_report = False

    def _put_closing(self, message: Closed, *, sent_at: str) -> bool:
        seconds = self.close_seconds if self.closing_seconds is None else self.closing_seconds
        # A `closed` must not overtake another producer's messages: the invocation could end `succeeded` without them.
        self._waits_for_others = not self._leftovers.deliver_others(
            self.bootstrap.invocation, own=self.producer, seconds=seconds
        )
        if self._waits_for_others:
            self.sender.stop(timeout=JOIN_SECONDS)

        def encode(ledger: Ledger) -> bytes:
            return encode_json(message_to_wire(replace(message, ledger=ledger), sent_at=sent_at))

        return self.queue.put_closing(encode)

    def _make_spool(self, first_seq: int, opening: Opening | None = None) -> Spool:
        header = SpoolHeader(bootstrap=self.bootstrap, producer=self.producer, first_seq=first_seq)
        begun = None if opening is None else (*opening.take_over(), opening.body)
        return open_spool(header, environment=self._environment, opening=begun)
