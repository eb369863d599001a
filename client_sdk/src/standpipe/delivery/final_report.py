"""The end of an outbox: undelivered messages go to disk, and one report says what became of each.

The invariant: the report accounts for every message that got a number.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from standpipe.delivery_report import DeliveryReport

if TYPE_CHECKING:
    from standpipe.delivery.message_queue import MessageQueue
    from standpipe.delivery.sender import Sender
    from standpipe_protocol.bootstrap import Bootstrap

_log = logging.getLogger("standpipe.outbox")


def make_final_report(
    queue: MessageQueue, sender: Sender, *, bootstrap: Bootstrap, producer: str, default_reason: str
) -> DeliveryReport:
    """Spools what is undelivered (what was refused for good is set aside) and makes the report; `default_reason` is its
    error where the sender knows of no trouble."""
    report = DeliveryReport(
        producer=producer,
        numbered=queue.numbered,
        acknowledged=queue.acknowledged,
        rejected=tuple(sender.rejections),
        dropped=queue.dropped,
        dropped_logs=queue.dropped_logs,
    )
    if report.undelivered == 0:
        queue.spool_all()  # deletes an emptied file
        return report
    if sender.superseded:
        # The warning was logged when the newer attempt began.
        return replace(report, error=sender.trouble)
    where = f"invocation {bootstrap.invocation} at {bootstrap.url}"
    reason = (sender.trouble or default_reason).rstrip(".")
    if sender.stopped_by is not None:
        place = _set_aside(queue, reason)
        _log.warning("%d messages of %s were not delivered: %s.%s", report.undelivered, where, reason, place)
        return replace(report, error=reason)
    try:
        spool, spooled = queue.spool_all()
    except Exception as error:
        text = "%d messages of %s are lost: %s, and the spool file cannot be written: %s"
        _log.warning(text, report.undelivered, where, reason, error)
        return replace(report, error=f"{reason}; the spool file could not be written: {error}")
    report = replace(report, acknowledged=queue.acknowledged)
    if spool is None:
        # The last acknowledgement has arrived in between.
        return report
    spool.release()
    text = "%d messages of %s could not be delivered (%s). They are kept in %s; `standpipe deliver` sends them."
    _log.warning(text, spooled, where, reason, spool.path)
    lost = report.numbered - report.acknowledged - spooled
    if lost:
        _log.warning("%d more messages of %s are lost: the spool file takes no more.", lost, where)
    return replace(report, spooled=spooled, spool_file=str(spool.path), error=reason)


def _set_aside(queue: MessageQueue, reason: str) -> str:
    """Moves what is on disk and can never be delivered out of the way; returns a sentence that says where it is."""
    spool = queue.abandon_spool()
    if spool is None:
        return ""
    from standpipe.spool.set_aside import set_aside

    try:
        return f" Those that were on disk are in {set_aside(spool.path, reason)}."
    except Exception as error:
        return f" Those that were on disk are in {spool.path}, which could not be set aside: {error}."
