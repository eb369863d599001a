"""How an invocation ended. The first row of the protocol's table that fits gives the verdict; the reasons say why.

Never silently green: `succeeded` is what is left when nothing at all is missing or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from standpipe_protocol.invocation import VerdictName
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.ledgers import AGREES
from standpipe_server.broker.progress import Reported, progress_of
from standpipe_server.broker.receipt import describe, silent_since
from standpipe_server.broker.state import Finish, InvocationState, ProducerState

_LISTED = 20
"""Reasons of one kind that are listed one by one; the rest is counted."""
_NAMED_SILENT = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    name: VerdictName
    reasons: tuple[Mapping[str, JsonValue], ...]


Reason = Mapping[str, JsonValue]


def decide_verdict(invocation: InvocationState, producers: Sequence[ProducerState], reported: Reported) -> Verdict:
    """The verdict of an invocation that ends now, or whose verdict is computed again."""
    failures = _failures(invocation.finish, producers)
    losses = _losses(invocation, producers)
    gaps = _gaps(invocation, producers, reported)
    if invocation.cancel_requested_at is not None and (failures or losses or gaps):
        asked: Reason = {"code": "cancel-requested", "detail": "Cancel was requested before the process had closed."}
        return Verdict("cancelled", (asked, *failures, *losses, *gaps))
    if failures:
        return Verdict("failed", (*failures, *losses, *gaps))
    if losses:
        return Verdict("lost", (*losses, *gaps))
    if gaps:
        return Verdict("incomplete", tuple(gaps))
    return Verdict("succeeded", ())


def _failures(finish: Finish | None, producers: Sequence[ProducerState]) -> list[Reason]:
    reasons: list[Reason] = []
    for producer in producers:
        if producer.exception is not None:
            message = str(producer.exception.get("message", "")).strip()
            detail = f"The process closed with an exception: {message[:2000]}"
            reasons.append(
                {
                    "code": "exception",
                    "detail": detail,
                    "producer": producer.name,
                    "exception": dict(producer.exception),
                }
            )
    if finish is not None and finish.exit_code not in (None, 0):
        detail = f"The process ended with exit code {finish.exit_code}."
        if finish.reason:
            detail += f" The end of what it said: {finish.reason}"
        reasons.append({"code": "exit-code", "detail": detail, "exit_code": finish.exit_code, "end": finish.reason})
    for producer in producers:
        if producer.rejected:
            noun = "message was" if producer.rejected == 1 else "messages were"
            detail = f"{producer.rejected} {noun} rejected; the first at {producer.first_rejection}"
            reasons.append({"code": "rejected-messages", "detail": detail, "producer": producer.name})
    return _listed(reasons)


def _losses(invocation: InvocationState, producers: Sequence[ProducerState]) -> list[Reason]:
    if not invocation.lease_lost:
        return []
    detail = f"The lease of {invocation.lease_seconds:g} s ran out with no word from the process."
    still_open = sorted(
        (producer for producer in producers if producer.is_open), key=lambda producer: producer.heard_at or 0
    )
    if still_open:
        silent = [f"{describe(producer)}{silent_since(producer)}" for producer in still_open[:_NAMED_SILENT]]
        rest = f"; and {len(still_open) - _NAMED_SILENT} more" if len(still_open) > _NAMED_SILENT else ""
        detail += f" Open was {'; '.join(silent)}{rest}."
    return [{"code": "lease-expired", "detail": detail}]


def _gaps(invocation: InvocationState, producers: Sequence[ProducerState], reported: Reported) -> list[Reason]:
    reasons: list[Reason] = []
    finish = invocation.finish
    if finish is not None and finish.launched is False:
        detail = "The process was never launched." + (f" {finish.reason}" if finish.reason else "")
        reasons.append({"code": "not-launched", "detail": detail})
    elif not any(producer.opened for producer in producers):
        detail = "The process never opened: no `opened` message was received."
        if finish is not None and finish.reason and finish.exit_code in (None, 0):
            detail += f" The launcher said: {finish.reason}"
        reasons.append({"code": "never-opened", "detail": detail})
    for producer in producers:
        if producer.is_open:
            detail = (
                f"{_capital(describe(producer))} opened and never closed{silent_since(producer)}; "
                f"{producer.last_seq} of its messages are stored."
            )
            reasons.append({"code": "never-closed", "detail": detail, "producer": producer.name})
        if producer.numbered > producer.last_seq:
            first, last = producer.last_seq + 1, producer.numbered
            which = f"{first}" if first == last else f"{first}-{last}"
            detail = f"{_capital(describe(producer))} numbered {last} messages; {which} never arrived."
            reasons.append({"code": "missing-tail", "detail": detail, "producer": producer.name})
        if producer.ledger not in (None, AGREES):
            detail = f"The ledger of {describe(producer)} disagrees with what is stored. {producer.ledger}"
            reasons.append({"code": "ledger-disagrees", "detail": detail, "producer": producer.name})
    return _listed(reasons) + _listed(_missing(invocation, producers, reported))


def _missing(invocation: InvocationState, producers: Sequence[ProducerState], reported: Reported) -> list[Reason]:
    progress = progress_of(invocation.expected, reported, producers)
    reasons: list[Reason] = [
        {"code": "missing-materialization", "detail": f"Asset {key!r} was not materialized.", "asset_key": key}
        for key in progress.missing_asset_keys
    ]
    reasons += [
        {
            "code": "missing-check",
            "detail": f"Check {check.check_name!r} of asset {check.asset_key!r} was not reported.",
            "asset_key": check.asset_key,
            "check_name": check.check_name,
        }
        for check in progress.missing_checks
    ]
    expected, received = progress.expected_custom_messages, progress.custom_messages
    if received < expected:
        detail = f"{expected} custom messages were expected, {received} were reported."
        reasons.append({"code": "missing-custom-messages", "detail": detail})
    return reasons


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(reasons: list[Reason]) -> list[Reason]:
    if len(reasons) <= _LISTED:
        return reasons
    rest = len(reasons) - _LISTED
    return [*reasons[:_LISTED], {"code": "more", "detail": f"And {rest} more reasons like these."}]
