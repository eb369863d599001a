"""JSON text: what is carried must arrive as it was, however large, deep or odd."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.json_scan import json_depth, quote_non_finite, replace_lone_surrogates
from standpipe_protocol.json_text import JsonValue, decode_json, encode_json, json_kind, json_pointer

# Far beyond Python's default limit for writing and reading decimal digits.
HUGE = pow(7, 40_000)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(json_values)
def test_what_is_encoded_is_decoded_to_the_same_value(value: object) -> None:
    assert decode_json(encode_json(value)) == value


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, [1, {"deep": [HUGE]}], {"a": HUGE, "b": HUGE + 1, "c": "text"}], ids=lambda _: "value"
)
def test_integers_of_any_size_go_there_and_back(value: object) -> None:
    assert decode_json(encode_json(value)) == value


def test_integers_at_the_edge_of_pythons_limit_go_there_and_back() -> None:
    for digits in (600, 601, 640, 641, 4300, 4301):
        value = 10**digits - 1
        assert decode_json(encode_json([value])) == [value]


def test_a_hundred_thousand_digits_are_read_in_a_moment() -> None:
    started = time.monotonic()
    value = decode_json(b"7" * 100_000)
    # Digit group by digit group this took tens of seconds for a megabyte; the bound only tells the two apart.
    assert time.monotonic() - started < 5
    assert isinstance(value, int)
    assert value % 10 == 7


def test_non_finite_floats_become_strings_wherever_they_stand() -> None:
    value = {"a": math.nan, "b": [math.inf, (-math.inf,)], math.nan: 1, "c": 1.5}
    assert json.loads(encode_json(value)) == {"a": "NaN", "b": ["Infinity", ["-Infinity"]], "NaN": 1, "c": 1.5}


def test_a_value_that_contains_itself_is_refused_also_beside_a_non_finite_float() -> None:
    value: list[object] = [math.nan]
    value.append(value)
    with pytest.raises(ValueError, match="Circular reference"):
        encode_json(value)


def test_what_json_cannot_carry_is_named_in_the_error() -> None:
    with pytest.raises(TypeError, match="complex is not JSON serializable"):
        encode_json({"a": 1j})


def test_keys_that_are_no_strings_become_strings_as_python_writes_them() -> None:
    assert encode_json({1: "a", None: "b", 1.5: "d"}) == b'{"1":"a","null":"b","1.5":"d"}'


@pytest.mark.parametrize(
    "text",
    [b'"\xff"', b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf{}", b"{", b"", b"[1,]"],
    ids=["stray byte", "surrogate as UTF-8", "UTF-16", "byte order mark", "cut off", "nothing", "trailing comma"],
)
def test_what_is_not_json_in_utf_8_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"(?s).+"):
        decode_json(text)


def test_nul_characters_are_carried() -> None:
    assert decode_json(encode_json("a\0b")) == "a\0b"


tokens = st.sampled_from(["NaN", "Infinity", "-Infinity"])
awkward = st.text(alphabet='NaInfity-"\\,:[]{} \n').map(lambda text: f"NaN{text}Infinity")


@given(st.lists(awkward | st.text() | st.integers()))
def test_quoting_leaves_strings_alone_whatever_is_in_them(value: list[object]) -> None:
    text = json.dumps(value).encode()
    assert quote_non_finite(text) == text


@given(st.recursive(tokens.map(float) | awkward, st.lists, max_leaves=10))
def test_quoting_turns_tokens_outside_of_strings_into_strings(value: object) -> None:
    text = json.dumps(value).encode()
    assert json.loads(quote_non_finite(text), parse_constant=pytest.fail) == json.loads(text, parse_constant=str)


def test_quoting_keeps_the_bytes_around_a_token_as_they_came() -> None:
    text = b'{ "a" :NaN,\n"b":1.50e+1 , "\\u0061": [ -Infinity ]}'
    assert quote_non_finite(text) == b'{ "a" :"NaN",\n"b":1.50e+1 , "\\u0061": [ "-Infinity" ]}'


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        (b'{"raw_value": NaN, "type": "__infer__"}', b'{"raw_value": "NaN", "type": "float"}'),
        (b'{"type": "__infer__", "raw_value": -Infinity}', b'{"type": "float", "raw_value": "-Infinity"}'),
        (b'{"raw_value": NaN, "type": "float"}', b'{"raw_value": "NaN", "type": "float"}'),
        (b'{"raw_value": [NaN], "type": "__infer__"}', b'{"raw_value": ["NaN"], "type": "__infer__"}'),
    ],
)
def test_a_token_whose_type_is_to_be_inferred_says_that_it_is_a_float(given_text: bytes, expected: bytes) -> None:
    assert quote_non_finite(given_text) == expected


def test_text_inside_a_string_that_looks_like_a_metadata_entry_is_left_alone() -> None:
    text = json.dumps({"payload": '{"raw_value": NaN, "type": "__infer__"}'}).encode()
    assert quote_non_finite(text) == text


@given(st.lists(st.text(alphabet='ab\\"/u0d8', max_size=12)))
def test_text_without_surrogates_is_left_alone(value: list[str]) -> None:
    text = json.dumps(value).encode()
    assert replace_lone_surrogates(text) == text


@given(st.text(alphabet=st.characters(categories=("Cs", "Lu", "So", "Po"))))
def test_lone_surrogates_are_replaced_and_pairs_are_kept(value: str) -> None:
    repaired = json.loads(replace_lone_surrogates(json.dumps(value).encode()))
    # Python joins a high and a low half into the character they stand for.
    joined = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert len(repaired) == len(json.loads(json.dumps(value)))
    assert repaired.encode("utf-8").decode("utf-8") == repaired
    assert repaired.replace("�", "") == joined.replace("�", "")


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"1", 0),
        (b"[]", 1),
        (b'{"a":[{}]}', 3),
        (b"[[],[[]],[]]", 3),
        (b'["[[[[", {"]]": "\\"[[["}]', 2),
        (b'["\\\\", [1], "\\\\\\"["]', 2),
        (b"", 0),
    ],
)
def test_depth_counts_brackets_outside_of_strings(text: bytes, depth: int) -> None:
    assert json_depth(text) == depth


@given(json_values)
def test_depth_is_that_of_the_value(value: object) -> None:
    def depth(value: object) -> int:
        if isinstance(value, dict):
            return 1 + max(map(depth, value.values()), default=0)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if isinstance(value, list):
            return 1 + max(map(depth, value), default=0)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return 0

    assert json_depth(json.dumps(value).encode()) == depth(value)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 4_000_000,
        b'["' + b'\\"' * 4_000_000,
        b'"' * 4_000_000,
        b"[" * 2_000_000 + b"]" * 2_000_000,
        b'"NaN' * 900_000,
    ],
    ids=["open brackets", "open string of quotes", "quotes", "nested", "tokens in strings"],
)
def test_megabytes_made_to_hurt_are_looked_through_in_a_moment(text: bytes) -> None:
    started = time.monotonic()
    json_depth(text)
    quote_non_finite(text)
    replace_lone_surrogates(text)
    assert time.monotonic() - started < 10


def test_a_value_is_named_by_its_json_type_in_errors() -> None:
    values: list[JsonValue] = [None, True, 3, 1.5, "x" * 100, [1], {"a": 1}, HUGE]
    named = [json_kind(value) for value in values]
    expected_string = f"the string {'x' * 40!r}"
    assert named == [
        "null",
        "true",
        "the number 3",
        "the number 1.5",
        expected_string,
        "an array",
        "an object",
        "a number",
    ]


def test_a_json_pointer_escapes_slashes_and_tildes() -> None:
    assert json_pointer("a", "pre/x", "m~n") == "/a/pre~1x/m~0n"
