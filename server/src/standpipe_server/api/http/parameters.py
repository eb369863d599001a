"""Headers and query parameters of the raw endpoints: read once, checked once, told precisely when they are wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args, get_origin
from urllib.parse import parse_qs

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from standpipe_protocol.invocation import FIRST_SEQ_HEADER, NUMBERED_HEADER, PRODUCER_HEADER
from standpipe_protocol.messages import STREAMS
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.http.problems import invalid_parameter, malformed_header
from standpipe_server.broker.messages.splitting import Media, Refused
from standpipe_server.broker.values.ids import PRODUCER_ID
from standpipe_server.broker.values.times import from_rfc3339
from standpipe_server.store import REJECTED, EventMatch, canonical_level

DEFAULT_EVENTS: Final = 1_000
MOST_EVENTS: Final = 10_000
LONGEST_WAIT: Final = 60.0
_LONGEST_TEXT: Final = 512
# Of events that must be of two kinds at once there are none.
_NO_METHOD: Final = "none"
_LARGEST_NUMBER: Final = 2**53
_NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")

ReadAs: TypeAlias = Literal["json", "sse", "ndjson"]
_READ_AS: Final[dict[str, ReadAs]] = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "text/event-stream": "sse",
    **dict.fromkeys(_NDJSON, "ndjson"),
}


class AppendHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    media: Media
    producer: str | None
    first_seq: int | None
    idempotency_key: str | None
    numbered: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadQuery:
    read_as: ReadAs
    after: int
    limit: int
    methods: frozenset[str] | None
    match: EventMatch | None
    before: int | Literal["end"] | None
    """Reads backwards from there."""
    wait: float
    control: bool
    """Whether a page or lines say that the work is to stop, as a stream does by itself."""
    mask: bool
    """Whether the invocation at the end of a stream, and metadata in normal form, is masked."""
    metadata: bool
    """Whether reports have their metadata in normal form beside them."""


def refuse_repeated(exchange: Exchange) -> None:
    """Raises Refused when a header came several times of which one value counts."""
    if exchange.repeated is not None:
        raise Refused(malformed_header(exchange.repeated, expected="one value", got="several"))


def append_headers(exchange: Exchange) -> AppendHeaders:
    """The headers of an append.

    Raises:
        Refused: `malformed`, naming the header.
    """
    refuse_repeated(exchange)
    producer = exchange.header(b"standpipe-producer")
    first_seq = _number_header(exchange, FIRST_SEQ_HEADER, least=1)
    if producer is not None and not PRODUCER_ID.fullmatch(producer):
        expected = "1 to 128 characters out of letters, digits and . _ : -"
        raise Refused(malformed_header(PRODUCER_HEADER, expected=expected, got=producer))
    if (producer is None) != (first_seq is None):
        missing, present = (
            (PRODUCER_HEADER, FIRST_SEQ_HEADER) if producer is None else (FIRST_SEQ_HEADER, PRODUCER_HEADER)
        )
        raise Refused(malformed_header(missing, expected=f"a value, since `{present}` is given", got=""))
    return AppendHeaders(
        media=_media(exchange.headers.get(b"content-type", b"")),
        producer=producer,
        first_seq=first_seq,
        idempotency_key=idempotency_key(exchange),
        numbered=_number_header(exchange, NUMBERED_HEADER, least=0) if producer is not None else None,
    )


def _media(content_type: bytes) -> Media:
    # A body is JSON unless it says that it is lines: `curl -d` calls everything a form.
    if b"json" not in content_type.lower() or content_type == b"application/json":
        return "json"
    return "ndjson" if content_type.partition(b";")[0].strip().lower().decode("latin-1") in _NDJSON else "json"


def idempotency_key(exchange: Exchange) -> str | None:
    """The `Idempotency-Key`; raises `Refused` when it is not 1 to 255 printable ASCII characters."""
    key = exchange.header(b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refused(malformed_header("Idempotency-Key", expected="1 to 255 printable ASCII characters", got=key))
    return key


def read_query(exchange: Exchange) -> ReadQuery:
    """What a reader of events asks for; `Last-Event-ID` of a reader that comes again wins over `after`.

    Raises:
        Refused: `invalid-request` or `malformed`, naming the parameter or header.
    """
    query = parse_qs(exchange.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    methods = _names(query, "method")
    match, only = _match(query)
    if only is not None:
        if REJECTED in methods:
            expected = f"no `{REJECTED}` beside `level` or `stream`; a rejected log is of level ERROR"
            raise Refused(invalid_parameter("method", expected=expected, got=REJECTED))
        # Where levels are asked for only logs can fit, and so on: what holds none of them is not even looked at.
        methods = (methods & only if methods else only) or {_NO_METHOD}
    after = _number_header(exchange, "Last-Event-ID", least=0) if exchange.header(b"last-event-id") else None
    return ReadQuery(
        read_as=_read_as(exchange.header(b"accept") or ""),
        after=_number(query, "after", default=0, least=0) if after is None else after,
        limit=min(_number(query, "limit", default=DEFAULT_EVENTS, least=1), MOST_EVENTS),
        methods=frozenset(methods) or None,
        match=match,
        before=_before(query),
        wait=_wait(query),
        control=_flag(query, "control"),
        mask=_flag(query, "mask"),
        metadata=_metadata(query),
    )


def instant(name: str, text: str | None) -> int | None:
    """A query parameter that is an RFC 3339 time, as the store counts instants."""
    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError:
        raise Refused(invalid_parameter(name, expected="an RFC 3339 time", got=text)) from None


def _names(query: dict[str, list[str]], name: str) -> set[str]:
    return {one.strip() for value in query.get(name, ()) for one in value.split(",")} - {""}


def _match(query: dict[str, list[str]]) -> tuple[EventMatch | None, set[str] | None]:
    """What fits, and the only methods that can; None where nothing was asked for."""
    levels = {canonical_level(level) for level in _names(query, "level")}
    text, stream = query.get("text", [""])[-1], query["stream"][-1] if "stream" in query else None
    if len(text) > _LONGEST_TEXT:
        raise Refused(invalid_parameter("text", expected=f"at most {_LONGEST_TEXT} characters", got=text[:40] + "…"))
    if stream is not None and stream not in STREAMS:
        raise Refused(invalid_parameter("stream", expected="stdout or stderr", got=stream))
    producers = _names(query, "producer")
    if not (levels or text or stream or producers):
        return None, None
    only: set[str] | None = None
    for asked, method in ((levels, "log"), (stream, "log_external_stream")):
        if asked:
            only = {method} if only is None else only & {method}
    match = EventMatch(text=text or None, levels=frozenset(levels), producers=frozenset(producers), stream=stream)
    return match, only


def _before(query: dict[str, list[str]]) -> int | Literal["end"] | None:
    if "before" not in query:
        return None
    for other in ("after", "wait"):
        if other in query:
            got = query[other][-1]
            raise Refused(invalid_parameter(other, expected="nothing, since `before` is given", got=got))
    return "end" if query["before"][-1] == "end" else _number(query, "before", default=1, least=1)


def _read_as(accept: str) -> ReadAs:
    best: tuple[float, ReadAs] | None = None
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        read_as = _READ_AS.get(media)
        quality = _quality(parameters)
        if read_as is not None and quality > 0 and (best is None or quality > best[0]):
            best = (quality, read_as)
    return best[1] if best else "json"


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _wait(query: dict[str, list[str]]) -> float:
    text = query.get("wait", ["0"])[-1]
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise Refused(invalid_parameter("wait", expected=f"seconds from 0 to {LONGEST_WAIT:g}", got=text))
    return min(seconds, LONGEST_WAIT)


def _metadata(query: dict[str, list[str]]) -> bool:
    form = query.get("metadata", [""])[-1]
    if form not in ("", "normal"):
        raise Refused(invalid_parameter("metadata", expected="`normal`", got=form))
    return form == "normal"


def _flag(query: dict[str, list[str]], name: str) -> bool:
    text = query.get(name, ["false"])[-1]
    if text not in ("true", "false"):
        raise Refused(invalid_parameter(name, expected="true or false", got=text))
    return text == "true"


def _number(query: dict[str, list[str]], name: str, *, default: int, least: int) -> int:
    if name not in query:
        return default
    text = query[name][-1]
    number = _whole(text)
    if number is None or number < least:
        raise Refused(invalid_parameter(name, expected=f"a whole number from {least}", got=text))
    return number


def _number_header(exchange: Exchange, name: str, *, least: int) -> int | None:
    value = exchange.headers.get(_header_bytes(name))
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    number = _whole(text)
    if number is None or number < least:
        raise Refused(malformed_header(name, expected=f"a whole number from {least}", got=text))
    return number


@cache
def _header_bytes(name: str) -> bytes:
    return name.lower().encode()


def _whole(text: str) -> int | None:
    # The length first: a number of a million digits would take its time.
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > _LARGEST_NUMBER:
        return None
    return int(text)


_Query = TypeVar("_Query", bound=BaseModel)


def read_model(model: type[_Query], request: Request) -> _Query:
    """The query of a request; what the model does not know is passed over, of what counts once the last is taken.

    Raises:
        RequestValidationError: a value is none that its parameter takes.
    """
    query, repeatable = request.query_params, _repeatable(model)
    values = {name: query.getlist(name) if name in repeatable else value for name, value in query.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = [{**one, "loc": ("query", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(errors) from None


def describe_query(model: type[BaseModel]) -> dict[str, Any]:
    """The model's parameters for the OpenAPI document."""
    schema = model.model_json_schema(mode="validation")
    required = schema.get("required", ())
    return {
        "parameters": [
            _parameter(name, property_, required=name in required) for name, property_ in schema["properties"].items()
        ]
    }


def _parameter(name: str, property_: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    # A parameter that may be left out has no value that says so.
    schema = {key: value for key, value in property_.items() if not (key == "default" and value is None)}
    parameter = {"name": name, "in": "query", "required": required, "schema": schema}
    description = schema.get("description")
    return parameter if description is None else {**parameter, "description": description}


@cache
def _repeatable(model: type[BaseModel]) -> frozenset[str]:
    """The parameters that may be given several times: the lists."""
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(get_origin(kind) is list for kind in (field.annotation, *get_args(field.annotation)))
    )
