"""How an invocation ended. The first row of the protocol's table that fits gives the verdict; the reasons say why.

Never silently green: `succeeded` is what is left when nothing at all is missing or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from standpipe_protocol.invocation import VerdictName
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle.attempts import describe_attempt
from standpipe_server.broker.lifecycle.end_reports import (
    EndReport,
    current_end_reports,
    describe_cause,
    describe_exit_code,
)
from standpipe_server.broker.outcome.expected_progress import Reported, progress_of
from standpipe_server.broker.outcome.receipt import AGREES, describe, is_complete, silent_since
from standpipe_server.broker.values.state import InvocationState, ProducerState

_LISTED = 20
"""Reasons of one kind that are listed one by one; the rest is counted."""
_NAMED_SILENT = 3
_LAUNCHER = "launcher"


Reason = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Verdict:
    name: VerdictName
    reasons: tuple[Reason, ...]
    judged_by: str | None = None
    """`launcher` where no process opened and none had to."""
    notes: tuple[Reason, ...] = ()
    """What is known besides and makes nothing red."""


def decide_verdict(
    invocation: InvocationState,
    producers: Sequence[ProducerState],
    reported: Reported,
    *,
    refused: Reason | None = None,
) -> Verdict:
    """The verdict of an invocation that ends now, or gets its verdict computed again.

    `refused` is the reason for requests that were refused, so that their messages are not stored.
    """
    current = [producer for producer in producers if not producer.superseded]
    reports = current_end_reports(invocation, producers)
    terminated = _terminated_children(current)
    judged_by = _LAUNCHER if is_judged_by_launcher(invocation, producers, reports) else None
    failures = _failures(reports, current, terminated)
    stopped = _stopped(reports, current, terminated)
    losses = _losses(invocation, current)
    gaps = _gaps(invocation, producers, reported, reports=reports, judged_by_launcher=judged_by is not None)
    name: VerdictName = "succeeded"
    if refused is not None:
        gaps = [refused, *gaps]
    reasons: list[Reason] = [*failures, *stopped, *losses, *gaps]
    if invocation.cancel_requested_at is not None and reasons:
        asked: Reason = {"code": "cancel-requested", "detail": "Cancel was requested before the process had closed."}
        name, reasons = "cancelled", [asked, *reasons]
    elif failures:
        name = "failed"
    elif stopped:
        name = "cancelled"
    elif losses:
        name = "lost"
    elif gaps:
        name = "incomplete"
    return Verdict(name, tuple(reasons), judged_by, tuple(_notes(producers, reports, terminated)))


def is_judged_by_launcher(
    invocation: InvocationState, producers: Sequence[ProducerState], reports: Sequence[EndReport] | None = None
) -> bool:
    """Whether the launcher's word takes the place of that of a process: none has opened, and none had to."""
    if not invocation.pipes_optional or any(producer.is_process for producer in producers):
        return False
    reports = current_end_reports(invocation, producers) if reports is None else reports
    return any(report.has_end for report in reports)


def _failures(
    reports: Sequence[EndReport], producers: Sequence[ProducerState], terminated: Mapping[str, ProducerState]
) -> list[Reason]:
    reasons: list[Reason] = []
    details: list[JsonValue] = []
    explained = any(report.explains_signal for report in reports)
    for producer in producers:
        if producer.exception is None or producer.name in terminated:
            continue
        reason = _exception_reason(producer)
        if explained and producer.lineage.close_signal is not None:
            details.append(reason)
        else:
            reasons.append(reason)
    for report in reports:
        if (code := report.exit_code) is not None and not report.explains_exit_code:
            reasons.append(_exit_code_reason(report, code))
    for report in reports:
        if report.finish.outcome == "failed":
            reasons.append(_failed_reason(report, details))
    for producer in producers:
        if producer.rejected:
            noun = "message was" if producer.rejected == 1 else "messages were"
            detail = f"{producer.rejected} {noun} rejected; the first at {producer.first_rejection}"
            reasons.append({"code": "rejected-messages", "detail": detail, "producer": producer.name})
    return _listed(reasons)


def _exception_reason(producer: ProducerState) -> dict[str, JsonValue]:
    exception = dict(producer.exception or {})
    message = str(exception.get("message", "")).strip()
    detail = f"The process closed with an exception: {message[:2000]}"
    return {"code": "exception", "detail": detail, "producer": producer.name, "exception": exception}


def _exit_code_reason(report: EndReport, code: int) -> Reason:
    detail = f"The process {describe_exit_code(code)}."
    if report.finish.outcome != "failed" and report.finish.cause is not None:
        detail += f" {describe_cause(report.finish.cause)}"
    if report.finish.reason:
        detail += f" The end of what it said: {report.finish.reason}"
    return {"code": "exit-code", "detail": detail, "exit_code": code, "end": report.finish.reason}


def _failed_reason(report: EndReport, details: list[JsonValue]) -> Reason:
    finish = report.finish
    detail = f"{report.speaker} says that the work failed."
    if finish.cause is not None:
        detail = describe_cause(finish.cause)
    if finish.reason and finish.exit_code in (None, 0):
        detail += f" {report.speaker} added: {finish.reason}"
    reason: dict[str, JsonValue] = {"code": "outcome-failed", "detail": detail}
    if finish.cause is not None:
        reason |= {"code": finish.cause.code, "cause": finish.cause.to_wire()}
    return reason | ({"details": details} if details else {})


def _stopped(
    reports: Sequence[EndReport], producers: Sequence[ProducerState], terminated: Mapping[str, ProducerState]
) -> list[Reason]:
    """What a launcher says of an end from outside; a process that closed complete and clean all the same is done."""
    clean = all(producer.exception is None or producer.name in terminated for producer in producers)
    is_done = clean and is_complete(producers)
    reasons: list[Reason] = []
    for report in reports:
        if report.finish.outcome != "cancelled" or (is_done and report.exit_code is None):
            continue
        detail, cause = f"{report.speaker} says that the work was stopped from outside.", report.finish.cause
        if cause is not None:
            detail += f" {describe_cause(cause)}"
        signalled = [each for each in producers if each.exception is not None and each.lineage.close_signal is not None]
        details: list[JsonValue] = [*map(_exception_reason, signalled[:_LISTED])]
        code = report.exit_code
        if code is not None and report.explains_exit_code:
            detail += f" The process {describe_exit_code(code)}."
        if report.finish.reason:
            detail += f" {report.speaker} added: {report.finish.reason}"
        reason: dict[str, JsonValue] = {"code": "stopped-outside", "detail": detail}
        reason |= {"exit_code": code} if code is not None else {}
        reason |= {"cause": cause.to_wire()} if cause is not None else {}
        reasons.append(reason | ({"details": details} if details else {}))
    return _listed(reasons)


def _terminated_children(producers: Sequence[ProducerState]) -> Mapping[str, ProducerState]:
    """Children that SIGTERM ended, with all messages stored and a parent that closed clean afterwards.

    A pool ends its idle workers so when its work is done.
    """
    by_name = {producer.name: producer for producer in producers}
    terminated: dict[str, ProducerState] = {}
    for producer in producers:
        lineage = producer.lineage
        parent = by_name.get(lineage.parent or "")
        # A supervisor is no parent whose work was done: it only watches.
        if lineage.close_signal != "SIGTERM" or parent is None or not parent.is_process:
            continue
        if not is_complete([producer], opened=False):
            continue
        closed, parent_closed = lineage.closed_position, parent.lineage.closed_position
        clean = parent.is_closed and parent.exception is None
        if clean and closed is not None and parent_closed is not None and closed < parent_closed:
            terminated[producer.name] = producer
    return terminated


def _notes(
    producers: Sequence[ProducerState], reports: Sequence[EndReport], terminated: Mapping[str, ProducerState]
) -> list[Reason]:
    notes: list[Reason] = []
    superseded = [producer for producer in producers if producer.superseded]
    if superseded:
        detail = (
            "1 process belongs to an attempt that a newer one replaced: it does not count for the verdict."
            if len(superseded) == 1
            else f"{len(superseded)} processes belong to attempts that newer ones replaced: they do not count for the "
            "verdict."
        )
        notes.append({"code": "superseded", "detail": detail})
    for producer in terminated.values():
        detail = (
            f"SIGTERM ended {describe(producer)}. All it numbered is stored, and its parent closed clean afterwards."
        )
        notes.append({"code": "child-terminated", "detail": detail, "producer": producer.name})
    if any(report.not_launched for report in reports) and any(producer.is_process for producer in producers):
        detail = "The launcher said that nothing was launched, and a process opened all the same."
        notes.append({"code": "opened-all-the-same", "detail": detail})
    return _listed(notes)


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


def _gaps(
    invocation: InvocationState,
    producers: Sequence[ProducerState],
    reported: Reported,
    *,
    reports: Sequence[EndReport],
    judged_by_launcher: bool,
) -> list[Reason]:
    reasons: list[Reason] = []
    current = [producer for producer in producers if not producer.superseded]
    not_launched = [report for report in reports if report.not_launched]
    has_opened = any(producer.is_process for producer in current)
    launched_nothing = bool(not_launched) and not any(producer.is_process for producer in producers)
    if launched_nothing:
        reasons.append(_not_launched_reason(not_launched[0]))
    for report in reports:
        if report.finish.outcome == "unknown":
            reasons.append(_unknown_reason(report))
    for producer in current:
        if producer.lineage.late:
            detail = f"{_capital(describe(producer))} opened after the invocation had ended as succeeded."
            reasons.append({"code": "late-producer", "detail": detail, "producer": producer.name})
    if not (has_opened or launched_nothing or judged_by_launcher):
        reasons.append(_never_opened_reason(invocation, producers, reports))
    for producer in current:
        if producer.is_open:
            missing = "never reported the end of its process" if producer.is_supervisor else "never closed"
            detail = (
                f"{_capital(describe(producer))} opened and {missing}{silent_since(producer)}; "
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
    return _listed(reasons) + _listed(_missing(invocation, current, reported))


def _not_launched_reason(report: EndReport) -> Reason:
    detail = "The process was never launched."
    if report.finish.cause is not None:
        detail += f" {describe_cause(report.finish.cause)}"
    if report.finish.reason:
        detail += f" {report.finish.reason}"
    return {"code": "not-launched", "detail": detail} | _cause_of(report)


def _unknown_reason(report: EndReport) -> Reason:
    detail = f"The process ended, and {report.speaker[:1].lower()}{report.speaker[1:]} does not know how."
    if report.finish.cause is not None:
        detail += f" {describe_cause(report.finish.cause)}"
    if report.finish.reason:
        detail += f" {report.finish.reason}"
    return {"code": "unknown", "detail": detail} | _cause_of(report)


def _cause_of(report: EndReport) -> dict[str, JsonValue]:
    cause = report.finish.cause
    return {} if cause is None else {"cause": cause.to_wire()}


def _never_opened_reason(
    invocation: InvocationState, producers: Sequence[ProducerState], reports: Sequence[EndReport]
) -> Reason:
    detail = "The process never opened: no `opened` message was received."
    if any(producer.is_process for producer in producers):
        newest = describe_attempt(invocation.attempts.newest if invocation.attempts is not None else ())
        detail = f"No process of attempt {newest} opened; those that did belong to older attempts."
    elif invocation.pipes_optional:
        detail = "No process opened, and the launcher told neither an outcome nor an exit code."
    for report in reports:
        if report.finish.reason and report.finish.exit_code in (None, 0):
            detail += f" {report.speaker} said: {report.finish.reason}"
            break
    return {"code": "never-opened", "detail": detail}


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
