"""Searching inside an invocation, over all its lines, and reading it backwards; over real HTTP on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.server import Server
from tests.support.wire import Job, closed, custom, log, materialization, opened, problem_of, register


def _output(text: str, *, stream: str = "stdout") -> dict[str, Any]:
    return {"method": "log_external_stream", "params": {"stream": stream, "text": text, "extras": {}}}


def _positions(job: Job, **query: Any) -> list[int]:
    """Through all pages."""
    seen: list[int] = []
    after = 0
    while True:
        page = job.page(after=after, **query)
        seen += [event["position"] for event in page["items"]]
        assert page["next_after"] >= after
        after = page["next_after"]
        if after >= page["last_position"]:
            return seen


@pytest.fixture
def job(shared_server: Server) -> Job:
    job = register(shared_server)
    first = [
        opened(),
        log("Reading the Table", level="INFO"),
        log('a "quoted" path/to\\file', level="WARNING"),
        log("Ünïcode ärrives", level="error"),
    ]
    job.append(first, producer="one", first_seq=1)
    second = [
        _output("the table is here"),
        _output("no such TABLE\n", stream="stderr"),
        materialization("a", metadata={"note": {"raw_value": "Table of contents", "type": "text"}}),
        custom({"deep": [{"table": 1}]}),
        custom(7),
        closed(),
    ]
    job.append(second, producer="two", first_seq=1)
    return job


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"text": "table"}, [2, 5, 6, 7, 8]),
        ({"text": "TABLE", "method": "log"}, [2]),
        ({"text": '"quoted"'}, [3]),
        ({"text": "path/to\\file"}, [3]),
        ({"text": "ÄRRIVES"}, [4]),
        ({"text": "nowhere"}, []),
        # What only says what kind of message it is holds no text.
        ({"text": "log_external"}, []),
        ({"text": "warning"}, []),
        ({"level": "ERROR"}, [4]),
        ({"level": "info,warn"}, [2, 3]),
        ({"level": "ERROR", "method": "closed"}, []),
        ({"stream": "stderr"}, [6]),
        ({"stream": "stdout", "level": "INFO"}, []),
        ({"producer": "one"}, [1, 2, 3, 4]),
        ({"producer": "two", "text": "table", "method": "log_external_stream"}, [5, 6]),
    ],
)
def test_events_are_found_by_what_they_say(job: Job, query: dict[str, str], expected: list[int]) -> None:
    assert _positions(job, **query) == expected
    backwards = job.page(before="end", **query)
    assert [event["position"] for event in backwards["items"]] == expected
    assert backwards["next_before"] is None


def test_escaped_text_is_found_by_what_it_means(shared_server: Server) -> None:
    job = register(shared_server)
    job.append(b'{"method":"log","params":{"message":"caf\\u00e9 \\u0062ar a\\/b","level":"INFO"}}')
    for text in ("CAFÉ", "bar", "a/b"):
        assert _positions(job, text=text) == [1]


def test_the_last_lines_come_first_when_they_are_asked_for(shared_server: Server) -> None:
    job = register(shared_server)
    for start in range(1, 100, 9):
        job.append([log(f"line {n}") for n in range(start, start + 9)], producer="p", first_seq=start)
    page = job.page(before="end", limit=5)
    assert [event["position"] for event in page["items"]] == [95, 96, 97, 98, 99]
    assert (page["next_before"], page["last_position"], page["ended"]) == (95, 99, False)
    seen: list[int] = []
    before: int | str | None = "end"
    while before is not None:
        page = job.page(before=before, limit=7)
        seen = [event["position"] for event in page["items"]] + seen
        before = page["next_before"]
    assert seen == list(range(1, 100))
    assert job.page(before=1)["items"] == []
    assert job.page(before=1)["next_before"] is None


def test_a_search_over_many_lines_tells_how_far_it_looked(shared_server: Server) -> None:
    job = register(shared_server)
    for batch in range(8):
        lines = [log(f"line {batch * 10_000 + n + 1} of a long log") for n in range(10_000)]
        job.append(lines, producer="p", first_seq=batch * 10_000 + 1)
    page = job.page(text="line 79999 of")
    assert page["items"] == []
    assert 0 < page["next_after"] < 79_999
    assert page["last_position"] == 80_000
    rest = job.page(text="line 79999 of", after=page["next_after"])
    assert [event["position"] for event in rest["items"]] == [79_999]
    assert rest["next_after"] == 80_000
    back = job.page(text="line 5 of", before="end")
    assert back["items"] == []
    found = job.page(text="line 5 of", before=back["next_before"])
    assert [event["position"] for event in found["items"]] == [5]


def test_a_stream_gives_only_what_fits(job: Job) -> None:
    job.finish(exit_code=0)
    with job.stream(text="table", method="log_external_stream") as events:
        told = list(events)
    assert [event.id for event in told if event.event is None] == ["5", "6"]
    assert told[-1].event == "end"


@pytest.mark.parametrize(
    "query", [{"stream": "stdin"}, {"before": "0"}, {"after": "3", "before": "5"}, {"text": "x" * 513}]
)
def test_a_wrong_search_is_named(job: Job, query: dict[str, str]) -> None:
    answer = job.server.http.get(f"{job.path}/events", params=query)
    problem = problem_of(answer, status=422, name="invalid-request")
    assert problem["pointer"] == f"/query/{next(iter(query))}"


def test_a_traceback_that_was_logged_is_searched_as_it_is_shown(shared_server: Server) -> None:
    job = register(shared_server)
    details = {"exception": "Traceback\nKeyError: 'Nø column'", "stack": "Stack (most recent)", "thread": "Worker-7"}
    job.append([opened(), {**log("cannot load", level="ERROR"), "details": details}, log("next"), closed()])
    assert _positions(job, text="nø column") == [2]
    assert _positions(job, text="most recent", level="ERROR") == [2]
    assert _positions(job, text="most recent", level="INFO") == []
    assert _positions(job, text="worker-7") == []
    odd = {**log("odd"), "details": {"exception": {"deep": ["Keyed"]}}}
    job.append([odd, {**log("none"), "details": None}])
    assert _positions(job, text="keyed") == [5]
