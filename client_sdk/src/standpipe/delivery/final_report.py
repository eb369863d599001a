"""The end of an outbox: what is undelivered goes to disk, and what became of everything is said once, in one sentence.

The invariant: the report accounts for every message that got a number.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from standpipe.http.decisions import DeliveryReport

if TYPE_CHECKING:
    from standpipe.delivery.message_queue import Pending
    from standpipe.delivery.sender import Sender
    from standpipe_protocol.bootstrap import Bootstrap

_log = logging.getLogger("standpipe.outbox")


def settle(pending: Pending, sender: Sender, *, bootstrap: Bootstrap, producer: str, otherwise: str) -> DeliveryReport:
    """Spools what is undelivered (what was refused for good is set aside) and writes the report.

    Args:
        otherwise: why not everything is delivered, where the sender knows of no trouble.
    """
    report = DeliveryReport(
        producer=producer,
        numbered=pending.numbered,
        acknowledged=pending.acknowledged,
        rejected=tuple(sender.rejections),
        dropped=pending.dropped,
        dropped_logs=pending.dropped_logs,
    )
    if report.undelivered == 0:
        pending.spill()  # deletes an emptied file
        return report
    if sender.superseded:
        # It was said when it came, and is over.
        return replace(report, error=sender.trouble)
    where = f"invocation {bootstrap.invocation} at {bootstrap.url}"
    reason = (sender.trouble or otherwise).rstrip(".")
    if sender.stopped_by is not None:
        kept = _set_aside(pending, reason)
        _log.warning("%d messages of %s were not delivered: %s.%s", report.undelivered, where, reason, kept)
        return replace(report, error=reason)
    try:
        spool, spooled = pending.spill()
    except Exception as error:
        _log.warning(
            "%d messages of %s are lost: %s, and the spool file cannot be written: %s",
            report.undelivered,
            where,
            reason,
            error,
        )
        return replace(report, error=f"{reason}; the spool file could not be written: {error}")
    report = replace(report, acknowledged=pending.acknowledged)
    if spool is None:
        # The last acknowledgement came in after all.
        return report
    spool.release()
    _log.warning(
        "%d messages of %s could not be delivered (%s). They are kept in %s; `standpipe deliver` sends them.",
        spooled,
        where,
        reason,
        spool.path,
    )
    lost = report.numbered - report.acknowledged - spooled
    if lost:
        _log.warning("%d more messages of %s are lost: the spool file takes no more.", lost, where)
    return replace(report, spooled=spooled, spool_file=str(spool.path), error=reason)


def _set_aside(pending: Pending, reason: str) -> str:
    """What is on disk already and can never be delivered moves out of the way; answers a sentence that says where."""
    spool = pending.abandon()
    if spool is None:
        return ""
    from standpipe.spool.set_aside import set_aside

    try:
        return f" Those that were on disk are in {set_aside(spool.path, reason)}."
    except Exception as error:
        return f" Those that were on disk are in {spool.path}, which could not be set aside: {error}."
