"""How an invocation ended. The first row of the protocol's table that fits gives the verdict; the reasons say why.

Never silently green: `succeeded` is what is left when nothing at all is missing or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from standpipe_protocol.invocation import VerdictName
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.state import Finish, InvocationState, ProducerState

_LISTED = 20
"""Reasons of one kind that are listed one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    name: VerdictName
    reasons: tuple[Mapping[str, JsonValue], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What was accepted, as far as the invocation's `expected` needs it."""

    materialized: frozenset[str] = frozenset()
    checked: frozenset[tuple[str, str]] = frozenset()


Reason = Mapping[str, JsonValue]


def decide_verdict(invocation: InvocationState, producers: Sequence[ProducerState], reported: Reported) -> Verdict:
    """The verdict of an invocation that ends now, or whose verdict is computed again."""
    failures = _failures(invocation.finish, producers)
    losses = _losses(invocation)
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


def make_receipt(invocation: InvocationState, producers: Sequence[ProducerState]) -> dict[str, JsonValue]:
    """The server's own count of what is stored."""
    by_method: dict[str, JsonValue] = {}
    for producer in producers:
        for method, count in producer.counts.items():
            so_far = by_method.get(method, 0)
            by_method[method] = count + (so_far if isinstance(so_far, int) else 0)
    return {
        "events": invocation.last_position,
        "rejected": sum(producer.rejected for producer in producers),
        "by_method": by_method,
        "producers": [
            {
                "producer": producer.name,
                "stored": producer.last_seq,
                "numbered": producer.numbered,
                "rejected": producer.rejected,
                "opened": producer.opened > 0,
                "closed": producer.is_closed,
                "ledger": producer.ledger or "none",
            }
            for producer in producers[:100]
        ],
    }


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


def _losses(invocation: InvocationState) -> list[Reason]:
    if not invocation.lease_lost:
        return []
    detail = f"The lease of {invocation.lease_seconds:g} s ran out with no word from the process."
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
        if producer.opened and not producer.is_closed:
            detail = (
                f"Producer {producer.name} opened and never closed; {producer.last_seq} of its messages are stored."
            )
            reasons.append({"code": "never-closed", "detail": detail, "producer": producer.name})
        if producer.numbered > producer.last_seq:
            first, last = producer.last_seq + 1, producer.numbered
            which = f"{first}" if first == last else f"{first}-{last}"
            detail = f"Producer {producer.name} numbered {last} messages; {which} never arrived."
            reasons.append({"code": "missing-tail", "detail": detail, "producer": producer.name})
        if producer.ledger not in (None, "agrees"):
            detail = f"The ledger of producer {producer.name} disagrees with what is stored. {producer.ledger}"
            reasons.append({"code": "ledger-disagrees", "detail": detail, "producer": producer.name})
    return _listed(reasons) + _listed(_missing(invocation, producers, reported))


def _missing(invocation: InvocationState, producers: Sequence[ProducerState], reported: Reported) -> list[Reason]:
    expected = invocation.expected
    reasons: list[Reason] = [
        {"code": "missing-materialization", "detail": f"Asset {key!r} was not materialized.", "asset_key": key}
        for key in expected.asset_keys
        if key not in reported.materialized
    ]
    reasons += [
        {
            "code": "missing-check",
            "detail": f"Check {check.check_name!r} of asset {check.asset_key!r} was not reported.",
            "asset_key": check.asset_key,
            "check_name": check.check_name,
        }
        for check in expected.checks
        if (check.asset_key, check.check_name) not in reported.checked
    ]
    if expected.custom_messages is not None:
        method = "report_custom_message"
        received = sum(p.counts.get(method, 0) - p.rejected_counts.get(method, 0) for p in producers)
        if received < expected.custom_messages:
            detail = f"{expected.custom_messages} custom messages were expected, {received} were reported."
            reasons.append({"code": "missing-custom-messages", "detail": detail})
    return reasons


def _listed(reasons: list[Reason]) -> list[Reason]:
    if len(reasons) <= _LISTED:
        return reasons
    rest = len(reasons) - _LISTED
    return [*reasons[:_LISTED], {"code": "more", "detail": f"And {rest} more reasons like these."}]
