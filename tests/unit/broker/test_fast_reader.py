"""Messages with all their parameters, as the SDK sends them, take the fast reader: it knows every rule and limit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from standpipe_protocol.limits import Limits
from standpipe_server.broker.messages.batches import PLAIN_BYTES, parse_batch, parse_plain
from standpipe_server.broker.messages.lean_structs import decode_lean
from standpipe_server.broker.messages.parsed_message import ErrorLog, Opening, ParsedMessage
from standpipe_server.broker.messages.splitting import Media, Refused
from tests.support.wire import check, closed, custom, log, materialization, opened

LIMITS = Limits()
LONG = "n" * (LIMITS.name_characters + 1)
OUTPUT: dict[str, Any] = {
    "method": "log_external_stream",
    "params": {"stream": "stdout", "text": "x", "extras": {}},
}


def parsed(wire: object, *, limits: Limits = LIMITS) -> ParsedMessage:
    text = json.dumps(wire).encode()
    assert decode_lean(text) is not None, "The fast reader does not see it."
    (message,) = parse_batch(text, media="json", limits=limits).messages
    return message


def changed(wire: dict[str, Any], parameter: str, value: object) -> dict[str, Any]:
    return wire | {"params": wire["params"] | {parameter: value}}


@pytest.mark.parametrize("wire", [opened(), log("m"), OUTPUT, materialization("a"), check("a", "c"), custom(1)])
def test_what_is_right_is_taken(wire: dict[str, Any]) -> None:
    message = parsed(wire)
    assert (message.method, message.problem) == (wire["method"], None)


@pytest.mark.parametrize(
    ("wire", "parameter", "value"),
    [
        (log("m"), "level", "Level 25"),
        (OUTPUT, "stream", "tty"),
        (OUTPUT, "extras", []),
        (materialization("a"), "asset_key", LONG),
        (materialization("a"), "asset_key", "/"),
        (materialization("a"), "data_version", LONG),
        (materialization("a"), "metadata", []),
        (check("a", "c"), "asset_key", LONG),
        (check("a", "c"), "asset_key", ""),
        (check("a", "c"), "check_name", LONG),
        (check("a", "c"), "severity", "FATAL"),
        (check("a", "c"), "metadata", "none"),
    ],
)
def test_one_wrong_parameter_is_rejected_by_name(wire: dict[str, Any], parameter: str, value: object) -> None:
    message = parsed(changed(wire, parameter, value))
    assert message.problem is not None
    assert message.problem.members["pointer"] == f"/params/{parameter}"


@pytest.mark.parametrize(
    ("wire", "parameter"),
    [
        (materialization("a"), "asset_key"),
        (materialization("a"), "data_version"),
        (check("a", "c"), "asset_key"),
        (check("a", "c"), "check_name"),
    ],
)
def test_a_name_at_the_limit_is_taken(wire: dict[str, Any], parameter: str) -> None:
    assert parsed(changed(wire, parameter, LONG[1:])).problem is None


@pytest.mark.parametrize("level", ["ERROR", "critical", "FATAL"])
def test_an_error_is_told_from_other_log_lines(level: str) -> None:
    assert parsed(log("broken", level=level)).content == ErrorLog("broken")
    assert parsed(log("broken", level="WARNING")).content is None


def test_an_opening_that_says_who_it_is_is_read_whole() -> None:
    content = parsed(changed(opened(), "extras", {"rank": 3})).content
    assert isinstance(content, Opening)
    assert content.process == {"rank": 3}


def test_a_closed_with_an_exception_is_read_whole() -> None:
    text = json.dumps([closed(exception={"message": "boom", "stack": None, "name": None, "cause": None})]).encode()
    (message,) = parse_batch(text, media="json", limits=LIMITS).messages
    assert "boom" in str(message.content)


@pytest.mark.parametrize("media", ["json", "ndjson"])
@pytest.mark.parametrize("separator", [",", "\n,", ",\n"])
def test_messages_with_a_comma_between_them_are_neither_a_message_nor_lines(media: Media, separator: str) -> None:
    two = separator.join(json.dumps(custom(number)) for number in range(2)).encode()
    with pytest.raises(Refused) as refused:
        parse_batch(two, media=media, limits=LIMITS)
    assert refused.value.problem.name == "malformed"


@pytest.mark.parametrize("media", ["json", "ndjson"])
def test_bytes_that_are_no_utf8_are_refused(media: Media) -> None:
    text = json.dumps(custom("x")).encode().replace(b"x", b"\xff")
    with pytest.raises(Refused) as refused:
        parse_batch(text, media=media, limits=LIMITS)
    assert refused.value.problem.name == "malformed"


@pytest.mark.parametrize(
    ("limit", "wires"),
    [
        ({"batch_messages": 2}, [custom(1), custom(2), custom(3)]),
        ({"message_bytes": 100}, [custom("x" * 100)]),
        ({"json_depth": 5}, [custom([[[[[1]]]]])]),
        # Brackets side by side, so that their number alone says nothing.
        ({"json_depth": 5}, [custom([[], [], [], [[[[1]]]]])]),
    ],
)
def test_a_limit_is_told_of_messages_that_are_right(limit: dict[str, int], wires: list[object]) -> None:
    body = json.dumps(wires).encode()
    with pytest.raises(Refused) as refused:
        parse_batch(body, media="json", limits=replace(LIMITS, **limit))
    assert refused.value.problem.members["limit_name"] == next(iter(limit))


def test_a_longer_integer_than_the_limit_has_its_message_rejected() -> None:
    limits = replace(LIMITS, integer_digits=20)
    body = f"[{json.dumps(custom(10**21))},{json.dumps(custom(10**19))}]".encode()
    long, short = parse_batch(body, media="json", limits=limits).messages
    assert long.problem is not None
    assert long.problem.members["pointer"] == "/params/payload"
    assert short.problem is None


def test_brackets_in_a_text_are_no_nesting() -> None:
    (message,) = parse_batch(json.dumps([custom("[" * 300)]).encode(), media="json", limits=LIMITS).messages
    assert message.problem is None


def test_a_larger_body_is_left_to_a_thread() -> None:
    wire = custom("x" * PLAIN_BYTES)
    body = json.dumps([wire]).encode()
    assert parse_plain(body, media="json", limits=LIMITS) is None
    assert parse_batch(body, media="json", limits=LIMITS).messages == [parsed(custom("x"))]
