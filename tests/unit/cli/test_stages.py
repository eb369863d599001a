"""How the terminal tells queue time from running time, and what waits from what runs."""

from __future__ import annotations

import pytest

from standpipe_orchestrator.cli.command_line.answering import seconds_taken, standing
from standpipe_orchestrator.cli.words.launch_stages import spans, waiting_line, way
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue

OPEN: JsonObject = {"producer": "p", "opened": True, "closed": False}


def at(seconds: int) -> str:
    return f"2026-01-31T12:{seconds // 60:02}:{seconds % 60:02}Z"


def invocation(status: str, platform: JsonObject | None, **members: JsonValue) -> Invocation:
    wire: JsonObject = {"id": "inv_1", "status": status, "created_at": at(0), "platform": platform}
    return Invocation.from_wire(wire | members)


def told(one: Invocation) -> list[tuple[str, float, bool]]:
    return [(span.name, span.seconds, span.end is not None) for span in spans(one)]


def test_queue_time_start_and_run_are_told_apart() -> None:
    times: JsonObject = {"submitted_at": at(1), "queued_at": at(2), "starting_at": at(61), "running_at": at(70)}
    ended = invocation("ended", {"state": "running", **times}, verdict="succeeded", opened_at=at(75), ended_at=at(100))

    assert told(ended) == [("queued", 60, True), ("starting", 9, True), ("running", 30, True)]
    assert seconds_taken(ended) == 30


def test_where_the_launcher_says_less_the_opening_tells_when_it_ran() -> None:
    ended = invocation("ended", {"state": "queued", "queued_at": at(10)}, opened_at=at(40), ended_at=at(100))
    assert told(ended) == [("queued", 30, True), ("running", 60, True)]

    never_ran = invocation("ended", {"state": "queued", "queued_at": at(10)}, ended_at=at(100))
    assert told(never_ran) == [("queued", 90, True)]
    assert seconds_taken(never_ran) is None

    assert told(invocation("ended", None, opened_at=at(40), ended_at=at(100))) == []
    assert seconds_taken(invocation("ended", None, opened_at=at(40), ended_at=at(100))) == 100


def test_the_first_opening_says_nothing_of_a_later_attempt() -> None:
    again = invocation("running", {"state": "queued", "attempt": [1], "queued_at": at(50)}, opened_at=at(5))
    (queued,) = spans(again)

    assert (queued.name, queued.begin, queued.end) == ("queued", at(50), None)


def test_clocks_that_differ_make_no_time_less_than_none() -> None:
    odd = invocation("ended", {"queued_at": at(50), "running_at": at(20)}, ended_at=at(60))
    assert told(odd) == [("queued", 0, True), ("running", 40, True)]


@pytest.mark.parametrize(
    ("status", "platform", "members", "word"),
    [
        ("registered", None, {}, "registered"),
        ("registered", {"state": "submitted"}, {}, "submitted"),
        ("registered", {"state": "queued"}, {}, "queued"),
        ("registered", {"state": "starting"}, {}, "starting"),
        ("registered", {"state": "running"}, {}, "running, not opened"),
        ("registered", {"state": "running"}, {"pipes": "optional"}, "running"),
        ("registered", {"state": "of a later version"}, {}, "registered"),
        ("running", {"state": "queued"}, {"producers": [OPEN]}, "running"),
        ("running", {"state": "queued", "attempt": [1]}, {"producers": [OPEN | {"attempt": []}]}, "queued"),
        ("running", {"state": "queued", "attempt": [1]}, {"producers": [OPEN | {"attempt": [1]}]}, "running"),
        ("running", {"state": "running", "attempt": [1]}, {"producers": [OPEN]}, "running"),
        ("ended", {"state": "queued"}, {"verdict": "lost"}, "lost"),
    ],
)
def test_what_waits_on_its_platform_looks_so(
    status: str, platform: JsonObject | None, members: JsonObject, word: str
) -> None:
    assert standing(invocation(status, platform, **members)) == word


def test_where_it_is_is_told_with_control_characters_written_out() -> None:
    place: JsonObject = {
        "state": "queued",
        "platform": "slurm\x1b[2J",
        "job_id": "47",
        "node": "n7",
        "queued_at": at(2),
    }
    waits = invocation("registered", place | {"url": "https://cluster.example.com/47"})

    name, line = next(way(waits))
    assert (name, line.plain) == ("Platform", "slurm\\x1b[2J, job 47, node n7, https://cluster.example.com/47")
    shown = waiting_line(waits)
    assert shown is not None
    assert shown.plain.endswith(": slurm\\x1b[2J, job 47, node n7, https://cluster.example.com/47")
    assert shown.plain.startswith("queued since ")
    assert waiting_line(invocation("running", None)) is None
