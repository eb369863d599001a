r"""Asset keys, and the rules for messages beyond their shape: the server's, and the recording broker's.

A key is text: parts joined by `/`; inside a part `\` is written `\\` and `/` is written `\/`. Pure. The invariant: a
rejection names what was expected, and where in the message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.members import InvalidMessage
from standpipe_protocol.messages import ReportAssetCheck, ReportAssetMaterialization, ReportAssetObservation
from standpipe_protocol.problems import Problem

Report: TypeAlias = ReportAssetMaterialization | ReportAssetCheck | ReportAssetObservation
REPORTS = (ReportAssetMaterialization, ReportAssetCheck, ReportAssetObservation)
_NAMES = ("check_name", "data_version", "partition")
_KEYS_NAMED = 20


def escape_asset_key(parts: Sequence[str]) -> str:
    r"""The text of a key: `["pre", "a/b"]` -> `pre/a\/b`."""
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in parts)


def parse_asset_key(text: str) -> tuple[str, ...]:
    r"""The parts of a key's text: `pre/a\/b` -> `("pre", "a/b")`. An empty last part is dropped, as by Dagster."""
    if "\\" not in text:
        plain = text.split("/")
        return tuple(plain if plain[-1] else plain[:-1])
    parts: list[str] = []
    current: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            current.append(next(characters, "\\"))
        elif character == "/":
            parts.append("".join(current))
            current = []
        else:
            current.append(character)
    if current:
        parts.append("".join(current))
    return tuple(parts)


def canonical_asset_key(text: str) -> str:
    """One spelling for one key: `a/b/` and `a/b` are the same."""
    return escape_asset_key(parse_asset_key(text)) if "\\" in text else text.removesuffix("/")


def report_key(report: Report, *, longest_name: int) -> str:
    """The asset key of a report in its one spelling; raises InvalidMessage where it is empty, or a name is too long."""
    key = canonical_asset_key(report.asset_key)
    if not key:
        raise InvalidMessage(pointer="/params/asset_key", expected="an asset key", got="an empty key")
    names = {"asset_key": key, **{name: getattr(report, name, None) for name in _NAMES}}
    for name, text in names.items():
        if len(text or "") > longest_name:
            raise InvalidMessage(
                pointer=f"/params/{name}",
                expected=f"at most {longest_name} characters",
                got=f"{len(text or '')} characters",
            )
    return key


def key_problem(key: str, *, allowed: Collection[str], materialized: Collection[str]) -> Problem | None:
    """The problem of a report on this key: the invocation does not allow it (any, where `allowed` is empty), or this
    would be a second materialization."""
    if allowed and key not in allowed:
        expected = f"one of {', '.join(sorted(allowed)[:_KEYS_NAMED])}"
        return Problem(
            "invalid-message",
            f"Asset key {key!r} is not among those of the invocation. Expected {expected}.",
            {"pointer": "/params/asset_key", "expected": expected},
        )
    if key in materialized:
        return Problem(
            "duplicate-materialization",
            f"Asset {key!r} has already been materialized in this invocation, so no additional data can be reported "
            "for it.",
            {"asset_key": key},
        )
    return None


def role_in(extras: Mapping[str, JsonValue]) -> str | None:
    """The part that a producer says in its first `opened` that it takes; None for a process of its own."""
    return "supervisor" if extras.get("role") == "supervisor" else None


def not_a_supervisor() -> Problem:
    expected = 'a producer whose `opened` has "role": "supervisor" in its extras'
    detail = f"Only a supervisor reports the end of a process. Expected {expected}; others send `closed`."
    return Problem("invalid-message", detail, {"pointer": "/method", "expected": expected})


def invalid_message(error: InvalidMessage) -> Problem:
    return Problem("invalid-message", str(error), {"pointer": error.pointer, "expected": error.expected})


def long_integer(pointer: str, *, digits: int) -> Problem:
    """At this place is an integer of more than so many digits."""
    expected = f"integers of at most {digits} digits"
    detail = (
        f"Expected {expected} at `{pointer}` (the limit `integer_digits`), got a longer one. Send it as a string, "
        "which has no such limit."
    )
    return Problem("invalid-message", detail, {"pointer": pointer, "expected": expected})
