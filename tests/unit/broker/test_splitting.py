"""Messages are cut off a body one by one; what is beyond a limit is not read, and what is large is only outlined."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.limits import Limits
from standpipe_protocol.members import InvalidMessage
from standpipe_protocol.messages import MESSAGE_CLASSES, METHODS, parse_message
from standpipe_server.broker.messages import outline as outlining
from standpipe_server.broker.messages import splitting
from standpipe_server.broker.messages.outline import outline
from standpipe_server.broker.messages.splitting import Media, Refused, array_texts, split_messages

_white = st.sampled_from(["", " ", "\n\t", " " * 100])
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_json_values, max_size=6), _white)
def test_an_array_is_split_where_its_elements_are(elements: list[object], white: str) -> None:
    # Python's own JSON, with tokens and halves of surrogates in it.
    texts = [json.dumps(element) for element in elements]
    body = (white + "[" + ",".join(white + text + white for text in texts) + "]" + white).encode()
    split = split_messages(body, media="json", limits=Limits())
    found = [split.array[start:end] for start, end in split.spans]
    assert found == [bytes(raw) for raw in array_texts(split.array)]
    assert len(found) == len(elements)
    if b"NaN" not in body and b"Infinity" not in body and b"\\ud" not in body:
        assert [text.decode() for text in found] == texts


@given(st.lists(_json_values, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n \n"]))
def test_lines_are_split_where_they_end(elements: list[object], newline: str) -> None:
    body = newline.join(json.dumps(element) for element in elements).encode()
    split = split_messages(body, media="ndjson", limits=Limits())
    assert [split.array[start:end] for start, end in split.spans] == [bytes(raw) for raw in array_texts(split.array)]
    assert len(split.spans) == len(elements)


@given(st.lists(_json_values, max_size=6))
def test_a_large_array_is_taken_apart_as_a_small_one_is(elements: list[object]) -> None:
    array = json.dumps(elements).replace("NaN", "0").replace("-Infinity", "0").replace("Infinity", "0").encode()
    if b"\\ud" in array:
        return
    whole = [bytes(raw) for raw in array_texts(array)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "_ONE_STEP_BYTES", 0)
        assert [bytes(raw) for raw in array_texts(array)] == whole


@pytest.mark.parametrize(
    ("body", "media", "name"),
    [
        # The limit comes first: what stands behind it is never read.
        (b"[1,2,3,4,!", "json", "batch_messages"),
        (b"[1,2,NaN,4,!", "json", "batch_messages"),
        (b"1\n2\n3\n4\n!", "ndjson", "batch_messages"),
        (b'["' + b"x" * 100 + b"!", "json", "message_bytes"),
        (b'{"x":"' + b"x" * 100 + b"!", "json", "message_bytes"),
        (b'"' + b"x" * 100 + b"!", "ndjson", "message_bytes"),
        (b"[" * 5_000, "json", "json_depth"),
    ],
)
def test_nothing_is_read_beyond_a_limit(body: bytes, media: Media, name: str) -> None:
    with pytest.raises(Refused) as refused:
        split_messages(
            body, media=media, limits=Limits(batch_messages=3, message_bytes=20 if name != "json_depth" else 9_000)
        )
    assert refused.value.problem.members["limit_name"] == name


@pytest.mark.parametrize(
    "body",
    [
        b"[1",
        b"[1 2]",
        b"[1,,2]",
        b"[,1]",
        b"[1,]",
        b"[1]]",
        b"[1]x",
        b"{}{}",
        b"{},{}",
        b"{",
        b"[",
        b"[NaN",
        b"[-]",
        b"",
        b"x",
    ],
)
def test_what_is_no_array_is_malformed(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        split_messages(body, media="json", limits=Limits())
    assert refused.value.problem.name == "malformed"


@pytest.mark.parametrize("place", [0, 1_048_575, 1_048_576, 3_000_000])
def test_what_is_not_utf8_is_named_by_its_place(place: int) -> None:
    body = b"\xc3\xa4" * (place // 2) + b" " * (place % 2) + b"\xff" + b" " * 2_000_000
    with pytest.raises(Refused) as refused:
        split_messages(body, media="json", limits=Limits())
    assert refused.value.problem.members["offset"] == place


_exceptions = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "message": st.text(max_size=9) | st.none(),
            "name": st.text(max_size=9) | st.integers(),
            "stack": st.lists(st.text(max_size=9), max_size=3) | st.lists(st.integers(), max_size=2) | st.none(),
        },
    ),
    lambda inner: st.fixed_dictionaries({"message": st.text(max_size=9)}, optional={"cause": inner, "context": inner}),
    max_leaves=4,
)
_process = st.fixed_dictionaries(
    {},
    optional={
        "rank": st.integers() | st.text(max_size=5),
        "attempt": st.lists(st.integers(0, 9), max_size=3),
        "role": st.just("supervisor"),
        "other": _json_values,
    },
)
_cause = st.fixed_dictionaries(
    {"code": st.just("timeout"), "detail": st.text(max_size=9)},
    optional={"signal": st.just("SIGKILL"), "x": _json_values},
)
_values = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just([]) | st.just({})
_params = st.fixed_dictionaries(
    {},
    optional={
        "extras": _process | _values,
        "exception": _exceptions | _values,
        "message": _values,
        "level": st.sampled_from(["INFO", "error", "none"]),
        "stream": st.sampled_from(["stdout", "tty"]),
        "text": _values,
        "asset_key": _values,
        "check_name": _values,
        "passed": _values,
        "severity": st.sampled_from(["WARN", "bad"]),
        "metadata": st.dictionaries(st.text(max_size=5), _values, max_size=3) | _values,
        "payload": _values,
        "outcome": st.sampled_from(["failed", "odd"]),
        "exit_code": _values,
        "cause": _cause | _exceptions,
        "reason": _values,
        "unknown": _json_values,
    },
)


def test_an_outline_knows_every_parameter_that_a_message_has() -> None:
    wires = {field.name for cls in MESSAGE_CLASSES for field in fields(cls)}
    # Private names: no message shows that the outline lacks what no rule reads yet. `details` stands beside `params`.
    message, params = outlining._Message, outlining._Params  # pyright: ignore[reportPrivateUsage]
    assert wires <= {*params.__struct_fields__, *message.__struct_fields__}


@given(method=st.sampled_from([*METHODS, "other"]) | _values, params=_params | _values, more=_json_values)
def test_the_rules_come_to_the_same_on_an_outline(method: object, params: object, more: object) -> None:
    wire = {"method": method, "params": params, "details": more, "more": more}
    text = json.dumps(wire).replace("NaN", "0").replace("-Infinity", "0").replace("Infinity", "0").encode()
    if b"\\ud" in text:
        return
    with pytest.MonkeyPatch.context() as patch:
        # So long that only strings are left of most values.
        patch.setattr(outlining, "DECODED_BYTES", 30)
        outlined = outline(text)
    assert _verdict(outlined) == _verdict(json.loads(text))


def _verdict(wire: object) -> tuple[str, ...]:
    try:
        message = parse_message(wire)  # type: ignore[arg-type]
    except InvalidMessage as error:
        return ("refused", error.pointer, error.expected)
    looked_at = [getattr(message, name, None) for name in ("exception", "outcome", "cause", "reason", "message")]
    return (message.method, *map(repr, looked_at))
