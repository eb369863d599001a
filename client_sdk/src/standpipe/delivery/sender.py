"""The background thread of an outbox: fetches the context, sends batches, retries.

It sends at once when idle; what is reported while a request is in flight goes together into the next one. It owns the
transport and is the only thread that touches it; the heartbeat has one of its own. `http.decisions` and `RetryState`
say what follows an answer; this module does it. The invariant: the thread ends on `stop`, on the server's own refusal,
or where no client can be made; on no other exception. Only the refusal ends the storing of reports.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from standpipe.delivery.heartbeat import Heartbeat
from standpipe.delivery.message_queue import Batch, MessageQueue
from standpipe.delivery.warnings import ReachabilityWarning
from standpipe.delivery_report import Rejection
from standpipe.errors import PipesConfigurationError, PipesServerError, error_for_problem
from standpipe.http.decisions import (
    Advance,
    Answer,
    NoAnswer,
    Replace,
    Retry,
    Split,
    Stop,
    advice_for,
    is_context,
    method_of,
    random_part,
    undeliverable_note,
)
from standpipe.http.retry_state import RetryState
from standpipe.runtime import clock
from standpipe.runtime.text import LONGEST_REASON, text_of
from standpipe.runtime.threads import BackgroundThread, sending
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData, InvalidContext
from standpipe_protocol.invocation import DEFAULT_LEASE_SECONDS, Control
from standpipe_protocol.limits import Limits

if TYPE_CHECKING:
    from standpipe.http.transport import Transport

BATCH_BYTES = 2 * 1024 * 1024
REMEMBERED_REJECTIONS = 1000
SECONDS_AFTER_ERROR = 0.1
HEARTBEAT_JOIN_SECONDS = 0.2

_log = logging.getLogger("standpipe.outbox")


class Sender:
    """The thread, and what it has learned from the server."""

    def __init__(
        self,
        *,
        bootstrap: Bootstrap,
        producer: str,
        queue: MessageQueue,
        environment: Mapping[str, str],
        fetch_context: bool,
        heartbeat: bool,
    ) -> None:
        self.context: Future[ContextData] = Future()
        # What the future holds. A forked child reads this: the future's lock may be held by a thread it does not have.
        self._context: ContextData | BaseException | None = None
        self.control = Control()
        self.limits = Limits()
        self.superseded = False
        """Whether a newer attempt has begun: then nothing is sent any more."""
        self.trouble: str | None = None
        """Why nothing gets through at the moment, or for good; None while all is well."""
        self.stopped_by: Stop | None = None
        self.rejections: list[Rejection] = []
        self._bootstrap = bootstrap
        self._producer = producer
        self._queue = queue
        self._environment = environment
        self._wants_context = fetch_context
        self._lease_seconds = DEFAULT_LEASE_SECONDS
        self._on_control: Callable[[Control], None] | None = None
        self._control_lock = threading.RLock()
        self._heartbeat: Heartbeat | None = None
        if heartbeat:
            self._heartbeat = Heartbeat(
                connect=self._open_transport,
                send=lambda transport: transport.heartbeat(producer=producer, numbered=queue.numbered),
                last_activity=lambda: self._last_activity,
                on_answer=self._update_control,
            )
        self._retries = RetryState()
        self._reachability = ReachabilityWarning(bootstrap, trouble=lambda: self.trouble)
        # Flags of their own, because other threads set them: until the server answers, and until the next request.
        self._hurried = self._try_now = False
        self._opening_first = self._stopping = False
        self._last_activity = clock.monotonic()
        self._imported = threading.Event()
        self._thread = BackgroundThread(self.run, name="standpipe-outbox")

    def start(self) -> bool:
        """False where the process gets no further thread, at a limit or at its end; it may be called again."""
        if self._thread.start():
            return True
        self.trouble = "the process gets no further thread to deliver them"
        return False

    def adopt_thread(self) -> Callable[[], None]:
        """Takes the calling thread in place of one of its own; returns what that thread has to run."""
        self._thread.adopt_current()
        self.trouble = None
        return self.run

    def inherit(self, parent: Sender) -> None:
        """In a forked child: takes over what the parent's has learned from the server."""
        self.limits, self._lease_seconds = parent.limits, parent._lease_seconds
        if parent._context is not None:
            self._settle(parent._context)

    def wait_until_imported(self, timeout: float) -> None:
        """Waits until the thread imports nothing more: a fork amid an import would leave its lock held in the child."""
        if self._thread.is_alive:
            self._imported.wait(timeout)

    def hurry(self) -> None:
        """A caller waits: tries at once, though not before a time the server has named."""
        self._hurried = self._try_now = True
        self._queue.wake()

    def stop(self, *, timeout: float) -> None:
        """Ends the threads and joins them; one that waits for an answer is left behind, it can do no harm."""
        until = clock.monotonic() + timeout
        self._stopping = True
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._queue.wake()
        self._reachability.stop(timeout)
        self._thread.join(max(until - clock.monotonic(), 0.0))
        if self._heartbeat is not None:
            # Of several outboxes each waits: a heartbeat without an answer must not use up the time to end.
            self._heartbeat.stop(timeout=min(HEARTBEAT_JOIN_SECONDS, max(until - clock.monotonic(), 0.0)))

    def run(self) -> None:
        """Delivers until it is stopped or refused for good."""
        with sending():
            self._reachability.start()
            self._queue.begin_taking()
            transport: Transport | None = None
            try:
                while not self._stopping and self.stopped_by is None:
                    try:
                        transport = transport or self._open_transport()
                        self._take_turn(transport)
                    except PipesConfigurationError as error:
                        self._spool_without_client(error)
                        return
                    except Exception as error:
                        self._retry_after_error(error)
            finally:
                self._imported.set()
                self._reachability.stop(0.0)
                if self.stopped_by is not None and self._heartbeat is not None:
                    self._heartbeat.stop()
                if transport is not None:
                    transport.close()

    def on_control(self, callback: Callable[[Control], None] | None) -> None:
        """Calls back with each change of `control`; at once if it has changed before this call."""
        with self._control_lock:
            self._on_control = callback
            if self.control != Control():
                self._call_back(self.control)

    def _open_transport(self) -> Transport:
        from standpipe.http.transport import Transport

        try:
            return Transport(self._bootstrap, environment=self._environment)
        finally:
            self._imported.set()

    def _spool_without_client(self, error: PipesConfigurationError) -> None:
        """This environment gives no client. Another process may have one, so reports wait for it on disk."""
        self.trouble = str(error)
        self._settle(error)
        self._spool()
        self._queue.end_delivery(refused=False)
        text = "Nothing is delivered to invocation %s at %s: %s Reports are kept, on disk if it takes them."
        _log.warning(text, self._bootstrap.invocation, self._bootstrap.url, error)

    def _retry_after_error(self, error: Exception) -> None:
        """Treats an unexpected error as a failed attempt."""
        with contextlib.suppress(Exception):
            answer = NoAnswer(reason=f"{type(error).__name__}: {text_of(error, most=LONGEST_REASON)}")
            decision = self._note_refusal(answer)
            if self._retries.failures == 1:
                _log.error("The Standpipe outbox met an error and tries again.", exc_info=error)
            self._follow(decision)
        # Bounds the rate where the error comes at once each time.
        clock.sleep(SECONDS_AFTER_ERROR)

    def _take_turn(self, transport: Transport) -> None:
        """Does what is next: fetches the context, sends a batch, or waits."""
        pause = self._retries.next_attempt(hurried=self._try_now) - clock.monotonic()
        if pause <= 0 and self._wants_context and self._context is None and not self._opening_first:
            self._fetch_context(transport)
        elif self.superseded:
            self._queue.wait_for_work(None, new_messages=False)
        elif pause > 0:
            self._queue.wait_for_work(pause, new_messages=False)
        elif (batch := self._next_batch()) is not None:
            self._send(transport, batch)
        else:
            self._queue.wait_for_work(None, new_messages=True)

    def _next_batch(self) -> Batch | None:
        limits = self.limits
        return self._queue.take(
            messages=max(1, min(self._retries.batch_messages, limits.batch_messages)),
            size=min(BATCH_BYTES, limits.body_bytes, limits.decompressed_bytes),
        )

    def _fetch_context(self, transport: Transport) -> None:
        self._try_now = False
        answer = transport.get_context()
        self._update_control(answer)
        if isinstance(answer, Answer) and is_context(answer):
            failures, self._retries = self._retries.failures, self._retries.on_response()
            self._on_answer(failures=failures)
            self._read_context(answer)
        elif self._may_be_reopened(answer):
            self._opening_first = True
        else:
            self._follow(self._note_refusal(answer))

    def _read_context(self, answer: Answer) -> None:
        body = answer.body or {}
        limits, lease = body.get("limits"), body.get("lease")
        if isinstance(limits, dict):
            self.limits = Limits.from_wire(limits)
        seconds = lease.get("seconds") if isinstance(lease, dict) else None
        if isinstance(seconds, (int, float)) and seconds > 0:
            self._lease_seconds = clock.bounded(seconds)
            if self._heartbeat is not None:
                self._heartbeat.start(lease_seconds=self._lease_seconds)
        try:
            self._settle(ContextData.from_wire(body.get("context")))
        except InvalidContext as error:
            text = f"The server at {self._bootstrap.url} sent a context that cannot be read: {error}"
            self._settle(PipesServerError(text))

    def _settle(self, context: ContextData | BaseException) -> None:
        if self._context is not None:
            return
        self._context = context
        if isinstance(context, BaseException):
            self.context.set_exception(context)
        else:
            self.context.set_result(context)

    def _may_be_reopened(self, answer: Answer | NoAnswer) -> bool:
        """Whether the invocation may have succeeded without this process: its token reads the context again once the
        opening is stored."""
        hidden = isinstance(answer, Answer) and answer.problem is not None and answer.problem.name == "not-found"
        return hidden and self._queue.acknowledged == 0 and self._queue.numbered > 0

    def _send(self, transport: Transport, batch: Batch) -> None:
        first_seq, bodies = batch.first_seq, batch.bodies
        self._try_now = False
        answer = transport.append(
            b"\n".join(bodies) + b"\n", producer=self._producer, first_seq=first_seq, numbered=self._queue.numbered
        )
        self._update_control(answer)
        before = self._retries
        self._retries, decision = before.after_append(
            answer,
            first_seq=first_seq,
            count=len(bodies),
            now=clock.monotonic(),
            jitter=random_part(),
            hurried=self._hurried,
        )
        match decision:
            case Advance(through=through, rejections=rejections):
                for rejection in rejections:
                    self._note_rejection(rejection, batch)
                self._on_answer(failures=before.failures)
                self._queue.acknowledge(through)
                self._opening_first = False
            case Split():
                pass  # the next batch is smaller
            case Replace(rejection=rejection):
                self._note_rejection(rejection, batch)
                self._queue.replace(first_seq, undeliverable_note(bodies[0], rejection.problem))
            case Retry() | Stop():
                self._follow(decision)

    def _note_refusal(self, answer: Answer | NoAnswer) -> Retry | Stop:
        self._retries, decision = self._retries.after_refusal(
            answer, now=clock.monotonic(), jitter=random_part(), hurried=self._hurried
        )
        return decision

    def _on_answer(self, *, failures: int) -> None:
        """After an answer that came from the server itself."""
        self._last_activity = clock.monotonic()
        self._hurried = False
        self._reachability.answered()
        if failures:
            _log.info("The Standpipe server at %s answers again.", self._bootstrap.url)
        if self.superseded:
            return
        self.trouble = None
        if self._heartbeat is not None:
            self._heartbeat.start(lease_seconds=self._lease_seconds)

    def _update_control(self, answer: Answer | NoAnswer) -> None:
        """Called by the heartbeat, too."""
        wire = answer.body.get("control") if isinstance(answer, Answer) and answer.body is not None else None
        if isinstance(wire, dict):
            control = Control.from_wire(wire)
            if control.superseded and not self.superseded:
                self._supersede()
            with self._control_lock:
                # The callback runs first, so that a thread that reads `control` finds everything prepared for it.
                if control != self.control:
                    self._call_back(control)
                self.control = control

    def _call_back(self, control: Control) -> None:
        if self._on_control is not None:
            try:
                self._on_control(control)
            except Exception:
                _log.exception("The callback for a change of control failed.")

    def _follow(self, decision: Retry | Stop) -> None:
        if isinstance(decision, Stop):
            self._give_up(decision)
        elif not self.superseded:
            self.trouble = decision.reason
            if self._retries.outage_begins:
                self._spool()
                self._reachability.warn(decision.reason)

    def _spool(self) -> None:
        # It may import the spool, for which a fork has to wait again.
        self._imported.clear()
        try:
            self._queue.spool_until_acknowledged()
        finally:
            self._imported.set()

    def _supersede(self) -> None:
        """A newer attempt has begun. The queued messages are dropped: they would count for nothing."""
        self.superseded = True
        self.trouble = "a newer attempt has begun"
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._queue.end_delivery(refused=True)
        if (spool := self._queue.abandon_spool()) is not None:
            spool.discard()
        _log.warning(
            "A newer attempt of invocation %s at %s has begun. This process goes on and reports nothing more.",
            self._bootstrap.invocation,
            self._bootstrap.url,
        )

    def _give_up(self, stop: Stop) -> None:
        reason = stop.reason.rstrip(".")
        self.stopped_by = stop
        self.trouble = stop.reason
        self._queue.end_delivery(refused=True)
        where = f"invocation {self._bootstrap.invocation} at {self._bootstrap.url}"
        message = f"The server refused {where}: {reason}. {advice_for(stop.problem)}"
        self._settle(error_for_problem(stop.problem, message=message))
        if not self.superseded:
            _log.warning("Nothing more is delivered to %s: %s.", where, reason)

    def _note_rejection(self, rejection: Rejection, batch: Batch) -> None:
        # The answer to a retried batch names the same rejections again.
        if any(known.seq == rejection.seq for known in self.rejections[-REMEMBERED_REJECTIONS:]):
            return
        if len(self.rejections) < REMEMBERED_REJECTIONS:
            self.rejections.append(rejection)
        index = rejection.seq - batch.first_seq
        method = method_of(batch.bodies[index]) if 0 <= index < len(batch.bodies) else "message"
        problem = rejection.problem
        _log.warning("The server rejected message %d (%s): %s: %s", rejection.seq, method, problem.name, problem.detail)
