"""The background thread of an outbox: fetches the context, sends batches, retries.

It sends at once when idle; what is reported while a request is in flight goes together into the next one. It owns the
transport and is the only thread that touches it; the heart beats over one of its own. What an answer means is decided
in `delivery`; this room only does it. The invariant: the thread ends on `stop`, on the server's own refusal, or where
no client can be made; on no other exception. Only the refusal ends the keeping of what is reported.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from standpipe.delivery.batch import Batch
from standpipe.delivery.fetched_context import ContextBox
from standpipe.delivery.heartbeat import Heart
from standpipe.delivery.message_queue import Pending
from standpipe.delivery.reachability import Reach
from standpipe.errors import PipesConfigurationError, PipesServerError, error_for_problem
from standpipe.http.backoff import random_part
from standpipe.http.decisions import (
    Advance,
    Answer,
    NoAnswer,
    Rejection,
    Replace,
    Retry,
    Split,
    Stop,
    is_context,
    method_of,
    note_in_its_place,
    what_to_do,
)
from standpipe.http.retry_state import Course
from standpipe.runtime import clock
from standpipe.runtime.sender_threads import mark_sender_thread, unmark_sender_thread
from standpipe.runtime.text import LONGEST_REASON, text_of
from standpipe.runtime.threads import background_thread
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData, InvalidContext
from standpipe_protocol.invocation import DEFAULT_LEASE_SECONDS, Control
from standpipe_protocol.limits import Limits

if TYPE_CHECKING:
    from standpipe.http.transport import Transport

BATCH_BYTES = 2 * 1024 * 1024
REMEMBERED_REJECTIONS = 1000
SECONDS_AFTER_ERROR = 0.1

_log = logging.getLogger("standpipe.outbox")


class Sender:
    """The thread, and what it has learned from the server."""

    def __init__(
        self,
        *,
        bootstrap: Bootstrap,
        producer: str,
        pending: Pending,
        environment: Mapping[str, str],
        fetch_context: bool,
        heartbeat: bool,
    ) -> None:
        self.context = ContextBox()
        self.control = Control()
        self.limits = Limits()
        self._on_control: Callable[[Control], None] | None = None
        self.superseded = False
        """Whether a newer attempt has begun: then nothing is sent any more."""
        self.trouble: str | None = None
        """Why nothing gets through at the moment, or for good; None while all is well."""
        self.stopped_by: Stop | None = None
        self.rejections: list[Rejection] = []
        self._bootstrap = bootstrap
        self._producer = producer
        self._pending = pending
        self._environment = environment
        self._wants_context = fetch_context
        self._lease_seconds = DEFAULT_LEASE_SECONDS
        self._telling = threading.RLock()
        self._heart = self._make_heart() if heartbeat else None
        self._course = Course()
        self._reach = Reach(bootstrap)
        # Flags of their own, because other threads set them: until the server answers, and until the next request.
        self._hurried = self._try_now = False
        self._opening_first = self._stopping = False
        self._last_word = clock.monotonic()
        self._imported = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """False where the process gets no further thread, at a limit or at its end; it may be asked again."""
        # Made here: in a forked child gevent may have replaced what threads are.
        try:
            self._thread = background_thread(self.run, name="standpipe-outbox")
            self._thread.start()
        except RuntimeError as error:
            self.trouble = f"there is no thread to deliver them: {error}"
            return False
        return True

    def take_thread(self) -> Callable[[], None]:
        """Takes the calling thread in place of one of its own; answers what that thread has to run."""
        self._thread = threading.current_thread()
        self.trouble = None
        return self.run

    def inherit(self, parent: Sender) -> None:
        """In a forked child: what the parent's has learned from the server."""
        self.limits, self._lease_seconds = parent.limits, parent._lease_seconds
        self.context = parent.context.copy()

    def wait_until_imported(self, timeout: float) -> None:
        """Waits until the thread imports nothing more: a fork amid an import would leave its lock held in the child."""
        if self._thread is not None and self._thread.is_alive():
            self._imported.wait(timeout)

    def hurry(self) -> None:
        """Somebody waits: try now, though not before a time the server has named."""
        self._hurried = self._try_now = True
        self._pending.kick()

    def stop(self, *, timeout: float) -> None:
        """Ends the thread; one that sits in a request is left behind, it can do no harm."""
        self._stopping = True
        self._reach.heard()
        if self._heart is not None:
            self._heart.stop()
        self._pending.kick()
        thread = self._thread
        if thread is not None and thread.is_alive() and threading.current_thread() is not thread:
            thread.join(timeout)

    def run(self) -> None:
        """Delivers until it is stopped or refused for good."""
        mark_sender_thread()
        self._reach.watch(lambda: self.trouble)
        self._pending.begin_taking()
        transport: Transport | None = None
        try:
            while not self._stopping and self.stopped_by is None:
                try:
                    transport = transport or self._open_transport()
                    self._turn(transport)
                except PipesConfigurationError as error:
                    self._keep_all(error)
                    return
                except Exception as error:
                    self._try_again_after(error)
        finally:
            self._imported.set()
            self._reach.heard()
            if self.stopped_by is not None and self._heart is not None:
                self._heart.stop()
            if transport is not None:
                transport.close()
            unmark_sender_thread()

    def _open_transport(self) -> Transport:
        from standpipe.http.transport import Transport

        try:
            return Transport(self._bootstrap, environment=self._environment)
        finally:
            self._imported.set()

    def _keep_all(self, error: PipesConfigurationError) -> None:
        """This environment gives no client. Another process may have one: what is reported waits for it on disk."""
        self.trouble = str(error)
        self.context.fail(error)
        self._shelter()
        self._pending.end_waiting()
        text = "Nothing is delivered to invocation %s at %s: %s Reports are kept, on disk if it takes them."
        _log.warning(text, self._bootstrap.invocation, self._bootstrap.url, error)

    def _try_again_after(self, error: Exception) -> None:
        """What nothing here expects is a failed attempt like any other."""
        with contextlib.suppress(Exception):
            answer = NoAnswer(reason=f"{type(error).__name__}: {text_of(error, most=LONGEST_REASON)}")
            self._course, decision = self._course.after_refusal(answer, **self._circumstances())
            if self._course.failures == 1:
                _log.error("The Standpipe outbox met an error and tries again.", exc_info=error)
            self._after_refusal(decision)
        # However it came about, no loop of it takes the processor.
        clock.sleep(SECONDS_AFTER_ERROR)

    def _turn(self, transport: Transport) -> None:
        """One look at what there is to do: the context, a batch, or nothing."""
        pause = self._course.next_attempt(hurried=self._try_now) - clock.monotonic()
        rested = pause <= 0
        if rested and self._wants_context and not self.context.settled and not self._opening_first:
            self._fetch_context(transport)
        elif self.superseded:
            self._pending.wait_for_work(None, new_messages=False)
        elif rested and (batch := self._pending.take(messages=self._batch_limit, size=self._batch_size)) is not None:
            self._send(transport, batch)
        elif not rested:
            self._pending.wait_for_work(pause, new_messages=False)
        else:
            self._pending.wait_for_work(None, new_messages=True)

    @property
    def _batch_limit(self) -> int:
        return max(1, min(self._course.batch_messages, self.limits.batch_messages))

    @property
    def _batch_size(self) -> int:
        return min(BATCH_BYTES, self.limits.body_bytes, self.limits.decompressed_bytes)

    def _fetch_context(self, transport: Transport) -> None:
        self._try_now = False
        answer = transport.get_context()
        self._hear_control(answer)
        if isinstance(answer, Answer) and is_context(answer):
            failures, self._course = self._course.failures, self._course.after_word()
            self._hear(answer, failures=failures)
            body = answer.body or {}
            limits, lease = body.get("limits"), body.get("lease")
            if isinstance(limits, dict):
                self.limits = Limits.from_wire(limits)
            seconds = lease.get("seconds") if isinstance(lease, dict) else None
            if isinstance(seconds, (int, float)) and seconds > 0:
                self._lease_seconds = clock.bounded(seconds)
                if self._heart is not None:
                    self._heart.start(lease_seconds=self._lease_seconds)
            try:
                self.context.give(ContextData.from_wire(body.get("context")))
            except InvalidContext as error:
                told = f"The server at {self._bootstrap.url} sent a context that cannot be read: {error}"
                self.context.fail(PipesServerError(told))
            return
        if self._may_be_late(answer):
            self._opening_first = True
            return
        self._course, decision = self._course.after_refusal(answer, **self._circumstances())
        self._after_refusal(decision)

    def _may_be_late(self, answer: Answer | NoAnswer) -> bool:
        """Whether the invocation may have succeeded without this process: its token reads the context again once the
        opening is stored."""
        hidden = isinstance(answer, Answer) and answer.problem is not None and answer.problem.name == "not-found"
        return hidden and self._pending.acknowledged == 0 and self._pending.numbered > 0

    def _send(self, transport: Transport, batch: Batch) -> None:
        first_seq, bodies = batch.first_seq, batch.bodies
        self._try_now = False
        answer = transport.append(
            b"\n".join(bodies) + b"\n",
            producer=self._producer,
            first_seq=first_seq,
            numbered=self._pending.numbered,
        )
        self._hear_control(answer)
        before = self._course
        self._course, decision = before.after_append(
            answer, first_seq=first_seq, count=len(bodies), **self._circumstances()
        )
        match decision:
            case Advance(through=through, rejections=rejections):
                for rejection in rejections:
                    self._note_rejection(rejection, bodies, first_seq)
                self._hear(answer, failures=before.failures)
                self._pending.acknowledge(through)
                self._opening_first = False
            case Split():
                pass  # the next batch is smaller
            case Replace(rejection=rejection):
                self._note_rejection(rejection, bodies, first_seq)
                self._pending.replace(first_seq, note_in_its_place(bodies[0], rejection.problem))
            case Retry() | Stop():
                self._after_refusal(decision)

    def _make_heart(self) -> Heart:
        return Heart(
            connect=self._open_transport,
            beat=lambda transport: transport.heartbeat(producer=self._producer, numbered=self._pending.numbered),
            last_word=lambda: self._last_word,
            hear=self._hear_control,
        )

    def _circumstances(self) -> _Circumstances:
        return {"now": clock.monotonic(), "jitter": random_part(), "hurried": self._hurried}

    def _hear(self, answer: Answer | NoAnswer, *, failures: int) -> None:
        """Takes note of an answer that came from the server itself."""
        self._last_word = clock.monotonic()
        self._hurried = False
        self._reach.heard()
        if failures:
            _log.info("The Standpipe server at %s answers again.", self._bootstrap.url)
        if self.superseded:
            return
        self.trouble = None
        if self._heart is not None:
            self._heart.start(lease_seconds=self._lease_seconds)

    def _hear_control(self, answer: Answer | NoAnswer) -> None:
        """Called by the heart, too."""
        wire = answer.body.get("control") if isinstance(answer, Answer) and answer.body is not None else None
        if isinstance(wire, dict):
            control = Control.from_wire(wire)
            if control.superseded and not self.superseded:
                self._stop_reporting()
            with self._telling:
                # Told first: whoever sees it here must find everything prepared for it.
                if control != self.control:
                    self._tell_control(control)
                self.control = control

    def on_control(self, callback: Callable[[Control], None] | None) -> None:
        """Calls back with each change; also with what was heard before this call."""
        with self._telling:
            self._on_control = callback
            if self.control != Control():
                self._tell_control(self.control)

    def _tell_control(self, control: Control) -> None:
        if self._on_control is not None:
            try:
                self._on_control(control)
            except Exception:
                _log.exception("The callback for a change of control failed.")

    def _after_refusal(self, decision: Retry | Stop) -> None:
        if isinstance(decision, Stop):
            self._give_up(decision)
            return
        if self.superseded:
            return
        self.trouble = decision.reason
        if self._course.outage_begins:
            self._shelter()
            self._reach.tell(decision.reason)

    def _shelter(self) -> None:
        # It may import the spool, for which a fork has to wait again.
        self._imported.clear()
        try:
            self._pending.shelter()
        finally:
            self._imported.set()

    def _stop_reporting(self) -> None:
        """A newer attempt has begun. What is queued is dropped: it would count for nothing."""
        self.superseded = True
        self.trouble = "a newer attempt has begun"
        if self._heart is not None:
            self._heart.stop()
        self._pending.refuse(self.trouble)
        if (spool := self._pending.abandon()) is not None:
            spool.discard()
        _log.warning(
            "A newer attempt of invocation %s at %s has begun. This process goes on and reports nothing more.",
            self._bootstrap.invocation,
            self._bootstrap.url,
        )

    def _give_up(self, stop: Stop) -> None:
        self.stopped_by = stop
        self.trouble = stop.reason
        self._pending.refuse(stop.reason)
        where = f"invocation {self._bootstrap.invocation} at {self._bootstrap.url}"
        self.context.fail(
            error_for_problem(
                stop.problem,
                message=f"The server refused {where}: {stop.reason.rstrip('.')}. {what_to_do(stop.problem)}",
            )
        )
        if not self.superseded:
            _log.warning("Nothing more is delivered to %s: %s.", where, stop.reason.rstrip("."))

    def _note_rejection(self, rejection: Rejection, bodies: tuple[bytes, ...], first_seq: int) -> None:
        # A retried batch tells the same rejections again.
        if any(known.seq == rejection.seq for known in self.rejections[-REMEMBERED_REJECTIONS:]):
            return
        if len(self.rejections) < REMEMBERED_REJECTIONS:
            self.rejections.append(rejection)
        index = rejection.seq - first_seq
        method = method_of(bodies[index]) if 0 <= index < len(bodies) else "message"
        problem = rejection.problem
        _log.warning("The server rejected message %d (%s): %s: %s", rejection.seq, method, problem.name, problem.detail)


if TYPE_CHECKING:
    from typing import TypedDict

    class _Circumstances(TypedDict):
        now: float
        jitter: float
        hurried: bool
