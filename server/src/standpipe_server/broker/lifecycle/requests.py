"""The control plane's request bodies, checked: registration, finish, heartbeat.

A body that breaks a rule is refused with the place and what was expected. The context's extras are carried as they
came, never decoded and encoded again: numbers of any size and precision arrive as they were sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from standpipe_protocol.context import ContextData, InvalidContext
from standpipe_protocol.invocation import (
    DEFAULT_LEASE_SECONDS,
    DEFAULT_OPEN_WITHIN_SECONDS,
    DEFAULT_SETTLE_SECONDS,
    DEFAULT_SETTLE_SECONDS_WITH_LAUNCHER,
    Expected,
    ExpectedCheck,
)
from standpipe_protocol.json_scan import json_depth, quote_non_finite, replace_lone_surrogates
from standpipe_protocol.json_text import JsonValue, json_kind
from standpipe_protocol.limits import Limits
from standpipe_protocol.members import InvalidMember
from standpipe_protocol.problems import Problem
from standpipe_protocol.process_end import NAME_CHARACTERS, Attempt, parse_attempt, parse_process_end
from standpipe_protocol.reports import canonical_asset_key
from standpipe_server.broker.lifecycle.launches import LaunchState, read_launch
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.values.ids import INVOCATION_ID, PRODUCER_ID
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.state import Finish

_Seconds = Annotated[float, Meta(gt=0, le=10 * 365 * 86400)]
_TagName = Annotated[str, Meta(min_length=1, max_length=128)]
_TagValue = Annotated[str, Meta(max_length=512)]
_REASON_CHARACTERS = 65_536
_MEMBER_BYTES = 4 * 1024 * 1024
COMPARED_BYTES = 1024 * 1024
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registration as the store takes it. `context_json` holds upstream's ten fields, extras as they came."""

    context_json: bytes
    context: ContextData
    """Without extras."""
    asset_keys: frozenset[str]
    expected: Expected
    expected_json: Mapping[str, JsonValue] | None
    tags: Mapping[str, str]
    launcher_json: bytes | None
    """As it came."""
    retry_of: str | None
    lease_seconds: float | None
    open_within_seconds: float
    settle_seconds: float
    pipes_optional: bool = False


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """`producer` and `numbered` say how many messages that producer has numbered so far; both or neither."""

    producer: Annotated[str, Meta(pattern=f"^{PRODUCER_ID.pattern}$")] | None = None
    numbered: Annotated[int, Meta(ge=0, lt=2**53)] | None = None


class _Check(msgspec.Struct):
    asset_key: str
    check_name: str


class _Expected(msgspec.Struct):
    asset_keys: list[str] | None = None
    checks: list[_Check] | None = None
    custom_messages: Annotated[int, Meta(ge=0)] | None = None


class _Context(msgspec.Struct):
    asset_keys: Raw | UnsetType = UNSET
    code_version_by_asset_key: Raw | UnsetType = UNSET
    provenance_by_asset_key: Raw | UnsetType = UNSET
    partition_key: Raw | UnsetType = UNSET
    partition_key_range: Raw | UnsetType = UNSET
    partition_time_window: Raw | UnsetType = UNSET
    run_id: Raw | UnsetType = UNSET
    job_name: Raw | UnsetType = UNSET
    retry_number: Raw | UnsetType = UNSET
    extras: Raw | UnsetType = UNSET


class _Registration(msgspec.Struct):
    context: _Context = msgspec.field(default_factory=_Context)
    expected: Raw = Raw(b"null")
    tags: Raw = Raw(b"null")
    launcher: Raw = Raw(b"null")
    retry_of: Annotated[str, Meta(pattern=f"^{INVOCATION_ID.pattern}$")] | None = None
    pipes: Literal["required", "optional"] | None = None
    lease_seconds: _Seconds | None = None
    open_within_seconds: _Seconds | None = None
    settle_seconds: Annotated[float, Meta(ge=0, le=10 * 365 * 86400)] | None = None


class _Reason(msgspec.Struct):
    reason: str | None = None


def parse_registration(body: bytes, *, limits: Limits) -> Registration:
    """Reads the body of `POST /invocations`.

    Raises:
        Refused: `malformed`, `invalid-request` with pointer and expectation, or `too-large`.
    """
    if json_depth(body, enough=limits.json_depth) > limits.json_depth:
        members: dict[str, JsonValue] = {"limit": limits.json_depth, "limit_name": "json_depth"}
        detail = f"The registration is nested deeper than the limit of {limits.json_depth}."
        raise Refused(Problem("too-large", detail, members))
    wire = _decode(_standard_json(body), _Registration)
    context_json, context = _context(wire.context, limits=limits)
    told_expected = _decode(_member(wire.expected, "/expected"), _Expected | None, within="/expected")
    expected = told_expected or _Expected()
    tags = _decode(_member(wire.tags, "/tags"), dict[_TagName, _TagValue] | None, within="/tags")
    launcher = bytes(wire.launcher)
    launcher = None if launcher == b"null" else launcher
    default_settle = DEFAULT_SETTLE_SECONDS if launcher is None else DEFAULT_SETTLE_SECONDS_WITH_LAUNCHER
    rules = Expected(
        asset_keys=tuple(canonical_asset_key(key) for key in expected.asset_keys or ()),
        checks=tuple(
            ExpectedCheck(asset_key=canonical_asset_key(check.asset_key), check_name=check.check_name)
            for check in expected.checks or ()
        ),
        custom_messages=expected.custom_messages,
    )
    return Registration(
        context_json=context_json,
        context=context,
        asset_keys=frozenset(canonical_asset_key(key) for key in context.asset_keys or ()),
        expected=rules,
        expected_json=rules.to_wire() if told_expected is not None else None,
        tags=tags or {},
        launcher_json=launcher,
        retry_of=wire.retry_of,
        lease_seconds=wire.lease_seconds,
        open_within_seconds=wire.open_within_seconds or DEFAULT_OPEN_WITHIN_SECONDS,
        settle_seconds=default_settle if wire.settle_seconds is None else wire.settle_seconds,
        pipes_optional=wire.pipes == "optional",
    )


def effective_lease_seconds(registration: Registration) -> float:
    return registration.lease_seconds or DEFAULT_LEASE_SECONDS


def json_digest(body: bytes) -> bytes:
    """A digest that is equal for equal JSON, with any white space and order of members.

    Beyond `COMPARED_BYTES` only equal bytes are equal: to write JSON of any size in one order takes too much of the
    server.
    """
    return hashlib.sha256(body).digest() if len(body) > COMPARED_BYTES else ordered_digest(body)


def ordered_digest(body: bytes) -> bytes:
    """The same for any size: what servers of protocol 1.0 stored for a registration."""
    # Not JSON (refused elsewhere), or an integer too long for Python to read: the bytes themselves then.
    with contextlib.suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body.decode()), sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(body).digest()


def parse_finish(body: bytes) -> Finish:
    """Reads the body of `POST /invocations/{id}/finish`; an empty one says nothing more than that it ended."""
    wire = _object(body)
    launched = wire.get("launched")
    try:
        if launched is not None and not isinstance(launched, bool):
            raise InvalidMember("/launched", "true, false or null", json_kind(launched))
        end = parse_process_end(wire)
    except InvalidMember as error:
        raise _invalid(error.pointer, error.expected, str(error)) from None
    return Finish(exit_code=end.exit_code, reason=end.reason, launched=launched, outcome=end.outcome, cause=end.cause)


def parse_launch(body: bytes) -> LaunchState:
    """Reads the body of `POST /invocations/{id}/launch`."""
    try:
        return read_launch(_object(body))
    except InvalidMember as error:
        raise _invalid(error.pointer, error.expected, str(error)) from None


def parse_attempt_number(body: bytes) -> tuple[Attempt, str | None]:
    """Reads the body of `POST /invocations/{id}/attempts`: the number, and the name that has it."""
    wire = _object(body)
    name = wire.get("name")
    try:
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= NAME_CHARACTERS):
            raise InvalidMember("/name", f"a string of 1 to {NAME_CHARACTERS} characters, or null", json_kind(name))
        return parse_attempt(wire.get("attempt"), pointer="/attempt"), name
    except InvalidMember as error:
        raise _invalid(error.pointer, error.expected, str(error)) from None


def parse_reason(body: bytes) -> str | None:
    """Reads the optional body `{"reason"?}` of an action that people take."""
    wire = _decode(_standard_json(body), _Reason) if body.strip() else _Reason()
    return None if wire.reason is None else wire.reason[:_REASON_CHARACTERS]


def parse_heartbeat(body: bytes) -> Heartbeat:
    """Reads the optional body of `POST /invocations/{id}/heartbeat`."""
    return _decode(_standard_json(body), Heartbeat) if body.strip() else Heartbeat()


def _object(body: bytes) -> dict[str, JsonValue]:
    """The members of a body that is a JSON object, or empty."""
    return _decode(_standard_json(body), dict[str, Any]) if body.strip() else {}


def _context(fields: _Context, *, limits: Limits) -> tuple[bytes, ContextData]:
    members = ((name, getattr(fields, name)) for name in fields.__struct_fields__)
    sent = {name: bytes(raw) for name, raw in members if raw is not UNSET}
    extras = sent.get("extras", b"{}")
    if extras == b"null":
        extras = b"{}"
    if not extras.startswith(b"{"):
        raise _invalid("/context/extras", "an object", f"The context's extras are {extras[:40].decode()!r}.")
    # How long an integer is does not matter here: what was given goes on as it came.
    integers = LongIntegers()
    try:
        known = ContextData.from_wire(
            {name: integers.decode(_member(raw, f"/context/{name}")) for name, raw in sent.items() if name != "extras"}
        )
    except InvalidContext as error:
        raise _invalid(f"/context{error.pointer}", error.expected, str(error)) from None
    _check_names(known, longest=limits.name_characters)
    if known.asset_keys is not None and not all(canonical_asset_key(key) for key in known.asset_keys):
        raise _invalid("/context/asset_keys", "non-empty asset keys", "The context names an empty asset key.")
    members = [
        json.dumps(name).encode() + b":" + (sent.get(name) or json.dumps(value).encode())
        for name, value in known.to_wire().items()
        if name != "extras"
    ]
    text = b"{" + b",".join([*members, b'"extras":' + extras]) + b"}"
    if len(text) > limits.context_bytes:
        detail = f"The context holds {len(text)} bytes; the limit `context_bytes` is {limits.context_bytes}."
        raise Refused(Problem("too-large", detail, {"limit": limits.context_bytes, "limit_name": "context_bytes"}))
    return text, known


def _check_names(context: ContextData, *, longest: int) -> None:
    """What history is searched by has a bound: the databases index it."""
    names: list[tuple[str, str | None]] = [
        ("job_name", context.job_name),
        ("run_id", context.run_id),
        ("partition_key", context.partition_key),
        *(("asset_keys", key) for key in context.asset_keys or ()),
    ]
    for field, name in names:
        if name is not None and len(name) > longest:
            detail = f"`{field}` of the context holds {len(name)} characters."
            raise _invalid(f"/context/{field}", f"at most {longest} characters", detail)


def _standard_json(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8 at byte {error.start}."
        raise Refused(Problem("malformed", detail, {"offset": error.start})) from None
    if b"NaN" in body or b"Infinity" in body:
        body = quote_non_finite(body)
    return replace_lone_surrogates(body) if b"\\u" in body else body


def _member(raw: Raw | bytes, pointer: str) -> bytes:
    """A member of a registration that is decoded, and so has a bound; what is carried as it came has none."""
    text = bytes(raw)
    if len(text) > _MEMBER_BYTES:
        expected = f"at most {_MEMBER_BYTES} bytes of JSON"
        raise _invalid(pointer, expected, f"`{pointer}` holds {len(text)} bytes. Expected {expected}.")
    return text


def _decode(body: bytes, kind: Any, *, within: str = "") -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        # `[...]` is some member of an object; the pointer ends at the object then.
        pointer = re.sub(r"[.\[]", "/", place.rstrip("`").replace("[...]", "").replace("]", ""))
        expected = text.removeprefix("Expected ").partition(", got ")[0]
        raise _invalid(within + pointer, expected, f"{error}.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        at = re.search(r"\(byte (\d+)\)", str(error))
        offset = int(at.group(1)) if at else len(body)
        raise Refused(Problem("malformed", f"The body is not JSON: {error}.", {"offset": offset})) from None


def _invalid(pointer: str, expected: str, detail: str) -> Refused:
    return Refused(Problem("invalid-request", detail, {"pointer": pointer, "expected": expected}))
