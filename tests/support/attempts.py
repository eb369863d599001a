"""Attempts in a test's few words: open with extras, send numbered messages, give a launcher's number."""

from __future__ import annotations

from typing import Any

from tests.support.wire import Job, Json

CURRENT = {"cancel_requested": False}
SUPERSEDED = {"cancel_requested": False, "superseded": True}


def opening(**extras: object) -> Json:
    return {"method": "opened", "params": {"extras": extras}}


def send(job: Job, producer: str, *messages: Json, first_seq: int = 1) -> Json:
    answer = job.append(list(messages), producer=producer, first_seq=first_seq)
    assert answer.status_code in (200, 207), answer.text
    return answer.json()


def number(job: Job, attempt: Any, name: str | None = None) -> Json:
    members = {"attempt": attempt} | ({"name": name} if name else {})
    answer = job.server.http.post(f"{job.path}/attempts", json=members)
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(invocation: Json) -> list[str]:
    return [reason["code"] for reason in invocation["reasons"]]


def notes(event: Json) -> list[str]:
    return [note["code"] for note in event.get("notes", [])]
