"""How an invocation stands and what happened to it, in the words that pages and terminal share."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.words import attempt_words, end_words
from standpipe_server.broker.outcome.descriptions import (
    describe_change,
    describe_ends,
    describe_invocation,
    judge_of,
    stages_of,
    waiting_state,
)

CAUSE: JsonObject = {
    "code": "out-of-memory",
    "detail": "OOMKilled",
    "signal": "SIGKILL",
    "peak_memory_bytes": 512 * 1024 * 1024,
    "node": "n7",
    "attempt": [1, 2],
}


def at(seconds: int) -> str:
    return f"2026-01-31T12:{seconds // 60:02}:{seconds % 60:02}Z"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({}, ""),
        ({"exit_code": 0}, "exit code 0"),
        ({"outcome": "unknown"}, "ended, and how is not known"),
        ({"launched": False, "reason": "no such image"}, "not launched"),
        ({"outcome": "cancelled", "exit_code": -15}, "stopped from outside, exit code -15"),
        (
            {"outcome": "failed", "cause": CAUSE, "reason": "two\nlines"},
            "failed, out-of-memory, signal SIGKILL, at most 512 MiB in use, node n7, attempt 1.2",
        ),
    ],
)
def test_an_end_is_described_by_what_is_known_of_it(end: JsonObject, words: str) -> None:
    assert end_words(end) == words


def test_the_first_attempt_is_number_0() -> None:
    numbers: list[JsonValue] = [[], None, [1], [1, 3]]
    assert [attempt_words(one) for one in numbers] == ["0", "0", "1", "1.3"]


@pytest.mark.parametrize(
    ("change", "detail", "words"),
    [
        ("launch", {"state": "submitted", "platform": "slurm", "job_id": "47"}, "submitted on slurm, job 47"),
        ("launch", {"state": "queued", "attempt": [1]}, "queued (attempt 1)"),
        ("attempt", {"attempt": [1], "number": "1"}, "attempt 1 begins"),
        ("attempt", {"attempt": [2], "name": "pod-c"}, "pod-c is attempt 2"),
        ("superseded", {"producers": ["a", "b"], "count": 2}, "2 processes superseded by a newer attempt: a, b"),
        (
            "superseded",
            {"producers": [f"p{n}" for n in range(100)], "count": 1_400},
            "1,400 processes superseded by a newer attempt: p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 1,390 more",
        ),
        ("cancel-requested", {"reason": "too slow"}, "asked to stop"),
        ("finished", {"exit_code": 3, "launched": None}, "the launcher says that it is over: exit code 3"),
        ("finished", {"exit_code": None}, "the launcher says that it is over"),
        (
            "refused",
            {"problem": "malformed", "status": 400, "length": 9},
            "a request was refused: malformed (400), 9 bytes",
        ),
        ("refused", {"problem": "too-large"}, "a request was refused: too-large"),
        ("refused", {"more": 24}, "24 more requests refused"),
        ("refusal-taken-back", {"standing": 0}, "what was refused before is stored"),
        ("refusal-taken-back", {"standing": 2}, "what was refused before is stored, 2 more are not"),
        ("of-a-later-version", {}, "of a later version"),
    ],
)
def test_a_change_is_described_in_words(change: str, detail: JsonObject, words: str) -> None:
    assert describe_change(change, detail)["description"] == words


def test_what_a_description_does_not_hold_stands_beside_it() -> None:
    refused: JsonObject = {"problem": "malformed", "status": 400, "detail": "No JSON.", "start": "{", "length": None}
    assert describe_change("refused", refused)["more"] == {"detail": "No JSON.", "start": "{"}
    assert describe_change("cancel-requested", {"reason": "too slow"})["more"] == {"reason": "too slow"}
    assert describe_change("finished", {"exit_code": 3, "cause": CAUSE})["more"] == {"cause": CAUSE}


def stages(platform: JsonObject | None, **times: str) -> list[tuple[JsonValue, JsonValue, JsonValue]]:
    found = stages_of(platform, opened_at=times.get("opened_at"), ended_at=times.get("ended_at"))
    return [(stage["name"], stage["begin"], stage["end"]) for stage in found]


def test_queue_time_start_and_run_are_told_apart() -> None:
    times: JsonObject = {"submitted_at": at(1), "queued_at": at(2), "starting_at": at(61), "running_at": at(70)}
    assert stages({"state": "running", **times}, opened_at=at(75), ended_at=at(100)) == [
        ("queued", at(1), at(61)),
        ("starting", at(61), at(70)),
        ("running", at(70), at(100)),
    ]


def test_where_the_launcher_says_less_the_opening_tells_when_it_ran() -> None:
    queued: JsonObject = {"state": "queued", "queued_at": at(10)}
    assert stages(queued, opened_at=at(40)) == [("queued", at(10), at(40)), ("running", at(40), None)]
    assert stages(queued, ended_at=at(100)) == [("queued", at(10), at(100))]
    assert stages(None, opened_at=at(40), ended_at=at(100)) == []


def test_the_first_opening_says_nothing_of_a_later_attempt() -> None:
    again: JsonObject = {"state": "queued", "attempt": [1], "queued_at": at(50)}
    assert stages(again, opened_at=at(5)) == [("queued", at(50), None)]


@pytest.mark.parametrize(
    ("status", "platform", "heard_at", "state"),
    [
        ("registered", None, None, None),
        ("registered", {"state": "submitted"}, None, "submitted"),
        ("registered", {"state": "running"}, None, "running"),
        ("registered", {"state": "of a later version"}, None, None),
        ("running", {"state": "queued"}, at(5), None),
        ("running", {"state": "queued", "attempt": [1], "at": at(9)}, at(5), "queued"),
        ("running", {"state": "queued", "attempt": [1], "at": at(9)}, at(10), None),
        ("running", {"state": "running", "attempt": [1], "at": at(9)}, at(5), None),
        ("ended", {"state": "queued"}, at(5), None),
    ],
)
def test_work_waits_until_a_process_of_its_newest_attempt_is_heard(
    status: str, platform: JsonObject | None, heard_at: str | None, state: str | None
) -> None:
    assert waiting_state(status=status, platform=platform, heard_at=heard_at) == state


def test_a_verdict_of_the_launcher_says_what_it_rests_on() -> None:
    assert judge_of(judged_by=None, exit_code=0) is None
    assert judge_of(judged_by="launcher", exit_code=0) == "by exit code"
    assert judge_of(judged_by="launcher", exit_code=None) == "by launcher"


def described(
    status: str, verdict: str | None = None, *, reasons: Any = (), platform: Any = None, **members: Any
) -> str:
    wire = {"cancel_requested": False, "pipes": "required", "judged_by": None, "outcome": None, "exit_code": None}
    wire |= {"heard_at": None, "status": status, "verdict": verdict} | members
    return describe_invocation(wire, reasons=reasons, platform=platform)


def test_an_invocation_is_described_by_what_it_waits_for_and_by_its_verdict() -> None:
    assert described("registered") == "Waiting for the external process to open."
    assert described("running") == "Running."
    assert described("running", cancel_requested=True) == "Asked to stop; the process has not ended yet."
    assert described("ended", "succeeded").startswith("The process closed cleanly")
    assert described("ended", "succeeded", judged_by="launcher", exit_code=0) == (
        "No process reported, and none had to: the launcher's word is the verdict (exit code 0)."
    )
    place = {"state": "queued", "platform": "slurm`", "job_id": "47", "node": "n7"}
    assert described("registered", platform=place) == (
        "Queued on `slurm'` as job `47` on node `n7`. No process has opened yet."
    )
    assert described("registered", platform={"state": "running"}, pipes="optional") == (
        "The launcher says that it runs. No process has to open: its word will be the verdict."
    )
    again = {"state": "queued", "attempt": [2], "at": at(9)}
    assert described("running", platform=again) == "Attempt 2: queued. No process has opened in it yet."


def test_reasons_become_one_sentence() -> None:
    reasons = [
        {"code": "missing-check", "detail": "…", "asset_key": "orders", "check_name": "no_nulls"},
        {"code": "exit-code", "detail": "It ended with exit code 3. The end of what it said: boom."},
        {
            "code": "exception",
            "detail": "…",
            "exception": {"name": "KeyError", "message": "builtins.KeyError: 'a'\nmore"},
        },
        {"code": "missing-materialization", "detail": "…", "asset_key": "a"},
        {"code": "unknown", "detail": "…"},
    ]
    assert described("ended", "failed", reasons=reasons[:4]) == (
        "Check `no_nulls` of `orders` missing; it ended with exit code 3; KeyError: 'a'; 1 more reason below"
    )
    assert described("ended", "failed", reasons=reasons[3:4]) == "`a` was not materialized"
    assert described("ended", "incomplete") == "No reason was given."


@pytest.mark.parametrize(
    ("name", "message", "line"),
    [
        ("std::runtime_error", "std::runtime_error: boom", "std::runtime_error: boom"),
        ("runtime_error", "std::runtime_error: boom", "runtime_error: boom"),
        ("Net::ReadTimeout", "Net::ReadTimeout", "Net::ReadTimeout"),
        ("ValueError", "ValueError:\nreal text\nmore", "ValueError: real text"),
        ("ValueError", "ValueError\nreal text", "ValueError: real text"),
        ("ValueError", "pkg.ValueError:", "ValueError"),
        ("ValueError", "at 12:30: late", "ValueError: at 12:30: late"),
        ("KeyError", "", "KeyError"),
    ],
)
def test_an_exceptions_name_stands_once_before_the_first_line_of_its_message(
    name: str, message: str, line: str
) -> None:
    reason = {"code": "exception", "detail": "…", "exception": {"name": name, "message": message}}
    assert described("ended", "failed", reasons=[reason]) == f"{line[0].upper()}{line[1:]}"


def test_ends_are_told_once_and_not_where_they_went_well() -> None:
    supervisor: JsonObject = {"producer": "s", "end": {"exit_code": 1, "reason": "boom"}}
    plain: JsonObject = {"outcome": "succeeded", "exit_code": 0}
    assert describe_ends(plain, verdict="succeeded", reasons=[], producers=[]) == []
    assert describe_ends({"exit_code": 0}, verdict="succeeded", reasons=[], producers=[]) == []
    assert describe_ends({"exit_code": 0}, verdict="incomplete", reasons=[], producers=[]) == []
    assert describe_ends(plain, verdict="failed", reasons=[], producers=[]) == [
        {"producer": None, "description": "succeeded, exit code 0", "detail": ""}
    ]
    reasons: list[JsonObject] = [{"code": "out-of-memory", "detail": "It was killed. The platform said: OOMKilled"}]
    killed: JsonObject = {"outcome": "failed", "cause": CAUSE, "reason": "the end of stderr"}
    launcher, second = describe_ends(
        killed, verdict="failed", reasons=reasons, producers=[supervisor, {"producer": "p"}]
    )
    assert launcher["detail"] == "the end of stderr"
    assert second == {"producer": "s", "description": "exit code 1", "detail": "boom"}
