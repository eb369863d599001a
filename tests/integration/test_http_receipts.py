"""The delivery receipt: the producer's own ledger against what is stored, who wrote, and what is still missing."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.wire import Job, Json, check, closed, custom, materialization, opened, register

_GZIP = {"Content-Encoding": "gzip"}


def texts(messages: Sequence[Json]) -> list[bytes]:
    """Each message as its producer wrote it, not as Python would by default."""
    return [json.dumps(message, separators=(", ", " : "), ensure_ascii=False).encode() for message in messages]


def sha256(written: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(text + b"\n" for text in written)).hexdigest()


def with_ledger(before: Sequence[bytes], **changes: Any) -> bytes:
    """The `closed` that follows these messages, with a right ledger but for `changes`."""
    number = len(before) + 1
    ledger = {"messages": number, "last_seq": number, "dropped_logs": 0, "sha256": sha256(before)}
    return json.dumps(closed(ledger=ledger | changes)).encode()


def send(job: Job, written: Sequence[bytes], *, first_seq: int, producer: str = "p") -> None:
    answer = job.append(b"[" + b" ,\n".join(written) + b"]", producer=producer, first_seq=first_seq)
    assert answer.status_code == 200, answer.text


def only_reason(ended: Json) -> Json:
    (reason,) = ended["reasons"]
    return reason


def test_a_ledger_that_agrees_makes_a_whole_receipt_that_says_so_in_a_sentence(shared_server: Server) -> None:
    job = register(shared_server)
    hello = {"method": "opened", "params": {"extras": {"rank": 2, "host": "n7", "pid": 41, "shell": "bash"}}}
    written = texts([hello, custom("ä"), custom({"n": 10**40}), *(custom(n) for n in range(300))])
    send(job, written[:2], first_seq=1)
    send(job, written[1:], first_seq=2)
    send(job, [with_ledger(written, dropped_logs=4)], first_seq=len(written) + 1)
    ended = job.finish(exit_code=0)
    receipt = ended["receipt"]
    assert ended["verdict"] == "succeeded"
    assert (receipt["whole"], receipt["sent"], receipt["stored"], receipt["dropped_logs"]) == (True, 304, 304, 4)
    assert receipt["summary"] == "sent 304, stored 304, no gap, 4 log lines dropped before they got a number"
    (mine,) = receipt["producers"]
    assert mine["process"] == {"rank": 2, "host": "n7", "pid": 41}
    assert (mine["ledger"], mine["sha256"], mine["sent"]) == ("agrees", sha256(written), 304)
    assert mine["last_word_at"] <= ended["ended_at"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"messages": 9}, "It sent 9 messages through its `closed`, which is stored as its number 4."),
        ({"last_seq": 9}, "Its `closed` had the number 9 and is stored as number 4."),
        ({"by_method": {"log": 4}}, "It counted {'log': 4}"),
        ({"sha256": "0" * 64}, "the SHA-256 000000000000…"),
    ],
)
def test_a_ledger_that_disagrees_is_incomplete_and_the_reason_names_the_numbers(
    shared_server: Server, changes: Json, says: str
) -> None:
    job = register(shared_server)
    written = texts([opened(), custom(1), custom(2)])
    send(job, [*written, with_ledger(written, **changes)], first_seq=1)
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    assert only_reason(ended)["code"] == "ledger-disagrees"
    assert says in only_reason(ended)["detail"]
    assert ended["receipt"]["whole"] is False
    assert "the ledger of producer p disagrees" in ended["receipt"]["summary"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"messages": 10**30, "last_seq": 10**30, "dropped_logs": -(10**30)}, "sent 1000000000000000000000000000000"),
        ({"sha256": "\u0000" * 64}, "no SHA-256 in 64 hexadecimal digits"),
        ({"sha256": "a" * 100_000}, "no SHA-256 in 64 hexadecimal digits"),
        ({"by_method": {f"\u0000{n}": n for n in range(20_000)}}, "It counted {'"),
    ],
)
def test_a_ledger_of_nonsense_is_a_disagreement_and_stays_small(
    shared_server: Server, changes: Json, says: str
) -> None:
    job = register(shared_server)
    written = texts([opened(), custom(1)])
    send(job, [*written, with_ledger(written, **changes)], first_seq=1)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], only_reason(ended)["code"]) == ("incomplete", "ledger-disagrees")
    assert says in only_reason(ended)["detail"]
    assert len(only_reason(ended)["detail"]) < 4_000
    assert ended["receipt"]["dropped_logs"] == 0


def test_what_was_changed_on_its_way_is_found_though_every_number_is_right(shared_server: Server) -> None:
    job = register(shared_server)
    written = texts([opened(), custom(1), custom(2)])
    send(job, [written[0], written[1], *texts([custom(3)]), with_ledger(written)], first_seq=1)
    detail = only_reason(job.finish(exit_code=0))["detail"]
    arrived = [written[0], written[1], *texts([custom(3)])]
    assert sha256(written)[:12] in detail
    assert sha256(arrived)[:12] in detail


def test_a_ledger_is_compared_after_retries_compression_rejections_and_a_restart(server: Server) -> None:
    job = register(server)
    wrong = {"method": "log", "params": {}}
    written = texts([opened(), wrong, *(custom("x" * 600) for _ in range(200))])
    assert job.append(b"[" + b",".join(written[:50]) + b"]", producer="p", first_seq=1).status_code == 207
    body = gzip.compress(b"\n".join(written[40:]))
    headers = {**_GZIP, "Content-Type": "application/x-ndjson"}
    assert job.append(body, producer="p", first_seq=41, headers=headers).status_code == 200
    send(job, texts([custom("another's")]), first_seq=1, producer="q")
    server.kill9()
    server.restart()
    job = Job(server, job.registered, server.client(token=job.registered["token"]))
    send(job, [*written[-3:], with_ledger(written)], first_seq=len(written) - 2)
    ledgers = {one["producer"]: one["ledger"] for one in job.finish()["receipt"]["producers"]}
    assert ledgers == {"p": "agrees", "q": "none"}


def test_a_repeated_closed_is_compared_again_and_a_retry_of_it_changes_nothing(shared_server: Server) -> None:
    job = register(shared_server)
    written = texts([opened(), custom(1)])
    first = with_ledger(written)
    second = with_ledger([*written, first])
    send(job, [*written, first, second], first_seq=1)
    send(job, [first, second], first_seq=3)
    ended = job.finish()
    assert (ended["verdict"], ended["receipt"]["stored"]) == ("succeeded", 4)


def test_a_program_without_a_ledger_gets_the_servers_own_count(shared_server: Server) -> None:
    job = register(shared_server)
    for message in (opened(), custom(1), closed()):
        job.append(message)
    receipt = job.finish()["receipt"]
    assert (receipt["whole"], receipt["summary"]) == (True, "sent 3, stored 3, no gap")


def test_a_ledger_delivered_after_the_end_makes_the_receipt_whole(shared_server: Server) -> None:
    job = register(shared_server)
    written = texts([opened(), custom(1), custom(2)])
    send(job, written[:2], first_seq=1)
    job.heartbeat(producer="p", numbered=4)
    early = job.finish(exit_code=0)
    assert (early["verdict"], early["receipt"]["whole"]) == ("incomplete", False)
    assert early["receipt"]["summary"].startswith("sent 4, stored 2, 2 of producer p never arrived, producer p never")
    send(job, [written[2], with_ledger(written)], first_seq=3)
    late = job.read()
    assert (late["verdict"], late["revision"], late["receipt"]["whole"]) == ("succeeded", 1, True)
    history = shared_server.http.get(f"{job.path}/history").json()["items"]
    assert history[-1]["change"] == "revised"
    assert history[-1]["detail"] == {"verdict": "succeeded", "reasons": [], "revision": 1}


def test_of_many_ranks_the_one_that_is_silent_is_seen_first_and_named(shared_server: Server) -> None:
    job = register(shared_server)
    for rank in range(5):
        hello = {"method": "opened", "params": {"extras": {"rank": rank, "host": f"n{rank}"}}}
        job.append([hello], producer=f"p{rank}", first_seq=1)
    for rank in (0, 1, 3, 4):
        job.append([custom(rank)], producer=f"p{rank}", first_seq=2)
    job.append([closed()], producer="p3", first_seq=3)
    job.heartbeat(producer="p0", numbered=2)
    shown = job.read()["producers"]
    assert [one["producer"] for one in shown] == ["p2", "p1", "p4", "p0", "p3"]
    silent = shown[0]
    assert (silent["opened"], silent["closed"], silent["stored"]) == (True, False, 1)
    assert silent["process"] == {"rank": 2, "host": "n2"}
    for rank in (0, 1, 4):
        job.append([closed()], producer=f"p{rank}", first_seq=3)
    detail = only_reason(job.finish())["detail"]
    since = silent["last_word_at"][:19] + "Z"
    assert detail.startswith(f"Producer p2 (rank 2, host n2) opened and never closed, silent since {since};")


def test_a_lost_invocation_names_who_was_open_and_since_when_it_is_silent(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=0.3)
    job.append([opened()], producer="p", first_seq=1)
    with job.stream(after=1) as events:
        lost = next(events).data
    assert lost["verdict"] == "lost"
    assert "Open was producer p, silent since " in lost["reasons"][0]["detail"]


def test_what_is_expected_fills_up_while_it_runs(shared_server: Server) -> None:
    expected = {
        "asset_keys": ["a", "pre/b"],
        "checks": [{"asset_key": "a", "check_name": "fresh"}],
        "custom_messages": 2,
    }
    job = register(shared_server, expected=expected)
    nothing = job.read()["expected_progress"]
    assert nothing["complete"] is False
    assert nothing["asset_keys"] == {"reported": [], "missing": ["a", "pre/b"]}
    job.append([opened(), materialization("pre/b"), check("a", "other"), custom(1)], producer="p", first_seq=1)
    some = job.read()["expected_progress"]
    assert some["asset_keys"] == {"reported": ["pre/b"], "missing": ["a"]}
    assert some["checks"] == {"reported": [], "missing": expected["checks"]}
    assert some["custom_messages"] == {"reported": 1, "expected": 2}
    job.append([custom(2), materialization("a"), check("a", "fresh"), closed()], producer="p", first_seq=5)
    assert job.read()["expected_progress"]["complete"] is True
    assert job.finish()["expected_progress"]["complete"] is True
    assert register(shared_server).read()["expected_progress"] is None


def test_the_etag_changes_with_the_word_of_any_producer(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    job.append([custom(1)], producer="launcher", first_seq=1)
    before = shared_server.http.get(job.path).headers["etag"]
    job.heartbeat(producer="launcher", numbered=1)
    answer = shared_server.http.get(job.path, headers={"If-None-Match": before})
    assert answer.status_code == 200
    assert shared_server.http.get(job.path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_one_message_that_never_came_is_seen_and_makes_it_whole_when_it_comes(shared_server: Server) -> None:
    job = register(shared_server, expected={"custom_messages": 1})
    # Numbers are told once: what comes after brings none, alone or with others.
    assert job.append([opened()], producer="p", first_seq=1, headers={"Standpipe-Numbered": "5"}).is_success
    assert job.append(custom(1), producer="p", first_seq=2).is_success
    assert job.append([custom(2), closed()], producer="p", first_seq=3).is_success
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    reason = only_reason(ended)
    assert (reason["code"], reason["producer"]) == ("missing-tail", "p")
    assert "5 never arrived" in reason["detail"]
    assert (ended["receipt"]["whole"], ended["receipt"]["sent"], ended["receipt"]["stored"]) == (False, 5, 4)
    assert "1 of producer p never arrived" in ended["receipt"]["summary"]
    assert job.append(closed(), producer="p", first_seq=5).is_success
    ended = job.read()
    assert (ended["verdict"], ended["receipt"]["whole"]) == ("succeeded", True)


def test_one_expected_custom_message_that_never_came_is_seen(shared_server: Server) -> None:
    job = register(shared_server, expected={"custom_messages": 2})
    assert job.append([opened(), custom(1), closed()], producer="p", first_seq=1).is_success
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], only_reason(ended)["code"]) == ("incomplete", "missing-custom-messages")
