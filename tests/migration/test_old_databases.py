"""A database that a server of protocol 1.0 filled, after the upgrade: it answers what it answered.

No old verdict is computed again, neither by the migration nor by reading nor by the sweeper.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from standpipe_server.store.database.engines import database_url as parse_url
from tests.conftest import DATABASES, ServerFactory
from tests.migration import old_story
from tests.migration.answers import NOT_ABOUT_HISTORY, ROUTES, Answers
from tests.migration.old_database import Database, Told, restore, told, wait_for_the_sweeper
from tests.migration.old_words import ledger
from tests.support import baseline
from tests.support.server import Server
from tests.support.wire import Job, custom, materialization, opened

# What programs and people sent is exactly what it was; everything else may have got further members.
_AS_SENT = frozenset(
    {"params", "details", "context", "metadata", "tags", "expected", "launcher", "exception", "values"}
)
_SHOWN = 20
_CODES = {
    "cancel-requested",
    "exception",
    "exit-code",
    "rejected-messages",
    "lease-expired",
    "not-launched",
    "never-opened",
    "never-closed",
    "missing-tail",
    "ledger-disagrees",
    "missing-materialization",
    "missing-check",
    "missing-custom-messages",
    "more",
}
_CHANGES = {
    "registered",
    "opened",
    "cancel-requested",
    "finished",
    "lease-expired",
    "ended",
    "revised",
    "revived",
    "pinned",
    "unpinned",
}


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Database:
    return request.param


@pytest.fixture
def url(database: Database, request: pytest.FixtureRequest) -> str:
    """The URL of an old database of the test's own."""
    found: str = request.getfixturevalue("sqlite_url" if database == "sqlite" else "postgres_url")
    restore(database, found)
    return found


@pytest.fixture
def old(database: Database) -> Told:
    return told(database)


@pytest.fixture
def upgraded(url: str, start_server: ServerFactory) -> Server:
    return start_server(database_url=url)


def differences(then: Any, now: Any, *, at: str, as_sent: bool = False) -> Iterator[str]:
    """Where an answer of today is not the old one with further members."""
    if isinstance(then, dict) and isinstance(now, dict):
        if as_sent and then.keys() != now.keys():
            yield f"{at}: {sorted(then)} became {sorted(now)}"
        for name, value in then.items():
            if name in now:
                # What a comparison says about metadata is the server's; it may grow.
                sent = name in _AS_SENT and not at.startswith(" /invocations/compare")
                yield from differences(value, now[name], at=f"{at} {name}", as_sent=as_sent or sent)
            else:
                yield f"{at}: {name} is gone"
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, (before, after) in enumerate(zip(then, now, strict=True)):
            yield from differences(before, after, at=f"{at} {index}", as_sent=as_sent)
    elif then != now or type(then) is not type(now):
        yield f"{at}: {str(then)[:200]!r} became {str(now)[:200]!r}"


def test_the_old_answers_are_of_every_route_every_reason_and_every_change(old: Told) -> None:
    assert old.commit == baseline.COMMIT
    routes = {f"/api/v1{route}" for route in ROUTES}
    assert routes == set(old.routes) - NOT_ABOUT_HISTORY
    invocations = [old.answers[f"/invocations/{name}"] for name in ids(old)]
    assert {item["verdict"] for item in invocations} == {"succeeded", "failed", "cancelled", "lost", "incomplete", None}
    assert {reason["code"] for item in invocations for reason in item["reasons"]} == _CODES
    histories = [old.answers[f"/invocations/{name}/history"]["items"] for name in ids(old)]
    assert {entry["change"] for history in histories for entry in history} == _CHANGES


def ids(old: Told) -> list[str]:
    return [name for story, name in old.invocations.items() if story != old_story.DUE]


def test_an_old_database_answers_what_it_answered(old: Told, upgraded: Server) -> None:
    wait_for_the_sweeper(upgraded, old.invocations)
    now = Answers(upgraded, without=old.invocations[old_story.DUE]).collect()
    _without_numbers_that_came_later(now)
    # Through JSON, as the old ones were kept.
    found = list(differences(old.answers, json.loads(json.dumps(now)), at=""))
    assert not found, f"{len(found)} answers differ:\n" + "\n".join(found[:_SHOWN])
    assert now.keys() == old.answers.keys()


def _without_numbers_that_came_later(now: dict[str, Any]) -> None:
    """Then a number that is not finite was no number."""
    asset, labels = now["/assets/shop%2Forders"], now["/assets/shop%2Forders/metadata"]
    asset["numeric_labels"].remove("not finite")
    (later,) = [item for item in labels["items"] if item["label"] == "not finite"]
    assert later["last"]["value"] == "NaN"
    labels["items"].remove(later)
    del now["/assets/shop%2Forders/metadata/not%20finite/series?max_points=20"]


_SENTINEL = " (in the words of then)"


def test_no_old_verdict_is_computed_again(url: str, old: Told, start_server: ServerFactory) -> None:
    """Each is changed by a word that no rule would write, so that one that is computed again cannot hide."""
    engine = create_engine(parse_url(url))
    change_verdicts(engine)
    server = start_server(database_url=url)
    wait_for_the_sweeper(server, old.invocations)
    for name in ids(old):
        path = f"/invocations/{name}"
        for beside in ("/history", "/last-good", "/context", "/events"):
            assert server.http.get(path + beside).status_code == 200
        then, now = old.answers[path], server.http.get(path).json()
        assert now["revision"] == then["revision"]
        assert [reason["detail"] for reason in now["reasons"]] == [
            reason["detail"] + _SENTINEL for reason in then["reasons"]
        ]
        if then["receipt"] is not None:
            assert now["receipt"]["summary"] == then["receipt"]["summary"] + _SENTINEL
    engine.dispose()


def change_verdicts(engine: Engine) -> None:
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT pk, reasons, receipt FROM invocation WHERE verdict IS NOT NULL")).all()
        for row in rows:
            reasons = [{**reason, "detail": reason["detail"] + _SENTINEL} for reason in json.loads(row.reasons)]
            receipt = json.loads(row.receipt)
            receipt["summary"] += _SENTINEL
            connection.execute(
                text("UPDATE invocation SET reasons = :reasons, receipt = :receipt WHERE pk = :pk"),
                {"pk": row.pk, "reasons": json.dumps(reasons), "receipt": json.dumps(receipt)},
            )


@pytest.fixture
def job(old: Told, upgraded: Server) -> Callable[[str], Job]:
    """An old invocation by the name of its story, as its launcher has it."""

    def find(story: str) -> Job:
        registered = {"invocation": {"id": old.invocations[story]}}
        return Job(upgraded, registered, upgraded.http)

    return find


def test_an_old_invocation_goes_on_after_the_upgrade(job: Callable[[str], Job]) -> None:
    # What waited on a disk is delivered.
    tail = job("missing tail")
    messages = [opened(), materialization("late/asset"), custom("late")]
    answer = tail.append([messages[2], ledger(messages)], producer="worker", first_seq=3)
    assert answer.status_code == 200, answer.text
    invocation = tail.read()
    assert (invocation["verdict"], invocation["reasons"], invocation["revision"]) == ("succeeded", [], 1)
    # What was still going on comes to its end.
    running = job("running")
    running.append([materialization("live/feed"), {"method": "closed"}], producer="worker", first_seq=4)
    assert running.finish(exit_code=0)["verdict"] == "succeeded"
    assert job("waiting").finish(launched=False)["verdict"] == "incomplete"
    assert job("cancelling").finish(exit_code=143)["verdict"] == "cancelled"
    # A launcher that says again what it said changes nothing.
    said_again = job("failed by exit code alone")
    before = said_again.read()
    assert said_again.finish(exit_code=3) == before
