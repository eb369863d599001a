"""Reading events as pages, long polls, server-sent events and lines, over real HTTP on both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.server import Server
from tests.support.wire import Job, closed, custom, log, materialization, opened, problem_of, register

MANY = 2_500


def _ended(server: Server, *, events: int) -> Job:
    job = register(server)
    messages = [opened(), *(custom(n) for n in range(events - 2)), closed()]
    assert job.append(messages, producer="p", first_seq=1).status_code == 200
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    return job


# Pages


def test_pages_follow_each_other_without_gap_or_overlap(shared_server: Server) -> None:
    job = register(shared_server)
    for start in (0, 7, 14):
        job.append([custom(start + n) for n in range(7)], producer="p", first_seq=start + 1)
    seen: list[int] = []
    after = 0
    while True:
        page = job.page(after=after, limit=4)
        assert page["ended"] is False
        if not page["items"]:
            break
        seen += [event["position"] for event in page["items"]]
        after = page["next_after"]
    assert seen == list(range(1, 22))
    assert after == 21


def test_ended_is_told_with_the_last_events_and_not_before(shared_server: Server) -> None:
    job = _ended(shared_server, events=6)
    first, last = job.page(limit=4), job.page(after=4, limit=4)
    assert (len(first["items"]), first["ended"]) == (4, False)
    assert (len(last["items"]), last["ended"]) == (2, True)
    assert job.page(after=6) == {"items": [], "next_after": 6, "ended": True, "last_position": 6}


def test_only_the_methods_asked_for_are_given(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened(), log("a"), custom(1), log("b"), closed()], producer="p", first_seq=1)
    page = job.page(method="log")
    assert [event["position"] for event in page["items"]] == [2, 4]
    assert page["next_after"] == 5
    assert [e["position"] for e in job.events(method="log,opened")] == [1, 2, 4]
    assert [e["position"] for e in job.events(method=["closed", "opened"])] == [1, 5]
    assert job.page(method="unheard_of")["items"] == []


def test_what_was_rejected_is_given_whatever_its_method(shared_server: Server) -> None:
    job = register(shared_server, context={"asset_keys": ["a"]})
    job.append([opened(), materialization("b"), log("fine")], producer="p", first_seq=1)
    job.append([{"method": "report_nonsense", "params": {}}, "no message at all"], producer="p", first_seq=4)
    job.append([{"method": "log", "params": {}}, log("fine"), closed()], producer="p", first_seq=6)
    assert [e["position"] for e in job.events(method="rejected")] == [2, 4, 5, 6]
    assert [e["position"] for e in job.events(method="rejected,closed")] == [2, 4, 5, 6, 8]
    assert [e["position"] for e in job.page(method="rejected", before="end", limit=2)["items"]] == [5, 6]
    for query in ({"level": "ERROR"}, {"stream": "stdout"}):
        both = shared_server.http.get(f"{job.path}/events", params={"method": "rejected", **query})
        assert "rejected log" in problem_of(both, status=422, name="invalid-request")["detail"]
    job.finish()
    with job.stream(method="rejected", after=3) as events:
        assert [event.id for event in events if event.event is None] == ["4", "5", "6"]


@pytest.mark.parametrize(
    "query",
    [
        {"after": "x"},
        {"after": "-1"},
        {"limit": "0"},
        {"limit": "many"},
        {"wait": "soon"},
        {"wait": "-1"},
        {"wait": "nan"},
    ],
)
def test_a_wrong_query_parameter_is_named(shared_server: Server, query: dict[str, str]) -> None:
    job = register(shared_server)
    problem = problem_of(shared_server.http.get(f"{job.path}/events", params=query), status=422, name="invalid-request")
    assert problem["pointer"] == f"/query/{next(iter(query))}"


def test_reading_an_unknown_invocation_is_not_found(shared_server: Server) -> None:
    problem_of(shared_server.http.get("/invocations/inv_none/events"), status=404, name="not-found")


def test_a_message_with_line_breaks_between_its_tokens_is_one_line_in_every_stream(shared_server: Server) -> None:
    job = register(shared_server)
    pretty = json.dumps({"method": "report_custom_message", "params": {"payload": {"a": "x\ny"}}}, indent=2)
    assert job.append(pretty.replace("\n", "\r\n")).status_code == 200
    job.append([opened(), closed()])
    job.finish(exit_code=0)
    with job.stream() as events:
        assert next(events).data["params"] == {"payload": {"a": "x\ny"}}
    with job.lines() as lines:
        assert next(lines)["params"] == {"payload": {"a": "x\ny"}}


# Long polls


def test_a_long_poll_answers_when_an_event_comes(shared_server: Server) -> None:
    job = register(shared_server)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(job.page, wait=20)
        job.append([custom("now")])
        page = waiting.result(30)
    assert [event["params"]["payload"] for event in page["items"]] == ["now"]


def test_a_long_poll_with_nothing_to_tell_answers_when_its_time_is_up(shared_server: Server) -> None:
    job = register(shared_server)
    assert job.page(wait=0.2) == {"items": [], "next_after": 0, "ended": False, "last_position": 0}


def test_a_long_poll_on_an_ended_invocation_answers_at_once(shared_server: Server) -> None:
    job = _ended(shared_server, events=3)
    # The client's own patience is 30 s, so that waiting the 60 s would fail the test.
    assert job.page(after=3, wait=60) == {"items": [], "next_after": 3, "ended": True, "last_position": 3}


def test_a_long_poll_answers_when_the_invocation_ends(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened(), closed()], producer="p", first_seq=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(job.page, after=2, wait=25)
        job.finish(exit_code=0)
        assert waiting.result(30) == {"items": [], "next_after": 2, "ended": True, "last_position": 2}


def test_a_long_poll_for_one_method_sleeps_through_the_others(shared_server: Server) -> None:
    job = register(shared_server)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(job.page, wait=25, method="closed")
        job.append([opened(), custom(1)], producer="p", first_seq=1)
        job.append([closed()], producer="p", first_seq=3)
        page = waiting.result(30)
    assert [event["position"] for event in page["items"]] == [3]


# Server-sent events


def test_events_are_pushed_while_the_process_still_runs(shared_server: Server) -> None:
    job = register(shared_server)
    with job.stream() as events:
        for number in range(1, 4):
            job.append([custom(number)], producer="p", first_seq=number)
            event = next(events)
            assert (event.event, event.id, event.data["position"]) == (None, str(number), number)
            assert event.data["params"] == {"payload": number}


def test_a_stream_ends_with_the_invocation(shared_server: Server) -> None:
    job = register(shared_server)
    with job.stream() as events:
        job.append([opened(), closed()], producer="p", first_seq=1)
        assert [next(events).data["method"] for _ in range(2)] == ["opened", "closed"]
        job.finish(exit_code=0)
        end = next(events)
        assert (end.event, end.id) == ("end", None)
        assert (end.data["id"], end.data["verdict"]) == (job.id, "succeeded")
        assert next(events, None) is None


def test_the_stream_of_an_ended_invocation_is_whole(shared_server: Server) -> None:
    job = _ended(shared_server, events=MANY)
    with job.stream() as events:
        *stored, end = list(events)
    assert [event.id for event in stored] == [str(n) for n in range(1, MANY + 1)]
    assert [event.data["position"] for event in stored] == list(range(1, MANY + 1))
    assert end.event == "end"


@pytest.mark.parametrize("how", ["header", "query", "both"])
def test_a_stream_resumes_after_the_last_event_seen(shared_server: Server, how: str) -> None:
    job = _ended(shared_server, events=10)
    headers = {"Last-Event-ID": "7"} if how != "query" else {}
    query = {"after": 7 if how == "query" else 2} if how != "header" else {}
    with job.stream(headers=headers, **query) as events:
        assert [event.id for event in events] == ["8", "9", "10", None]


def test_a_stream_that_resumes_at_the_end_gets_the_end_alone(shared_server: Server) -> None:
    job = _ended(shared_server, events=3)
    with job.stream(after=3) as events:
        assert [event.event for event in events] == ["end"]


def test_a_malformed_last_event_id_is_named(shared_server: Server) -> None:
    job = register(shared_server)
    answer = shared_server.http.get(
        f"{job.path}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "seven"}
    )
    assert problem_of(answer, status=400, name="malformed")["header"] == "Last-Event-ID"


def test_a_stream_may_ask_for_some_methods_only(shared_server: Server) -> None:
    job = _ended(shared_server, events=10)
    with job.stream(method="opened,closed") as events:
        assert [(event.event, event.id) for event in events] == [(None, "1"), (None, "10"), ("end", None)]


def test_streams_say_that_they_must_not_be_buffered_or_kept(shared_server: Server) -> None:
    job = _ended(shared_server, events=2)
    for accept in ("text/event-stream", "application/x-ndjson"):
        answer = shared_server.http.get(f"{job.path}/events", headers={"Accept": accept})
        assert answer.headers["content-type"].startswith(accept)
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"


def test_every_reader_of_an_invocation_gets_every_event(shared_server: Server) -> None:
    job = register(shared_server)
    readers = 4
    started = threading.Barrier(readers + 1, timeout=30)

    def read() -> list[str | None]:
        with job.stream() as events:
            started.wait()
            return [event.id for event in events]

    with ThreadPoolExecutor(readers) as pool:
        reading = [pool.submit(read) for _ in range(readers)]
        started.wait()
        job.append([opened(), *(custom(n) for n in range(50)), closed()], producer="p", first_seq=1)
        job.finish(exit_code=0)
        expected = [*(str(n) for n in range(1, 53)), None]
        assert [future.result(30) for future in reading] == [expected] * readers


def test_a_deleted_invocation_ends_its_streams(shared_server: Server) -> None:
    job = register(shared_server)
    with job.stream() as events:
        job.append([custom(1)])
        assert next(events).id == "1"
        assert shared_server.http.delete(job.path, params={"force": "true"}).status_code == 204
        assert [event.event for event in events] == ["bye"]


def test_a_slow_reader_holds_up_nobody(shared_server: Server) -> None:
    job = register(shared_server)
    large = "x" * 200_000
    with job.stream() as slow:
        for number in range(1, 61):
            assert job.append([custom(large)], producer="p", first_seq=number).status_code == 200
        assert job.page(after=59)["items"][0]["position"] == 60
        assert [next(slow).id for _ in range(60)] == [str(n) for n in range(1, 61)]


# Lines


def test_lines_come_as_they_are_reported_and_end_with_the_invocation(shared_server: Server) -> None:
    job = register(shared_server)
    with job.lines() as lines:
        job.append([opened()], producer="p", first_seq=1)
        assert next(lines)["method"] == "opened"
        job.append([closed()], producer="p", first_seq=2)
        assert next(lines)["position"] == 2
        job.finish(exit_code=0)
        assert next(lines, None) is None


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("text/event-stream", "text/event-stream"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("text/html, application/x-ndjson;q=0.9, */*;q=0.1", "application/x-ndjson"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_the_form_follows_the_accept_header(shared_server: Server, accept: str, media: str) -> None:
    job = _ended(shared_server, events=2)
    answer = shared_server.http.get(f"{job.path}/events", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(media)


def test_all_four_forms_tell_the_same_events(shared_server: Server) -> None:
    job = _ended(shared_server, events=20)
    with job.stream() as sent, job.lines() as lines:
        forms: list[Callable[[], object]] = [
            lambda: [event.data for event in sent if event.event is None],
            lambda: list(lines),
            lambda: job.events(wait=5),
        ]
        for read in forms:
            assert read() == job.events()
