"""Numbers, attempts and ends of work in words, for everything that people read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from standpipe_protocol.json_text import JsonValue

_OUTCOMES = {
    "cancelled": "stopped from outside",
    "not-launched": "not launched",
    "unknown": "ended, and how is not known",
}
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def end_words(end: Mapping[str, JsonValue]) -> str:
    """`failed, exit code 137, out-of-memory, signal SIGKILL, node n7`: the known members of `finish` or
    `report_process_end`."""
    outcome, cause = end.get("outcome"), end.get("cause")
    words: list[str] = []
    if isinstance(outcome, str):
        words.append(_OUTCOMES.get(outcome, outcome))
    elif end.get("launched") is False:
        words.append(_OUTCOMES["not-launched"])
    if isinstance(code := end.get("exit_code"), int):
        words.append(f"exit code {code}")
    return ", ".join([*words, *(_cause_words(cause) if isinstance(cause, dict) else ())])


def end_details(end: Mapping[str, JsonValue]) -> Iterator[str]:
    """What stands behind the words: the platform's own sentence, and the end of what was printed."""
    cause = end.get("cause")
    for text in (cause.get("detail") if isinstance(cause, dict) else None, end.get("reason")):
        if isinstance(text, str) and text:
            yield text


def attempt_words(attempt: JsonValue) -> str:
    """`1`, or `1.3` for several numbers; the first attempt is `0`."""
    return ".".join(map(str, attempt if isinstance(attempt, list | tuple) else ())) or "0"


def byte_size(size: int) -> str:
    """`512 MiB`: in the largest unit of which there is at least one."""
    return next((f"{size / unit:.4g} {name}" for unit, name in _UNITS if size >= unit), f"{size} bytes")


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 byte`, `1,024 bytes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _cause_words(cause: Mapping[str, JsonValue]) -> Iterator[str]:
    yield str(cause.get("code"))
    if (signal := cause.get("signal")) is not None:
        yield f"signal {signal}"
    if isinstance(code := cause.get("exit_code"), int):
        yield f"exit code {code} of the program"
    if isinstance(peak := cause.get("peak_memory_bytes"), int):
        yield f"at most {byte_size(peak)} in use"
    if isinstance(node := cause.get("node"), str):
        yield f"node {node}"
    if "attempt" in cause:
        yield f"attempt {attempt_words(cause['attempt'])}"
