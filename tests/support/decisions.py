"""What is sent and what is decided: the protocol's tables of accepted messages and of appends, as cases for every door.

A door is the real server or the recording broker of `standpipe.testing`; both have to decide each case alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.wire import Json, check, closed, custom, log, materialization, observation, opened

LIMITS = {"name_characters": 512, "integer_digits": 100_000, "json_depth": 128, "batch_messages": 10_000}
INVALID, DUPLICATE = "invalid-message", "duplicate-materialization"
SUPERVISOR: Json = {"method": "opened", "params": {"extras": {"role": "supervisor"}}}
LONG = "k" * (LIMITS["name_characters"] + 1)
DIGITS = "7" * (LIMITS["integer_digits"] + 1)


def message(method: str, **params: Any) -> Json:
    return {"method": method, "params": params}


def text_of(payload: str) -> str:
    """A custom message whose payload is not written by Python."""
    return '{"method":"report_custom_message","params":{"payload":' + payload + "}}"


def end(**params: Any) -> Json:
    return message("report_process_end", **params)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCase:
    """One message, and the problem and place with which it is rejected; neither where it is accepted."""

    sent: object
    """A text is sent as it is."""
    problem: str | None = None
    pointer: str | None = None
    before: Sequence[Json] = ()
    """What the same producer has sent."""
    asset_keys: Sequence[str] | None = None

    @property
    def text(self) -> str:
        return self.sent if isinstance(self.sent, str) else json.dumps(self.sent)


def accepted(sent: object, **more: Any) -> MessageCase:
    return MessageCase(sent=sent, **more)


def rejected(sent: object, pointer: str | None, *, problem: str = INVALID, **more: Any) -> MessageCase:
    return MessageCase(sent=sent, problem=problem, pointer=pointer, **more)


MESSAGES: Mapping[str, MessageCase] = {
    # Keys and names.
    "a key in scope": accepted(materialization("a"), asset_keys=["a", "b"]),
    "a key in scope in another spelling": accepted(materialization("p/a/"), asset_keys=["p/a"]),
    "a scope in another spelling": accepted(materialization("p/a"), asset_keys=["p/a/"]),
    "a key out of scope": rejected(materialization("c"), "/params/asset_key", asset_keys=["a", "b"]),
    "a check out of scope": rejected(check("c", "x"), "/params/asset_key", asset_keys=["a"]),
    "any key without a scope": accepted(materialization("c")),
    "any key in an empty scope": accepted(materialization("c"), asset_keys=[]),
    "an empty key": rejected(materialization(""), "/params/asset_key"),
    "a key of nothing but an empty part": rejected(check("/", "x"), "/params/asset_key"),
    "a key that is too long": rejected(materialization(LONG), "/params/asset_key"),
    "the longest key": accepted(materialization(LONG[1:])),
    "a check's name that is too long": rejected(check("a", LONG), "/params/check_name"),
    "the longest name of a check": accepted(check("a", LONG[1:])),
    "a data version that is too long": rejected(materialization("a", data_version=LONG), "/params/data_version"),
    "a key that is no text": rejected(message("report_asset_materialization", asset_key=1), "/params/asset_key"),
    "a materialization without a key": rejected(message("report_asset_materialization"), "/params/asset_key"),
    "a materialization without more": accepted(message("report_asset_materialization", asset_key="a")),
    "a data version that is no text": rejected(
        message("report_asset_materialization", asset_key="a", data_version=1), "/params/data_version"
    ),
    "metadata that are a list": rejected(
        message("report_asset_materialization", asset_key="a", metadata=[]), "/params/metadata"
    ),
    "a metadata entry in a wrong shape": accepted(materialization("a", metadata={"rows": {"type": "int"}})),
    # Twice.
    "a second materialization": rejected(
        materialization("a"), None, problem=DUPLICATE, before=[opened(), materialization("a")]
    ),
    "a second materialization in another spelling": rejected(
        materialization("p/a/"), None, problem=DUPLICATE, before=[materialization("p/a")]
    ),
    "a materialization after one that was rejected": accepted(
        materialization("a"), before=[materialization("a", data_version=LONG)]
    ),
    "the same check again": accepted(check("a", "x"), before=[check("a", "x")]),
    # Observations.
    "an observation": accepted(
        observation("a", metadata={"n": 1}, data_version="1", partition="p", tags={"t": "x"}), asset_keys=["a"]
    ),
    "an observation again": accepted(observation("a"), before=[observation("a"), materialization("a")]),
    "a materialization after an observation": accepted(materialization("a"), before=[observation("a")]),
    "an observation out of scope": rejected(observation("c"), "/params/asset_key", asset_keys=["a"]),
    "an observation of nothing": rejected(observation(""), "/params/asset_key"),
    "an observation without a key": rejected(message("report_asset_observation"), "/params/asset_key"),
    "a partition that is too long": rejected(observation("a", partition=LONG), "/params/partition"),
    "a partition that is no text": rejected(observation("a", partition=7), "/params/partition"),
    "an observed version that is too long": rejected(observation("a", data_version=LONG), "/params/data_version"),
    "tags that are a list": rejected(observation("a", tags=[]), "/params/tags"),
    "a tag that is no text": accepted(observation("a", tags={"t": 1})),
    "metadata of an observation that are a list": rejected(observation("a", metadata=[]), "/params/metadata"),
    # Checks, logs, output, custom messages.
    "a check without a name": rejected(message("report_asset_check", asset_key="a", passed=True), "/params/check_name"),
    "a check without a result": rejected(
        message("report_asset_check", asset_key="a", check_name="x"), "/params/passed"
    ),
    "a result that is a number": rejected(
        message("report_asset_check", asset_key="a", check_name="x", passed=1), "/params/passed"
    ),
    "a severity of another name": rejected(check("a", "x", severity="FATAL"), "/params/severity"),
    "a severity in another case": rejected(check("a", "x", severity="warn"), "/params/severity"),
    "a check without a severity": accepted(message("report_asset_check", asset_key="a", check_name="x", passed=False)),
    "a level in any case": accepted(log("m", level="warning")),
    "a level of another name": rejected(log("m", level="Level 25"), "/params/level"),
    "a level that is null": rejected(message("log", message="m", level=None), "/params/level"),
    "a log without a message": rejected(message("log", level="INFO"), "/params/message"),
    "details that are no object": accepted({**log("m"), "details": 7}),
    "output of another stream": rejected(message("log_external_stream", stream="tty", text=""), "/params/stream"),
    "output without text": rejected(message("log_external_stream", stream="stdout"), "/params/text"),
    "extras of output that are no object": rejected(
        message("log_external_stream", stream="stdout", text="", extras=[]), "/params/extras"
    ),
    "a payload of null": accepted(custom(None)),
    "no payload": rejected(message("report_custom_message", other=1), "/params/payload"),
    # Shapes.
    "an unknown method": rejected(message("nonsense"), "/method"),
    "no method": rejected({"params": {}}, "/method"),
    "a method that is no text": rejected({"method": 7, "params": {}}, "/method"),
    "params of null": rejected({"method": "log", "params": None}, "/params"),
    "params that are a list": rejected({"method": "opened", "params": []}, "/params"),
    "no params where there may be none": accepted({"method": "opened"}),
    "params of null where there may be none": accepted({"method": "closed", "params": None}),
    "members and parameters that are not named": accepted(
        {"method": "log", "params": {"message": "m", "x": 1}, "x-more": [1], "__dagster_pipes_version": "0.1"}
    ),
    "an element that is no object": rejected("7", ""),
    "an element that is null": rejected("null", ""),
    # How it ended.
    "an exception's fields in the params": accepted(closed(message="boom", stack=None, cause=[], context={})),
    "an exception without a message": rejected(closed(exception={"stack": []}), "/params/exception/message"),
    "an exception that is a text": rejected(closed(exception="boom"), "/params/exception"),
    "a frame that is no text": rejected(closed(exception={"message": "m", "stack": [1]}), "/params/exception/stack"),
    "a ledger in another shape": accepted({**closed(), "ledger": "none"}),
    "anything after closed": accepted(custom(1), before=[opened(), closed()]),
    "a process's end from a supervisor": accepted(end(outcome="succeeded"), before=[SUPERVISOR]),
    "a process's end from another process": rejected(end(outcome="succeeded"), "/method", before=[opened()]),
    "a process's end before anything": rejected(end(), "/method"),
    "who opens as another and then as a supervisor": rejected(end(), "/method", before=[opened(), SUPERVISOR]),
    "an outcome of another name": rejected(end(outcome="fine"), "/params/outcome", before=[SUPERVISOR]),
    # Numbers and characters.
    "the longest integer": accepted(text_of(DIGITS[1:])),
    "an integer that is too long": rejected(text_of(f'[1,{{"a":-{DIGITS}}}]'), "/params/payload"),
    "a longer one in a text or a fraction": accepted(text_of(f'["{DIGITS}",0.{DIGITS}]')),
    "a long integer beside the params": rejected(f'{{"method":"opened","details":{{"n":{DIGITS}}}}}', "/details"),
    "what is wrong in two ways": rejected(
        f'{{"method":"log","params":{{"level":"INFO","x":{DIGITS}}},"details":{DIGITS}}}', "/params/message"
    ),
    "tokens that are no numbers": accepted(text_of("[NaN,-Infinity]")),
    "half of a surrogate pair": accepted(text_of('"\\ud800"')),
    "NUL in a text": accepted(custom("a\0b")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendCase:
    """One request, and its status, problem and what it says of it."""

    body: bytes
    status: int
    problem: str | None = None
    says: Mapping[str, object] = field(default_factory=dict[str, object])
    """Members of the answer."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    before: Sequence[Json] = ()
    """What producer `p` has sent, one request for all."""
    ended: str | None = None
    """The verdict of the invocation before the request."""


LINES = {"Content-Type": "application/x-ndjson"}


def numbered(first: int, producer: str = "p") -> Mapping[str, str]:
    return {"Standpipe-Producer": producer, "Standpipe-First-Seq": str(first)}


def many(*sent: object) -> bytes:
    return json.dumps(sent).encode()


def stored(through: int, last: int | None = None) -> Mapping[str, object]:
    return {"accepted_through": through, "last_position": through if last is None else last}


THREE = [opened(), custom(1), custom(2)]
ALL = [opened(), custom(1), closed()]
BAD = message("nonsense")
BARE_BAD = json.dumps(BAD).encode()

APPENDS: Mapping[str, AppendCase] = {
    "next in line": AppendCase(body=many(*THREE), headers=numbered(1), status=200, says=stored(3)),
    "next in line of another producer": AppendCase(
        body=many(custom(1)), headers=numbered(1, "q"), before=THREE, status=200, says=stored(1, 4)
    ),
    "a retry": AppendCase(body=many(*THREE), headers=numbered(1), before=THREE, status=200, says=stored(3)),
    "an overlap": AppendCase(
        body=many(custom(2), custom(3)), headers=numbered(3), before=THREE, status=200, says=stored(4)
    ),
    "a gap": AppendCase(
        body=many(custom(9)),
        headers=numbered(9),
        before=THREE,
        status=409,
        problem="sequence-gap",
        says={"expected_seq": 4},
    ),
    "nothing, with a gap": AppendCase(body=b"[]", headers=numbered(9), before=THREE, status=200, says=stored(3)),
    "no lines": AppendCase(body=b"\n \n", headers=LINES, status=200, says=stored(0)),
    "lines, some of them blank": AppendCase(
        body=b'{"method":"opened"}\r\n\n  {"method":"closed"}  \n', headers=LINES, status=200, says=stored(2)
    ),
    "a form, as curl calls it": AppendCase(
        body=b'{"method":"opened"}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        status=200,
        says=stored(1),
    ),
    "without numbers": AppendCase(body=many(custom(1)), before=THREE, status=200, says=stored(1, 4)),
    "some break a rule": AppendCase(
        body=many(opened(), BAD, custom(1), log("m", level="?")), headers=numbered(1), status=207, says=stored(4)
    ),
    "a retry of some that broke a rule": AppendCase(
        body=many(opened(), BAD), headers=numbered(1), before=[opened(), BAD, custom(1)], status=207, says=stored(3)
    ),
    "a bare message that breaks a rule": AppendCase(
        body=BARE_BAD,
        headers=numbered(1),
        status=422,
        problem=INVALID,
        says={"stored": True, "position": 1, "seq": 1, **stored(1)},
    ),
    "a retry of a bare message that broke a rule": AppendCase(
        body=BARE_BAD,
        headers=numbered(2),
        before=[opened(), BAD],
        status=422,
        problem=INVALID,
        says={"stored": True, "position": 2, "seq": 2, **stored(2)},
    ),
    "new, after the end": AppendCase(
        body=many(custom(1)),
        headers=numbered(4),
        before=ALL,
        ended="succeeded",
        status=409,
        problem="invocation-ended",
        says={"verdict": "succeeded", "last_position": 3},
    ),
    "new with a gap, after the end": AppendCase(
        body=many(custom(1)),
        headers=numbered(9),
        before=ALL,
        ended="succeeded",
        status=409,
        problem="invocation-ended",
    ),
    "new, after a cancel": AppendCase(
        body=many(custom(1)),
        headers=numbered(4),
        before=ALL,
        ended="cancelled",
        status=409,
        problem="invocation-ended",
        says={"verdict": "cancelled"},
    ),
    "new, after a failure": AppendCase(
        body=many(custom(1)), headers=numbered(4), before=ALL, ended="failed", status=200, says=stored(4)
    ),
    "a new producer that opens, after the end": AppendCase(
        body=many(opened(), custom(1)),
        headers=numbered(1, "late"),
        before=ALL,
        ended="succeeded",
        status=200,
        says=stored(2, 5),
    ),
    "a new producer that does not open, after the end": AppendCase(
        body=many(custom(1)),
        headers=numbered(1, "late"),
        before=ALL,
        ended="succeeded",
        status=409,
        problem="invocation-ended",
    ),
    "nothing new, after the end": AppendCase(
        body=many(*ALL), headers=numbered(1), before=ALL, ended="succeeded", status=200, says=stored(3)
    ),
    "no JSON": AppendCase(body=b"{", headers=numbered(1), status=400, problem="malformed"),
    "nothing at all": AppendCase(body=b"", headers=numbered(1), status=400, problem="malformed"),
    "a scalar": AppendCase(body=b"5", headers=numbered(1), status=400, problem="malformed"),
    "more behind the end": AppendCase(body=b"[] []", headers=numbered(1), status=400, problem="malformed"),
    "a comma too many": AppendCase(
        body=b'[{"method":"opened"},]', headers=numbered(1), status=400, problem="malformed"
    ),
    "not UTF-8": AppendCase(body=b'[{"method":"\xff"}]', headers=numbered(1), status=400, problem="malformed"),
    "a line that is no JSON": AppendCase(
        body=b'{"method":"opened"}\n{"method"',
        headers={**LINES, **numbered(1)},
        status=400,
        problem="malformed",
        says={"line": 2},
    ),
    "an unknown encoding": AppendCase(
        body=b"[]", headers={"Content-Encoding": "br"}, status=415, problem="unsupported-media-type"
    ),
    "no gzip": AppendCase(body=b"[]", headers={"Content-Encoding": "gzip"}, status=400, problem="malformed"),
    "a number that is none": AppendCase(
        body=b"[]",
        headers={"Standpipe-Producer": "p", "Standpipe-First-Seq": "one"},
        status=400,
        problem="malformed",
        says={"header": "Standpipe-First-Seq"},
    ),
    "the number 0": AppendCase(
        body=b"[]", headers=numbered(0), status=400, problem="malformed", says={"header": "Standpipe-First-Seq"}
    ),
    "a producer without a number": AppendCase(
        body=b"[]",
        headers={"Standpipe-Producer": "p"},
        status=400,
        problem="malformed",
        says={"header": "Standpipe-First-Seq"},
    ),
    "a number without a producer": AppendCase(
        body=b"[]",
        headers={"Standpipe-First-Seq": "1"},
        status=400,
        problem="malformed",
        says={"header": "Standpipe-Producer"},
    ),
    "a producer's name that is none": AppendCase(
        body=b"[]", headers=numbered(1, "a b"), status=400, problem="malformed", says={"header": "Standpipe-Producer"}
    ),
    "too many messages": AppendCase(
        body=b"[%s]" % b",".join([b"{}"] * (LIMITS["batch_messages"] + 1)),
        headers=numbered(1),
        status=413,
        problem="too-large",
        says={"limit": LIMITS["batch_messages"], "limit_name": "batch_messages"},
    ),
    "one that is nested too deep": AppendCase(
        body=b'[{"method":"x","params":%s}]' % (b"[" * 128 + b"]" * 128),
        headers=numbered(1),
        status=413,
        problem="too-large",
        says={"limit": LIMITS["json_depth"], "limit_name": "json_depth"},
    ),
    "the deepest": AppendCase(
        body=b'[{"method":"opened","details":%s}]' % (b"[" * 127 + b"]" * 127),
        headers=numbered(1),
        status=200,
        says=stored(1),
    ),
}
