"""What `standpipe show` says of receipt, progress and producers."""

from __future__ import annotations

from standpipe_orchestrator.cli.words.delivery import delivery, superseded_producers
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue

RUNNING: dict[str, JsonValue] = {"id": "inv_1", "status": "running"}
SILENT: dict[str, JsonValue] = {
    "producer": "py-3f",
    "process": {"rank": 2, "host": "n7\x1b[2J"},
    "opened": True,
    "closed": False,
    "stored": 1,
    "last_word_at": "2026-01-31T12:04:05.000000Z",
}


def lines(**members: JsonValue) -> list[str]:
    shown = delivery(Invocation.from_wire({**RUNNING, **members}))
    return [f"{name}: {text.plain}" if name else text.plain for name, text in shown]


def test_the_receipts_sentence_is_shown() -> None:
    receipt: JsonValue = {"whole": True, "summary": "sent 118, stored 118, no gap"}
    assert lines(status="ended", receipt=receipt) == ["Receipt: sent 118, stored 118, no gap"]


def test_a_producer_is_shown_with_its_rank_and_how_long_it_has_been_silent() -> None:
    (line,) = lines(producers=[SILENT])
    assert line.startswith("Producers: py-3f: rank 2, host n7\\x1b[2J, open, 1 message stored, last word ")
    assert line.endswith(" ago")
    (line,) = lines(status="ended", producers=[{**SILENT, "closed": True, "last_word_at": None}])
    assert line.endswith("closed, 1 message stored")


def test_of_many_producers_the_first_are_shown_and_the_rest_counted() -> None:
    shown = lines(producers=[{**SILENT, "producer": f"p{n}"} for n in range(100)])
    assert len(shown) == 41
    assert shown[-1] == "… 60 more"


def test_what_is_expected_is_counted_and_what_is_missing_named() -> None:
    progress: JsonValue = {
        "complete": False,
        "asset_keys": {"reported": ["a"], "missing": ["b"]},
        "checks": {"reported": [], "missing": [{"asset_key": "a", "check_name": "fresh"}]},
        "custom_messages": {"reported": 1, "expected": 2},
    }
    (line,) = lines(expected_progress=progress)
    assert line == "Expected: 1 of 3 reports, 1 of 2 custom messages; missing: b, check fresh on a"


def test_an_older_server_shows_none_of_it() -> None:
    assert lines(receipt={"events": 3}) == []


def test_superseded_producers_come_last_and_say_so_and_so_do_supervisors() -> None:
    closed: dict[str, JsonValue] = {**SILENT, "process": None, "closed": True, "last_word_at": None}
    old: dict[str, JsonValue] = {**SILENT, "producer": "old", "attempt": [], "attempt_name": "pod-a"}
    shown = lines(
        status="ended",
        ends=[{"producer": "exec", "description": "failed, exit code 3", "detail": ""}],
        producers=[
            {**old, "superseded": True, "last_word_at": None},
            {**closed, "producer": "exec", "role": "supervisor"},
            {**closed, "producer": "new", "attempt": [1], "attempt_name": "pod-b", "superseded": False},
            {**closed, "producer": "unnumbered", "attempt": None, "attempt_name": "pod-c"},
        ],
    )
    assert shown == [
        "Producers: exec: supervisor, closed, 1 message stored, its process ended: failed, exit code 3",
        "new: attempt 1 (pod-b), closed, 1 message stored",
        "unnumbered: attempt pod-c, closed, 1 message stored",
        "old: superseded, rank 2, host n7\\x1b[2J, attempt 0 (pod-a), open, 1 message stored",
    ]


def test_of_more_producers_than_are_listed_those_that_are_left_out_are_superseded() -> None:
    def superseded(old: int) -> list[bool]:
        producers: list[JsonValue] = [{**SILENT, "producer": "new", "superseded": False}]
        producers += [{**SILENT, "producer": f"old-{n}", "superseded": True} for n in range(old)]
        found = superseded_producers(Invocation.from_wire({**RUNNING, "producers": producers}))
        return [name in found for name in ("new", "old-1", "old-400")]

    assert superseded(99) == [False, True, True]
    assert superseded(50) == [False, True, False]
