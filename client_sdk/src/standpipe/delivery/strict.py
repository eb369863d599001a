"""For those who would rather fail: a report returns when the server has it, or raises.

In front of an outbox, which goes on keeping, retrying and spooling as ever. The invariant: a report that returned is
stored and was not rejected, and so is everything when `close` returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from standpipe.errors import PipesNotDelivered, PipesServerUnreachable, error_for_problem
from standpipe_protocol.messages import Closed, Log, LogExternalStream, Message, Opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from standpipe.delivery.outbox import Outbox
    from standpipe.http.decisions import DeliveryReport
    from standpipe_protocol.invocation import Control

# A line of a log is worth no round trip; the next report waits for it too. Nor is the opening, which the program did
# not ask for by itself, and `close` waits for what it sends.
_NOT_WAITED_FOR = (Log, LogExternalStream, Opened, Closed)


class StrictChannel:
    """The channel of a context that was opened with `strict=True`."""

    def __init__(self, outbox: Callable[[], Outbox]) -> None:
        self._outbox = outbox
        self._told_rejections = 0
        self._told_dropped = 0
        self._told_end = False

    @property
    def control(self) -> Control:
        return self._outbox().control

    def send(self, message: Message) -> None:
        """Sends and waits. Once a newer attempt has begun nothing is asked of this one any more.

        Raises:
            PipesServerUnreachable: the server has not confirmed it in time. It is kept, and tried again.
            PipesProblem: the server refuses everything, or has rejected this message or an earlier one.
        """
        outbox = self._outbox()
        outbox.send(message)
        if isinstance(message, Closed) and message.exception is not None:
            # The program has failed already, and what it failed with is not to be covered.
            self._told_end = True
        if isinstance(message, _NOT_WAITED_FOR) or outbox.superseded:
            return
        seconds = outbox.close_seconds
        dropped, self._told_dropped = outbox.dropped > self._told_dropped, outbox.dropped
        if dropped or not outbox.flush(seconds):
            if outbox.superseded:
                return
            raise _undelivered(outbox, method=message.method, seconds=seconds)
        rejections = outbox.rejections[self._told_rejections :]
        if rejections:
            self._told_rejections += len(rejections)
            first = rejections[0]
            raise error_for_problem(
                first.problem,
                message=f"Calling `{message.method}`: the server rejected message {first.seq}: {first.problem.detail}",
            )

    def flush(self, timeout: float) -> bool:
        return self._outbox().flush(timeout)

    def close(self, timeout: float | None = None) -> DeliveryReport:
        """Closes the outbox.

        Raises:
            PipesNotDelivered: something is undelivered or was rejected; raised once, and not where the program itself
                has failed.
        """
        outbox = self._outbox()
        report = outbox.close(timeout)
        if report.complete or self._told_end or outbox.superseded:
            return report
        self._told_end = True
        raise PipesNotDelivered(_told(report), report=report)


def _undelivered(outbox: Outbox, *, method: str, seconds: float) -> PipesServerUnreachable | Exception:
    where = f"invocation {outbox.bootstrap.invocation} at {outbox.bootstrap.url}"
    trouble = (outbox.trouble or "no answer").rstrip(".")
    if outbox.refusal is not None:
        return error_for_problem(outbox.refusal, message=f"Calling `{method}`: {where} takes nothing: {trouble}.")
    return PipesServerUnreachable(
        f"Calling `{method}`: {where} has not confirmed it within {seconds:g} s ({trouble}). It is kept and tried "
        "again; without `strict=True` the program would go on."
    )


def _told(report: DeliveryReport) -> str:
    parts = [f"Of {report.numbered + report.dropped} messages {report.acknowledged} are stored"]
    if report.spooled:
        parts.append(f"{report.spooled} are kept in {report.spool_file} for `standpipe deliver`")
    if report.rejected:
        parts.append(f"{len(report.rejected)} were rejected, message {report.rejected[0].seq} first")
    if report.dropped_logs:
        parts.append(f"{report.dropped_logs} log lines were dropped")
    reason = f" ({report.error.rstrip('.')})" if report.error else ""
    return f"{', '.join(parts)}{reason}."
