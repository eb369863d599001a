"""A reader of events hears that the work is to stop without asking for the invocation; real HTTP on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import Server
from tests.support.wire import Job, SentEvent, closed, custom, opened, problem_of, register

ASKED = SentEvent({"cancel_requested": True}, event="control")
LINE = {"event": "control", "control": {"cancel_requested": True}}


def cancel(job: Job) -> None:
    assert job.server.http.post(f"{job.path}/cancel").status_code == 200


def test_a_stream_says_it_once_when_it_is_asked(shared_server: Server) -> None:
    job = register(shared_server)
    with job.stream() as events:
        job.append([opened()])
        assert next(events).id == "1"
        cancel(job)
        assert next(events) == ASKED
        cancel(job)
        job.append([custom(1)])
        assert next(events).id == "2"
        job.append([closed()])
        job.finish()
        assert [event.event or event.id for event in events] == ["3", "end"]


@pytest.mark.parametrize("events", [0, 2])
def test_a_stream_that_is_opened_later_says_it_too(shared_server: Server, events: int) -> None:
    job = register(shared_server)
    job.append([custom(number) for number in range(events)] or [opened()])
    cancel(job)
    with job.stream(after=1) as found:
        assert [next(found) for _ in range(max(events - 1, 0) + 1)][-1] == ASKED
    job.finish()
    with job.stream(after=1) as found:
        # What has ended cannot be stopped; saying it does no harm, and the end comes all the same.
        assert list(found)[-1].event == "end"


def test_a_wait_ends_with_it_where_that_is_asked(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()])
    assert "control" not in job.page()
    assert job.page(control="true")["control"] == {"cancel_requested": False}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(job.page, after=1, wait=60, control="true")
        cancel(job)
        assert waiting.result(30) == {
            "items": [],
            "next_after": 1,
            "ended": False,
            "last_position": 1,
            "control": {"cancel_requested": True},
        }
    assert job.page(before="end", control="true")["control"] == {"cancel_requested": True}
    # A client that has not asked for it waits for events.
    assert "control" not in job.page(after=1, wait=0.2)


def test_lines_say_it_where_that_is_asked(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()])
    cancel(job)
    with job.lines(control="true") as lines:
        assert next(lines)["position"] == 1
        assert next(lines) == LINE
        job.finish()
        assert list(lines) == []
    with job.lines() as lines:
        assert [line.get("event") for line in lines] == [None]


def test_what_is_neither_yes_nor_no_is_refused(shared_server: Server) -> None:
    job = register(shared_server)
    answer = shared_server.http.get(f"{job.path}/events", params={"control": "maybe"})
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == "/query/control"
