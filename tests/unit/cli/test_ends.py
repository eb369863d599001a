"""Ends and changes on the terminal: the server's sentences, each on a line."""

from __future__ import annotations

from standpipe_orchestrator.cli.command_line.answering import brief_state, standing
from standpipe_orchestrator.cli.words.standing import change_words, end_line, end_lines, with_changes
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue


def ended(verdict: str = "succeeded", **members: JsonValue) -> Invocation:
    return Invocation.from_wire({"id": "inv_1", "status": "ended", "verdict": verdict, **members})


def test_a_green_of_the_launcher_is_told_from_a_reported_one_without_colours() -> None:
    assert standing(ended()) == "succeeded"
    judged = ended(judged_by="launcher", judge="by exit code")
    assert standing(judged) == "succeeded · by exit code"
    assert brief_state(judged).plain == "succeeded*"
    assert [(name, text.plain) for name, text in end_lines(judged)] == [
        ("Judged", "by exit code: no process reported, and none had to")
    ]


def test_an_end_is_one_line_with_control_characters_written_out() -> None:
    ends: list[JsonValue] = [
        {"producer": None, "description": "failed, node n\x1b7", "detail": "OOMKilled \x1b[2J\nand more"},
        {"producer": "s", "description": "", "detail": "boom"},
    ]
    killed = ended("failed", ends=ends)
    assert end_line(killed, None) == "failed, node n\\x1b7: OOMKilled \\x1b[2J and more"
    assert end_line(killed, "s") == "boom"
    assert end_line(killed, "another") == ""


def test_reasons_come_with_what_they_explain_and_notes_make_nothing_red() -> None:
    details: JsonValue = [{"code": "exception", "detail": "SIGTERM came"}]
    killed = ended(
        "failed",
        ends=[{"producer": None, "description": "failed, out-of-memory", "detail": ""}],
        reasons=[{"code": "out-of-memory", "detail": "It was killed.", "details": details}],
        notes=[{"code": "superseded", "detail": "1 process belongs to an older attempt."}],
    )
    assert [(name, text.plain) for name, text in end_lines(killed)] == [
        ("Launcher", "failed, out-of-memory"),
        ("Because", "It was killed."),
        ("", "explained by it: SIGTERM came"),
        ("Note", "1 process belongs to an older attempt."),
    ]


def test_a_change_is_a_line_with_the_reason_for_it_and_the_name_where_there_are_no_words() -> None:
    asked: JsonObject = {"change": "cancel-requested", "description": "asked to stop", "more": {"reason": "too\nslow"}}
    assert change_words(asked) == "asked to stop: too slow"
    refused: JsonObject = {"description": "a request was refused: malformed", "more": {"start": '{"a":"\x1b"'}}
    assert change_words(refused) == 'a request was refused: malformed: {"a":"\\x1b"'
    assert change_words({"change": "launch", "detail": {"state": "queued"}}) == "launch"


def test_changes_stand_between_the_events_where_they_happened() -> None:
    def event(position: int, second: int) -> Event:
        return Event.from_wire({"position": position, "received_at": f"2026-01-31T12:00:{second:02}Z"})

    def change(kind: str, second: int, description: str = "") -> JsonObject:
        return {"at": f"2026-01-31T12:00:{second:02}Z", "change": kind, "description": description}

    changes = [change("registered", 0), change("launch", 1, "queued"), change("launch", 5, "running")]
    changes += [change("attempt", 9, "attempt 1 begins"), change("lease-expired", 10), change("ended", 10)]
    shown = [
        one.position if isinstance(one, Event) else one.plain.split(maxsplit=1)[1]
        for one in with_changes([event(1, 5), event(2, 6)], changes)
    ]
    assert shown == ["queued", 1, "running", 2, "attempt 1 begins", "lease-expired"]
