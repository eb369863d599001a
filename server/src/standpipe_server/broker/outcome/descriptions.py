"""How an invocation stands and what happened to it, in words: the one place for pages, terminal and programs. Pure.

Invariant: a description repeats what the members beside it hold, and a member that is masked is masked in it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.words import attempt_words, counted, end_details, end_words

_STATES: Final = ("submitted", "queued", "starting", "running")
_REASONS_TOLD, _NAMES_TOLD, _LINE_CHARACTERS = 3, 10, 200
_OUTPUT_FOLLOWS = " The end of what it said: "
_PLACES: Final = (("platform", "on "), ("job_id", "job "), ("node", "node "), ("image", "image "), ("url", ""))
_NAMES_END: Final = re.compile(r":(?=\s|$)|\n")
_CHANGES: Final = {
    "cancel-requested": "asked to stop",
    "lease-expired": "the lease ran out",
    "revised": "judged again",
    "revived": "heard again, and running again",
    "unpinned": "no longer pinned",
}
_DESCRIBED: Final = {
    "launch": frozenset({"state", "platform", "job_id", "node", "image", "url", "attempt"}),
    "attempt": frozenset({"attempt", "number", "name"}),
    "superseded": frozenset({"producers", "count"}),
    "finished": frozenset({"outcome", "exit_code", "launched"}),
    "refused": frozenset({"problem", "status", "length", "more"}),
    "refusal-taken-back": frozenset({"standing"}),
}
"""The members that a change's description holds."""


def waiting_state(*, status: str, platform: Mapping[str, JsonValue] | None, heard_at: str | None) -> str | None:
    """What the launcher says of work of which no process has opened, or none of its newest attempt; else None."""
    if platform is None or platform.get("state") not in _STATES:
        return None
    state = str(platform["state"])
    if status == "registered":
        return state
    is_new = bool(platform.get("attempt")) and state != "running" and (not heard_at or heard_at < str(platform["at"]))
    return state if status == "running" and is_new else None


def stages_of(
    platform: Mapping[str, JsonValue] | None, *, opened_at: str | None, ended_at: str | None
) -> list[dict[str, JsonValue]]:
    """Queue time, start and run of the newest attempt, as far as they are known, in order; an open end is None."""
    if platform is None:
        return []
    submitted, queued, starting, running = (platform.get(f"{state}_at") for state in _STATES)
    # When a process opened says nothing of an attempt after the first.
    running = running or (None if platform.get("attempt") else opened_at)
    stages = (
        ("queued", submitted or queued, starting or running or ended_at),
        ("starting", starting, running or ended_at),
        ("running", running, ended_at),
    )
    return [{"name": name, "begin": begin, "end": end} for name, begin, end in stages if begin]


def judge_of(*, judged_by: str | None, exit_code: int | None) -> str | None:
    """What a verdict rests on where no process reported; None where one did."""
    if judged_by is None:
        return None
    return "by exit code" if exit_code is not None else f"by {judged_by}"


def describe_invocation(wire: Mapping[str, Any], *, reasons: Sequence[JsonObject], platform: JsonObject | None) -> str:
    """How it stands, in a sentence or two.

    Args:
        wire: other members of the invocation: `status`, `verdict`, `cancel_requested`, `pipes`, `judged_by`,
            `outcome`, `exit_code`, `heard_at`.
    """
    waiting = waiting_state(status=wire["status"], platform=platform, heard_at=wire["heard_at"])
    if waiting is not None and platform is not None and not wire["cancel_requested"]:
        return _describe_waiting(platform, waiting, needs_process=wire["pipes"] != "optional")
    if wire["status"] == "registered":
        return "Waiting for the external process to open."
    if wire["status"] == "running":
        return "Asked to stop; the process has not ended yet." if wire["cancel_requested"] else "Running."
    if wire["verdict"] == "succeeded" and wire["judged_by"] is not None:
        end = end_words({"outcome": wire["outcome"], "exit_code": wire["exit_code"]})
        because = f" ({end})" if end else ""
        return f"No process reported, and none had to: the launcher's word is the verdict{because}."
    if wire["verdict"] == "succeeded":
        return "The process closed cleanly, every numbered event is stored, and everything expected was reported."
    phrases = [_reason_phrase(reason) for reason in reasons[:_REASONS_TOLD]]
    if (more := len(reasons) - _REASONS_TOLD) > 0:
        phrases.append(f"{counted(more, 'more reason')} below")
    text = "; ".join(phrases)
    return f"{text[:1].upper()}{text[1:]}" or "No reason was given."


def describe_ends(
    end: Mapping[str, JsonValue], *, verdict: str | None, reasons: Sequence[JsonObject], producers: Sequence[JsonObject]
) -> list[dict[str, JsonValue]]:
    """What the launcher (`producer` None) and supervisors said of the end.

    Left out are details that the verdict's reasons hold, and the launcher's word that all went well whose verdict
    says so, or that says no more than an exit code of 0.
    """
    outcome = end.get("outcome")
    is_news = end.get("cause") or end.get("exit_code") or (outcome and not outcome == verdict == "succeeded")
    ends: list[tuple[JsonValue, Mapping[str, JsonValue]]] = [(None, end)] if is_news else []
    for producer in producers:
        if isinstance(own := producer.get("end"), dict):
            ends.append((producer["producer"], own))
    shown = "\n".join(f"{reason.get('detail')}\n{reason.get('end')}" for reason in reasons)
    described: list[dict[str, JsonValue]] = []
    for producer, one in ends:
        words, detail = end_words(one), "\n".join(text for text in end_details(one) if text not in shown)
        if words or detail:
            described.append({"producer": producer, "description": words, "detail": detail})
    return described


def describe_change(change: str, detail: Mapping[str, JsonValue]) -> dict[str, Any]:
    """`description` of a change, and in `more` the members of its detail that the description does not hold."""
    described = _DESCRIBED.get(change, frozenset())
    more = {name: value for name, value in detail.items() if name not in described and value is not None}
    return {"description": _change_words(change, detail), "more": more}


def _change_words(change: str, detail: Mapping[str, JsonValue]) -> str:
    match change:
        case "launch":
            return _launch_words(detail)
        case "attempt":
            number = attempt_words(detail.get("attempt"))
            name = detail.get("name")
            return f"attempt {number} begins" if name is None else f"{name} is attempt {number}"
        case "superseded":
            return _superseded_words(detail)
        case "finished":
            words = end_words({**detail, "cause": None})
            return f"the launcher says that it is over{f': {words}' if words else ''}"
        case "refused":
            return _refused_words(detail)
        case "refusal-taken-back":
            left = detail.get("standing")
            more = f", {left:,} more are not" if isinstance(left, int) and left else ""
            return f"what was refused before is stored{more}"
        case _:
            return _CHANGES.get(change) or change.replace("-", " ")


def _launch_words(detail: Mapping[str, JsonValue]) -> str:
    attempt = f" (attempt {attempt_words(detail['attempt'])})" if detail.get("attempt") else ""
    place = ", ".join(f"{word}{detail[name]}" for name, word in _PLACES if detail.get(name))
    return f"{detail.get('state')}{attempt}{f' {place}' if place else ''}"


def _superseded_words(detail: Mapping[str, JsonValue]) -> str:
    producers, count = detail.get("producers"), detail.get("count")
    names = [str(name) for name in producers] if isinstance(producers, list) else []
    number = count if isinstance(count, int) else len(names)
    more = f" and {number - _NAMES_TOLD:,} more" if number > _NAMES_TOLD else ""
    processes = counted(number, "process", "processes")
    return f"{processes} superseded by a newer attempt: {', '.join(names[:_NAMES_TOLD])}{more}"


def _refused_words(detail: Mapping[str, JsonValue]) -> str:
    if isinstance(more := detail.get("more"), int):
        return f"{counted(more, 'more request')} refused"
    status = f" ({detail['status']})" if detail.get("status") else ""
    length = f", {counted(length, 'byte')}" if isinstance(length := detail.get("length"), int) else ""
    return f"a request was refused: {detail.get('problem')}{status}{length}"


def _describe_waiting(platform: Mapping[str, JsonValue], state: str, *, needs_process: bool) -> str:
    place = "".join(
        f"{word}{_quoted(str(platform[name]))}"
        for name, word in (("platform", " on "), ("job_id", " as job "), ("node", " on node "))
        if platform.get(name)
    )
    if state == "running":
        follows = (
            "No process has opened yet." if needs_process else "No process has to open: its word will be the verdict."
        )
        return f"The launcher says that it runs{place}. {follows}"
    attempt = platform.get("attempt")
    which = f"Attempt {attempt_words(attempt)}: {state}" if attempt else state.capitalize()
    return f"{which}{place}. No process has opened{' in it' if attempt else ''} yet."


def _reason_phrase(reason: Mapping[str, JsonValue]) -> str:
    asset, check, exception = (reason.get(name) for name in ("asset_key", "check_name", "exception"))
    match reason.get("code"):
        case "missing-check" if check:
            return f"check {_quoted(str(check))}{f' of {_quoted(str(asset))}' if asset else ''} missing"
        case "missing-materialization" if asset:
            return f"{_quoted(str(asset))} was not materialized"
        case "exception" if isinstance(exception, dict) and exception.get("name"):
            return _exception_line(str(exception["name"]), str(exception.get("message", "")))
        case _:
            # What the work printed stands below.
            text = str(reason.get("detail", "")).split(_OUTPUT_FOLLOWS)[0].removesuffix(".")
            head, blank, _ = text.partition(" ")
            is_word = blank and head[1:].islower() and head.isalpha()
            return f"{text[:1].lower()}{text[1:]}" if is_word else text


def _exception_line(name: str, message: str) -> str:
    """Name and first line; some senders write the name, with its module or without, into the message as well."""
    text = message.strip()
    # A name may hold colons (`std::runtime_error`); the one at its end has white space or nothing behind it.
    begin, *rest = _NAMES_END.split(text, maxsplit=1)
    repeats = begin == name or (begin.endswith((f".{name}", f"::{name}")) and len(begin.split()) == 1)
    said = "".join(rest).strip() if repeats else text
    line = ": ".join(filter(None, (name, said.split("\n", 1)[0])))
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"


def _quoted(text: str) -> str:
    """A name from outside within a sentence: shown as code, and never the end of it."""
    return f"`{text.replace('`', chr(39))}`"
