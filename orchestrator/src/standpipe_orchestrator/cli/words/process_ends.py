"""How work ended, in words: what its launcher or a supervisor said, and whether that alone was the verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text

from standpipe_orchestrator.cli.words.text import byte_size, listed, one_line, visible
from standpipe_orchestrator.reading.execution_errors import explained
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue

_OUTCOMES = {
    "cancelled": "stopped from outside",
    "not-launched": "not launched",
    "unknown": "ended, and how is not known",
}


def judge(invocation: Invocation) -> str:
    """`by exit code` or `by launcher` where no process reported and the launcher's word is the verdict; else empty."""
    if invocation.judged_by is None:
        return ""
    return "by exit code" if invocation.exit_code is not None else f"by {one_line(invocation.judged_by, at_most=40)}"


def judge_sentence(invocation: Invocation) -> str:
    """What `judge` means, as a sentence."""
    if invocation.judged_by is None:
        return ""
    said = end_words({"outcome": invocation.outcome, "exit_code": invocation.exit_code})
    return f"No process reported, and none had to: the launcher's word is the verdict{f' ({said})' if said else ''}."


def why_it_ended(invocation: Invocation) -> Iterator[tuple[str, Text]]:
    """Lines with their names: the launcher's word, the reasons with what they explain, and what made nothing red."""
    if invocation.judged_by is not None:
        yield "Judged", Text(judge_sentence(invocation), style="yellow")
    # That it went well goes without saying where it did.
    if invocation.cause is not None or invocation.outcome not in (None, invocation.verdict):
        members: dict[str, JsonValue] = {"outcome": invocation.outcome, "exit_code": invocation.exit_code}
        yield "Launcher", Text(end_words(members | {"cause": dict(invocation.cause) if invocation.cause else None}))
    why, left_open = explained(invocation)
    for name, style, reasons in (("Because", "yellow", why), ("Left undone", "dim", left_open)):
        for reason in reasons:
            yield name, Text(visible(reason.detail.strip()), style=style)
            for detail in reason.details:
                yield "", Text(f"explained by it: {visible(str(detail.get('detail', '')).strip())}", style="dim")
    for note in invocation.notes:
        yield "Note", Text(visible(str(note.get("detail", ""))), style="dim")


def end_words(end: Mapping[str, JsonValue]) -> str:
    """`failed, exit code 137, out-of-memory, signal SIGKILL, node n7: OOMKilled`; what is not known is left out."""
    words: list[str] = []
    if isinstance(outcome := end.get("outcome"), str):
        words.append(_OUTCOMES.get(outcome, outcome))
    elif end.get("launched") is False:
        words.append(_OUTCOMES["not-launched"])
    if isinstance(code := end.get("exit_code"), int):
        words.append(f"exit code {code}")
    cause = end.get("cause")
    text = listed([*words, *(_cause_words(cause) if isinstance(cause, dict) else ())])
    detail = cause.get("detail") if isinstance(cause, dict) else None
    said = [one_line(word, at_most=400) for word in (detail, end.get("reason")) if isinstance(word, str) and word]
    return ": ".join([text, *said] if text else said)


def attempt_number(attempt: JsonValue) -> str:
    """`1`, or `1.3` for several numbers; the first attempt is `0`."""
    numbers: Iterable[JsonValue] = attempt if isinstance(attempt, list) else ()
    return ".".join(str(number) for number in numbers) or "0"


def _cause_words(cause: Mapping[str, JsonValue]) -> Iterable[str]:
    yield one_line(str(cause.get("code")), at_most=64)
    if (signal := cause.get("signal")) is not None:
        yield f"signal {one_line(str(signal), at_most=32)}"
    if isinstance(code := cause.get("exit_code"), int):
        yield f"exit code {code} of the program"
    if isinstance(peak := cause.get("peak_memory_bytes"), int):
        yield f"at most {byte_size(peak)} in use"
    if isinstance(node := cause.get("node"), str):
        yield f"node {one_line(node)}"
    if "attempt" in cause:
        yield f"attempt {attempt_number(cause['attempt'])}"
