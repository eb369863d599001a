"""Ends, judges and changes in the terminal's words."""

from __future__ import annotations

import pytest

from standpipe_orchestrator.cli.command_line.answering import brief_state, standing
from standpipe_orchestrator.cli.words.process_ends import attempt_number, end_words, judge_sentence, why_it_ended
from standpipe_orchestrator.cli.words.state_changes import among, change_words
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue

CAUSE: JsonObject = {
    "code": "out-of-memory",
    "detail": "OOMKilled \x1b[2J",
    "signal": "SIGKILL",
    "peak_memory_bytes": 512 * 1024 * 1024,
    "node": "n7",
    "attempt": [1, 2],
}


def ended(verdict: str = "succeeded", **members: JsonValue) -> Invocation:
    return Invocation.from_wire({"id": "inv_1", "status": "ended", "verdict": verdict, **members})


def test_a_green_of_the_launcher_is_told_from_a_reported_one_without_colours() -> None:
    assert standing(ended()) == "succeeded"
    assert standing(ended(judged_by="launcher", exit_code=0)) == "succeeded · by exit code"
    assert standing(ended(judged_by="launcher", outcome="succeeded")) == "succeeded · by launcher"
    assert standing(ended("failed", judged_by="launcher", exit_code=3)) == "failed · by exit code"
    assert brief_state(ended(judged_by="launcher", exit_code=0)).plain == "succeeded*"
    assert "launcher's word is the verdict (exit code 0)" in judge_sentence(ended(judged_by="launcher", exit_code=0))
    assert judge_sentence(ended()) == ""


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({}, ""),
        ({"exit_code": 0}, "exit code 0"),
        ({"outcome": "unknown"}, "ended, and how is not known"),
        ({"launched": False, "reason": "no such image"}, "not launched: no such image"),
        ({"outcome": "cancelled", "exit_code": -15}, "stopped from outside, exit code -15"),
        (
            {"outcome": "failed", "cause": CAUSE, "reason": "two\nlines"},
            "failed, out-of-memory, signal SIGKILL, at most 512 MiB in use, node n7, attempt 1.2:"
            " OOMKilled \\x1b[2J: two lines",
        ),
    ],
)
def test_an_end_is_told_in_one_line(end: JsonObject, words: str) -> None:
    assert end_words(end) == words


def test_reasons_come_with_what_they_explain_and_notes_make_nothing_red() -> None:
    details: JsonValue = [{"code": "exception", "detail": "SIGTERM came"}]
    killed = ended(
        "failed",
        outcome="failed",
        cause=CAUSE,
        reasons=[{"code": "out-of-memory", "detail": "It was killed.", "cause": CAUSE, "details": details}],
        notes=[{"code": "superseded", "detail": "1 process belongs to an older attempt."}],
    )
    assert [(name, text.plain) for name, text in why_it_ended(killed)][1:] == [
        ("Because", "It was killed."),
        ("", "explained by it: SIGTERM came"),
        ("Note", "1 process belongs to an older attempt."),
    ]
    assert killed.reasons[0].cause == CAUSE


def test_the_first_attempt_is_number_0() -> None:
    numbers: list[JsonValue] = [[], None, [1], [1, 3]]
    assert [attempt_number(one) for one in numbers] == ["0", "0", "1", "1.3"]


@pytest.mark.parametrize(
    ("change", "detail", "words"),
    [
        ("launch", {"state": "submitted", "platform": "slurm", "job_id": "47"}, "submitted: slurm, job 47"),
        ("launch", {"state": "queued", "attempt": [1]}, "queued (attempt 1)"),
        ("attempt", {"attempt": [1], "number": "1"}, "attempt 1 begins"),
        ("attempt", {"attempt": [2], "name": "pod-c"}, "pod-c is attempt 2"),
        ("superseded", {"producers": ["a", "b"], "count": 2}, "superseded by a newer attempt: 2 processes, a, b"),
        (
            "superseded",
            {"producers": [f"p{n}" for n in range(100)], "count": 140},
            "superseded by a newer attempt: 140 processes, p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 130 more",
        ),
        ("cancel-requested", {"reason": "too slow"}, "asked to stop: too slow"),
        (
            "finished",
            {"exit_code": 3, "reason": None, "launched": None},
            "the launcher says that it is over: exit code 3",
        ),
        (
            "refused",
            {"problem": "malformed", "status": 400, "detail": "No JSON.", "length": 9, "start": '{"a":"\x1b"b"}'},
            'a request was refused, malformed (400), 9 bytes: {"a":"\\x1b"b"}',
        ),
        ("refused", {"problem": "too-large"}, "a request was refused, too-large"),
        ("refused", {"more": 24}, "refused: 24 more requests"),
        ("refusal-taken-back", {"standing": 0}, "what had been refused is stored"),
        ("refusal-taken-back", {"standing": 2}, "what had been refused is stored, 2 more are not"),
        ("of-a-later-version", {}, "of a later version"),
    ],
)
def test_a_change_is_told_in_words(change: str, detail: JsonObject, words: str) -> None:
    assert change_words(change, detail) == words


def test_changes_stand_between_the_events_where_they_happened() -> None:
    def event(position: int, second: int) -> Event:
        return Event.from_wire({"position": position, "received_at": f"2026-01-31T12:00:{second:02}Z"})

    def change(kind: str, second: int, **detail: JsonValue) -> JsonObject:
        return {"at": f"2026-01-31T12:00:{second:02}Z", "change": kind, "detail": detail}

    changes = [change("registered", 0), change("launch", 1, state="queued"), change("launch", 5, state="running")]
    changes += [change("attempt", 9, attempt=[1]), change("lease-expired", 10), change("ended", 10)]
    told = [
        one.position if isinstance(one, Event) else one.plain.split(maxsplit=1)[1]
        for one in among([event(1, 5), event(2, 6)], changes)
    ]
    assert told == ["queued", 1, "running", 2, "attempt 1 begins", "the lease ran out"]


def test_that_it_went_well_goes_without_saying() -> None:
    assert list(why_it_ended(ended(outcome="succeeded", exit_code=0))) == []
    told = dict(why_it_ended(ended("failed", outcome="succeeded", exit_code=0)))
    assert told["Launcher"].plain == "succeeded, exit code 0"
