"""Registration, finish and heartbeat: what is read, what is refused, and extras that arrive as they were sent."""

from __future__ import annotations

import json

import pytest

from standpipe_protocol.limits import Limits
from standpipe_server.broker.lifecycle.requests import json_digest, parse_finish, parse_heartbeat, parse_registration
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.values.state import Finish


def register(body: bytes | dict[str, object], **limits: int):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_registration(text, limits=Limits(**limits))


def test_a_missing_field_of_the_context_is_null() -> None:
    registration = register({"context": {"job_name": "nightly"}})
    context = json.loads(registration.context_json)
    assert len(context) == 10
    assert (context["job_name"], context["asset_keys"], context["extras"]) == ("nightly", None, {})


def test_extras_arrive_as_they_were_sent() -> None:
    extras = b'{"price":1.10,"far":1e400,"id":' + b"9" * 5000 + b"}"
    registration = register(b'{"context":{"extras":' + extras + b"}}")
    assert b'"extras":' + extras in registration.context_json


def test_a_launcher_gives_more_time_to_settle() -> None:
    assert register({"context": {}}).settle_seconds == 10
    assert register({"context": {}, "launcher": "subprocess"}).settle_seconds == 300
    assert register({"context": {}, "launcher": "subprocess", "settle_seconds": 1}).settle_seconds == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"context": {"asset_keys": "a"}}, "/context/asset_keys"),
        ({"context": {"asset_keys": [""]}}, "/context/asset_keys"),
        ({"context": {"extras": []}}, "/context/extras"),
        ({"context": {"retry_number": "1"}}, "/context/retry_number"),
        ({"context": {"job_name": "j" * 513}}, "/context/job_name"),
        ({"context": {}, "expected": {"checks": [{"asset_key": "a"}]}}, "/expected/checks/0"),
        ({"context": {}, "tags": {"a": 1}}, "/tags"),
        ({"context": {}, "lease_seconds": 0}, "/lease_seconds"),
        ({"context": {}, "retry_of": "nonsense"}, "/retry_of"),
        ({"context": []}, "/context"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_the_place(body: dict[str, object], pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        register(body)
    assert refused.value.problem.name == "invalid-request"
    assert refused.value.problem.members["pointer"] == pointer


def test_a_context_beyond_its_limit_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        register({"context": {"extras": {"a": "x" * 1000}}}, context_bytes=500)
    assert refused.value.problem.name == "too-large"


def test_the_same_json_has_the_same_digest_however_it_is_written() -> None:
    assert json_digest(b'{"a":1,"b":[2]}') == json_digest(b'{ "b": [2],\n "a": 1 }')
    assert json_digest(b'{"a":1}') != json_digest(b'{"a":2}')


def test_a_finish_may_say_nothing_at_all() -> None:
    assert parse_finish(b"") == Finish()
    assert parse_finish(b'{"exit_code":3,"reason":"boom","unheard":1}') == Finish(exit_code=3, reason="boom")


def test_a_finish_keeps_the_end_of_a_long_reason() -> None:
    reason = parse_finish(json.dumps({"reason": "a" * 100_000 + "the end"}).encode()).reason
    assert reason is not None
    assert reason.endswith("the end")
    assert len(reason) < 100_000


def test_a_heartbeat_may_tell_what_was_numbered() -> None:
    assert parse_heartbeat(b"").producer is None
    beat = parse_heartbeat(b'{"producer":"p-1","numbered":7}')
    assert (beat.producer, beat.numbered) == ("p-1", 7)
    with pytest.raises(Refused):
        parse_heartbeat(b'{"producer":"white space"}')
