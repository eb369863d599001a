"""Reports that come in one piece and reports that come in two are answered alike."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.wire import Job, closed, custom, log, materialization, opened, register

OURS = "p1"


@dataclass(frozen=True)
class Report:
    """A request to append, and whether the orchestrator ends the invocation before it."""

    body: bytes
    headers: Mapping[str, str]
    after_the_end: bool = False


def report(first_seq: int, *messages: Any, after_the_end: bool = False, **headers: str) -> Report:
    named = {"Standpipe-Producer": OURS, "Standpipe-First-Seq": str(first_seq)}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Report(json.dumps(messages).encode(), named | given, after_the_end)


STORY: Mapping[str, Sequence[Report]] = {
    "one after the other": [report(1, opened()), report(2, custom(1), log("two")), report(4, custom("ü\u2028"))],
    "one is rejected": [report(1, opened()), report(2, {"method": "no"}), report(3, materialization("not of it"))],
    "sent again": [report(1, opened(), {"method": 3}), report(1, opened(), {"method": 3}), report(2, custom(1))],
    "a gap": [report(1, opened()), report(3, custom(1))],
    "no JSON": [Report(b"[{]", {"Standpipe-Producer": OURS, "Standpipe-First-Seq": "1"}), report(1, opened())],
    "a header is wrong": [report(1, opened(), Standpipe_Producer="no such name"), report(0, opened())],
    "a header is missing": [Report(b"[]", {"Standpipe-Producer": OURS}), Report(b"[]", {"Standpipe-First-Seq": "1"})],
    "without numbers": [Report(json.dumps(opened()).encode(), {}), Report(json.dumps([custom(1)]).encode(), {})],
    "more was numbered than came": [report(1, opened(), Standpipe_Numbered="7"), report(2, custom(1))],
    "a length with zeros in front": [report(1, opened(), Content_Length=f"{len(json.dumps([opened()])):020}")],
    "lines": [Report(b'{"method":"opened"}\n{"method":"x"}\n', {"Content-Type": "application/x-ndjson"})],
    "a ledger that is true of the number only": [
        report(1, opened(), custom(1)),
        report(3, closed(ledger={"messages": {"opened": 1}, "last_seq": 3, "dropped_logs": 0, "sha256": "0" * 64})),
    ],
    "after the end": [
        report(1, opened(), custom(1)),
        report(3, custom(2), after_the_end=True),
        report(2, custom(1)),
    ],
}


@dataclass(frozen=True)
class Talk:
    """A connection to the server, kept open."""

    connection: socket.socket
    incoming: BinaryIO

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self.incoming.readline().split()[1])
        lines = iter(self.incoming.readline, b"\r\n")
        headers = dict(line.decode().strip().lower().split(": ", 1) for line in lines)
        return status, headers, self.incoming.read(int(headers.get("content-length", 0)))


@pytest.fixture
def talk(shared_server: Server) -> Iterator[Talk]:
    with (
        socket.create_connection(("127.0.0.1", shared_server.port), timeout=30) as connection,
        connection.makefile("rb") as incoming,
    ):
        yield Talk(connection, incoming)


def head(job: Job, report: Report, **more: str) -> bytes:
    headers = {
        "Host": f"127.0.0.1:{job.server.port}",
        "Authorization": f"Bearer {job.registered['token']}",
        "Content-Length": str(len(report.body)),
        **report.headers,
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /api/v1{job.path}/events HTTP/1.1\r\n{lines}\r\n".encode()


def in_one_piece(talk: Talk, job: Job, report: Report) -> tuple[int, dict[str, str], bytes]:
    talk.say(head(job, report) + report.body)
    return talk.answer()


def in_two_pieces(talk: Talk, job: Job, report: Report) -> tuple[int, dict[str, str], bytes]:
    talk.say(head(job, report, Expect="100-continue"))
    status, headers, body = talk.answer()
    if status == 100:
        talk.say(report.body)
        return talk.answer()
    # It was refused by its headers alone; the rest is read all the same.
    talk.say(report.body)
    return status, headers, body


def told(job: Job, answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], str]:
    status, headers, body = answer
    own = {name: value for name, value in headers.items() if name not in ("date", "x-request-id")}
    return status, own, re.sub(job.id, "INVOCATION", body.decode())


@pytest.mark.parametrize("story", STORY)
def test_a_report_in_one_piece_is_answered_as_one_in_two(shared_server: Server, talk: Talk, story: str) -> None:
    context = {"asset_keys": ["a"]}
    one, two = register(shared_server, context=context), register(shared_server, context=context)
    in_one_piece(talk, one, Report(b"[]", {}))  # Its token is known from here on.
    for each in STORY[story]:
        if each.after_the_end:
            one.finish(exit_code=1)
            two.finish(exit_code=1)
        ours, theirs = in_one_piece(talk, one, each), in_two_pieces(talk, two, each)
        assert told(one, ours) == told(two, theirs)
    kept = ("position", "seq", "producer", "method", "params", "problem", "notes")
    stored = [[{name: event.get(name) for name in kept} for event in job.events()] for job in (one, two)]
    assert stored[0] == stored[1]
    assert one.read()["verdict"] == two.read()["verdict"]


def test_reports_one_behind_the_other_on_a_connection_are_answered_in_turn(shared_server: Server, talk: Talk) -> None:
    job = register(shared_server)
    in_one_piece(talk, job, report(1, opened()))
    reports = [report(seq, custom(seq)) for seq in range(2, 30)]
    talk.say(b"".join(head(job, one) + one.body for one in reports))
    answers = [talk.answer() for _ in reports]
    assert [(status, json.loads(body)["accepted_through"]) for status, _, body in answers] == [
        (200, seq) for seq in range(2, 30)
    ]
    assert [event["seq"] for event in job.events()] == list(range(1, 30))


def test_a_closed_whose_ledger_has_to_be_compared_counts_once_against_the_rate(
    start_server: ServerFactory, sqlite_url: str
) -> None:
    server = start_server(database_url=sqlite_url, env={"STANDPIPE_REQUESTS_PER_SECOND": "1"})
    job = register(server)
    texts = [json.dumps(opened()), *(json.dumps(custom(seq)) for seq in range(2, 10))]
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
        connection.makefile("rb") as incoming,
    ):
        talk = Talk(connection, incoming)
        # Ten at once are allowed.
        for seq, text in enumerate(texts, 1):
            one = Report(text.encode(), report(seq).headers)
            assert in_one_piece(talk, job, one)[0] == 200
        sha256 = hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()
        ledger = {"messages": 10, "last_seq": 10, "dropped_logs": 0, "sha256": sha256}
        assert in_one_piece(talk, job, report(10, {"method": "closed", "params": {"ledger": ledger}}))[0] == 200
    job.finish(exit_code=0)
    (producer,) = job.read()["receipt"]["producers"]
    assert producer["ledger"] == "agrees"


def test_a_report_whose_sender_has_gone_is_stored_all_the_same(shared_server: Server) -> None:
    job = register(shared_server)
    assert job.append([opened()], producer=OURS, first_seq=1).is_success
    for seq in range(2, 12):
        with socket.create_connection(("127.0.0.1", shared_server.port), timeout=30) as connection:
            one = report(seq, custom(seq))
            connection.sendall(head(job, one) + one.body)
            # So that the answer cannot be written: the connection is reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    # Whatever became of these, the next in line says what is stored, and nothing is there twice.
    answer = job.append([custom(seq) for seq in range(2, 13)], producer=OURS, first_seq=2)
    assert answer.json()["accepted_through"] == 12
    assert [event["seq"] for event in job.events()] == list(range(1, 13))
