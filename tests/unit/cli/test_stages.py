"""How the terminal tells queue time from running time, and what waits from what runs."""

from __future__ import annotations

import pytest

from standpipe_orchestrator.cli.command_line.answering import run_seconds, standing
from standpipe_orchestrator.cli.words.standing import place_lines, seconds_in
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue


def at(seconds: int) -> str:
    return f"2026-01-31T12:{seconds // 60:02}:{seconds % 60:02}Z"


def stage(name: str, begin: int, end: int | None) -> JsonObject:
    return {"name": name, "begin": at(begin), "end": None if end is None else at(end)}


def invocation(status: str, **members: JsonValue) -> Invocation:
    return Invocation.from_wire({"id": "inv_1", "status": status, "created_at": at(0), **members})


def test_queue_time_is_told_apart_from_the_run() -> None:
    stages: list[JsonValue] = [stage("queued", 1, 61), stage("starting", 61, 70), stage("running", 70, 100)]
    ended = invocation("ended", platform={"state": "running"}, stages=stages, opened_at=at(75), ended_at=at(100))
    assert [seconds_in(ended, name) for name in ("queued", "starting", "running")] == [60, 9, 30]
    assert run_seconds(ended) == 30
    assert [(name, text.plain) for name, text in place_lines(ended)] == [
        ("Queued", "1 min 0 s"),
        ("Starting", "9.0 s"),
        ("Running", "30 s"),
    ]


def test_what_never_ran_took_no_time_and_without_a_launcher_the_registration_counts() -> None:
    never_ran = invocation("ended", platform={"state": "queued"}, stages=[stage("queued", 10, 100)], ended_at=at(100))
    assert (seconds_in(never_ran, "running"), run_seconds(never_ran)) == (None, None)
    assert run_seconds(invocation("ended", opened_at=at(40), ended_at=at(100))) == 100


def test_clocks_that_differ_make_no_time_less_than_none() -> None:
    odd = invocation("ended", platform={}, stages=[stage("queued", 50, 20)], ended_at=at(60))
    assert seconds_in(odd, "queued") == 0


@pytest.mark.parametrize(
    ("status", "members", "word"),
    [
        ("registered", {}, "registered"),
        ("registered", {"waiting": "submitted"}, "submitted"),
        ("registered", {"waiting": "running"}, "not opened"),
        ("registered", {"waiting": "running", "pipes": "optional"}, "running"),
        ("running", {}, "running"),
        ("running", {"waiting": "queued"}, "queued"),
        ("ended", {"verdict": "lost"}, "lost"),
    ],
)
def test_what_waits_on_its_platform_looks_so(status: str, members: JsonObject, word: str) -> None:
    assert standing(invocation(status, **members)) == word


def test_where_it_is_is_shown_with_control_characters_written_out() -> None:
    place: JsonObject = {"state": "queued", "platform": "slurm\x1b[2J", "job_id": "47", "node": "n7"}
    waits = invocation("registered", platform=place | {"url": "https://cluster.example.com/47"})
    name, line = next(place_lines(waits))
    assert (name, line.plain) == ("Platform", "slurm\\x1b[2J, job 47, node n7, https://cluster.example.com/47")
