"""Two server processes on one PostgreSQL serve the same invocation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, closed, custom, opened, register, sent_events


@pytest.fixture
def servers(start_server: ServerFactory, postgres_url: str) -> tuple[Server, Server]:
    return start_server(database_url=postgres_url), start_server(database_url=postgres_url)


def _through(server: Server, job: Job) -> Job:
    return Job(server, job.registered, server.client(token=job.registered["token"]))


def test_a_reader_on_one_server_sees_at_once_what_is_reported_to_the_other(servers: tuple[Server, Server]) -> None:
    first, second = servers
    here = register(first)
    there = _through(second, here)
    with there.stream() as events:
        for number in range(1, 6):
            here.append([custom(number)], producer="p", first_seq=number)
            assert next(events).id == str(number)
        here.append([opened(), closed()], producer="p", first_seq=6)
        here.finish(exit_code=0)
        assert [event.event for event in events] == [None, None, "end"]


def test_one_producer_may_report_to_both_and_a_retry_at_the_other_is_known(servers: tuple[Server, Server]) -> None:
    first, second = servers
    here = register(first)
    there = _through(second, here)
    batch = [custom(1), custom(2)]
    assert here.append(batch, producer="p", first_seq=1).status_code == 200
    again = there.append(batch, producer="p", first_seq=1)
    assert (again.status_code, again.json()["last_position"]) == (200, 2)
    assert there.append([custom(3)], producer="p", first_seq=3).json()["last_position"] == 3


def test_positions_have_no_gaps_however_the_appends_race(servers: tuple[Server, Server]) -> None:
    first, second = servers
    here = register(first)
    there = _through(second, here)

    def report(job: Job, producer: str) -> None:
        for number in range(1, 21):
            assert job.append([custom(number)], producer=producer, first_seq=number).status_code == 200

    with there.stream() as events, ThreadPoolExecutor(4) as pool:
        running = [pool.submit(report, job, f"p{n}") for n, job in enumerate((here, there, here, there))]
        assert [next(events).id for _ in range(80)] == [str(n) for n in range(1, 81)]
        for future in running:
            future.result(30)


def test_a_cancel_at_one_server_is_heard_at_the_other(servers: tuple[Server, Server]) -> None:
    first, second = servers
    here = register(first)
    first.http.post(f"{here.path}/cancel")
    assert _through(second, here).heartbeat().json()["control"] == {"cancel_requested": True}


def test_readers_go_on_after_the_database_closed_the_connection_that_listens(
    servers: tuple[Server, Server], postgres_url: str
) -> None:
    first, second = servers
    here = register(first)
    with _through(second, here).stream() as events:
        here.append([custom(1)], producer="p", first_seq=1)
        assert next(events).id == "1"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'standpipe-feed' AND datname = current_database()"
            ).fetchall()
            assert len(ended) == 2
        here.append([custom(2)], producer="p", first_seq=2)
        assert next(events).id == "2"
        wait_until(
            lambda: "standpipe_feed_deaf 0.0" in second.http.get(f"{second.url}/metrics").text,
            what="the connection to be made again",
        )
        here.append([custom(3)], producer="p", first_seq=3)
        assert next(events).id == "3"


def test_one_key_at_both_servers_at_once_is_one_invocation(servers: tuple[Server, Server]) -> None:
    def registered(number: int) -> tuple[int, str]:
        headers = {"Idempotency-Key": f"key {number // 8}"}
        answer = servers[number % 2].http.post("/invocations", json={}, headers=headers)
        return answer.status_code, answer.text if answer.is_error else answer.json()["invocation"]["id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(registered, range(240)))
    assert {status for status, _ in answers} == {201}, answers
    assert len({found for _, found in answers}) == 30


def test_a_deletion_at_one_server_ends_the_streams_at_the_other(servers: tuple[Server, Server]) -> None:
    here, there = servers
    job = register(here)
    job.append(custom(1))
    headers = {"Accept": "text/event-stream"}
    # Well under the pause after which a reader looks by itself.
    with there.http.stream("GET", f"{job.path}/events", headers=headers, timeout=5) as answer:
        events = sent_events(answer)
        assert next(events).id == "1"
        assert here.http.delete(job.path, params={"force": "true"}).status_code == 204
        assert next(events).event == "bye"


def test_a_cancel_at_one_server_is_heard_by_streams_at_the_other(servers: tuple[Server, Server]) -> None:
    here, there = servers
    job = register(here)
    job.append(custom(1))
    headers = {"Accept": "text/event-stream"}
    with there.http.stream("GET", f"{job.path}/events", headers=headers, timeout=5) as answer:
        events = sent_events(answer)
        assert next(events).id == "1"
        assert here.http.post(f"{job.path}/cancel").status_code == 200
        assert next(events).event == "control"
