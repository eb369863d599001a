"""`strict=True`: a report returns when the server has stored it, or raises.

The outbox stores, retries and spools as ever. The invariant: a report that returned is stored and was not rejected, and
so is everything when `close` returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from standpipe.errors import PipesNotDelivered, PipesServerUnreachable, error_for_problem
from standpipe_protocol.messages import Closed, Log, LogExternalStream, Message, Opened

if TYPE_CHECKING:
    from typing import Protocol

    from standpipe.delivery.message_queue import MessageQueue
    from standpipe.delivery.sender import Sender
    from standpipe.delivery_report import DeliveryReport
    from standpipe_protocol.bootstrap import Bootstrap

    class Outbox(Protocol):
        """The parts of the outbox that this reads."""

        bootstrap: Bootstrap
        queue: MessageQueue
        sender: Sender

        @property
        def close_seconds(self) -> float: ...

        def flush(self, timeout: float) -> bool: ...


# A log line is worth no round trip; the next report waits for it too. Nor is the opening, which the program did not
# ask for, and `close` waits for what it sends.
_NOT_CONFIRMED = (Log, LogExternalStream, Opened, Closed)


class Confirmation:
    """What a strict outbox does after each call."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._raised_rejections = 0
        self._raised_dropped = 0
        self._raises_at_close = True

    def after_send(self, message: Message) -> None:
        """Waits until the message is stored; not once a newer attempt has begun. Raises PipesServerUnreachable when the
        server has not confirmed it in time (it is tried again), and a PipesProblem when it refuses everything, or has
        rejected this message or an earlier one."""
        outbox, sender = self._outbox, self._outbox.sender
        if isinstance(message, Closed) and message.exception is not None:
            # The program has failed already; an error of the delivery must not cover that.
            self._raises_at_close = False
        if isinstance(message, _NOT_CONFIRMED) or sender.superseded:
            return
        dropped, self._raised_dropped = outbox.queue.dropped > self._raised_dropped, outbox.queue.dropped
        if dropped or not outbox.flush(outbox.close_seconds):
            if not sender.superseded:
                raise _undelivered(outbox, method=message.method)
        elif rejections := sender.rejections[self._raised_rejections :]:
            self._raised_rejections += len(rejections)
            first = rejections[0]
            text = f"Calling `{message.method}`: the server rejected message {first.seq}: {first.problem.detail}"
            raise error_for_problem(first.problem, message=text)

    def after_close(self, report: DeliveryReport) -> None:
        """Raises PipesNotDelivered, once, where something is undelivered or was rejected; not where the program itself
        has failed."""
        if not report.complete and self._raises_at_close and not self._outbox.sender.superseded:
            self._raises_at_close = False
            raise PipesNotDelivered(_sentence(report), report=report)


def _undelivered(outbox: Outbox, *, method: str) -> Exception:
    where = f"invocation {outbox.bootstrap.invocation} at {outbox.bootstrap.url}"
    trouble = (outbox.sender.trouble or "no answer").rstrip(".")
    if (stop := outbox.sender.stopped_by) is not None:
        return error_for_problem(stop.problem, message=f"Calling `{method}`: {where} takes nothing: {trouble}.")
    return PipesServerUnreachable(
        f"Calling `{method}`: {where} has not confirmed it within {outbox.close_seconds:g} s ({trouble}). It is kept "
        "and tried again; without `strict=True` the program would go on."
    )


def _sentence(report: DeliveryReport) -> str:
    parts = [f"Of {report.numbered + report.dropped} messages {report.acknowledged} are stored"]
    if report.spooled:
        parts.append(f"{report.spooled} are kept in {report.spool_file} for `standpipe deliver`")
    if report.rejected:
        parts.append(f"{len(report.rejected)} were rejected, message {report.rejected[0].seq} first")
    if report.dropped_logs:
        parts.append(f"{report.dropped_logs} log lines were dropped")
    reason = f" ({report.error.rstrip('.')})" if report.error else ""
    return f"{', '.join(parts)}{reason}."
