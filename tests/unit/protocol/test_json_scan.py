"""JSON text looked at and repaired in windows comes to the same wherever the windows end."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol import json_scan
from standpipe_protocol.json_scan import (
    has_longer_integer,
    json_depth,
    quote_non_finite,
    repaired_windows,
    replace_lone_surrogates,
)

# What is cut apart by a window that ends at the wrong place.
snippets = st.sampled_from(
    [
        "NaN",
        "-Infinity",
        '"NaN"',
        '"\\""',
        '"\\\\"',
        '"\\\\\\""',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '"\\ude00\\ud83d"',
        '"\\ud83d\\ud83d\\ude00"',
        '"\\\\ud83d"',
        '{"raw_value": NaN, "type": "__infer__"}',
        '{"type": "__infer__", "raw_value": -Infinity}',
        "[[1], {}]",
        '"]["',
        "12345678",
        '"12345678"',
    ]
)
texts = st.lists(snippets, max_size=12).map(lambda parts: ("[" + ",".join(parts) + "]").encode())


@pytest.fixture(params=[64, 67, 71], autouse=True)
def windows(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "_WINDOW", request.param)
        patch.setattr(json_scan, "_CONTEXT", 60)
        yield


def _whole(text: bytes) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "_WINDOW", 1_000_000)
        return replace_lone_surrogates(quote_non_finite(text))


@given(texts)
def test_windows_repair_what_one_window_repairs(text: bytes) -> None:
    whole = _whole(text)
    assert replace_lone_surrogates(quote_non_finite(text)) == whole
    assert b"".join(repaired_windows(text)) == whole
    assert "\ud83d" not in json.dumps(json.loads(whole, parse_constant=pytest.fail), ensure_ascii=False)


@given(texts)
def test_depth_is_the_same_in_windows(text: bytes) -> None:
    depth = json_depth(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "_WINDOW", 1_000_000)
        assert json_depth(text) == depth
    assert json_depth(text, enough=depth) == depth


@given(texts, st.integers(1, 9))
def test_an_integer_is_found_by_its_length(text: bytes, digits: int) -> None:
    expected = digits < 8 and b"12345678" in text.replace(b'"12345678"', b"")
    assert has_longer_integer(text, digits) == (expected or (digits == 0))


@pytest.mark.parametrize(
    ("text", "longer"),
    [
        (b"123456", True),
        (b"-123456", True),
        (b"12345", False),
        (b"0.123456", False),
        (b"123456.0", False),
        (b"1e123456", False),
        (b"1e-123456", False),
        (b"1E+123456", False),
        (b'"123456"', False),
        (b'{"123456":1}', False),
        (b'["\\"",123456]', True),
        (b'["\\\\",123456]', True),
        (b'["\\\\\\"123456"]', False),
        (b"[1,12345,123,1234567890123]", True),
        (b'["1234567890123",1234]', False),
        (b'["1234567890123",123456]', True),
    ],
)
def test_only_the_digits_of_integers_count(text: bytes, longer: bool) -> None:
    assert has_longer_integer(text, 5) == longer


def test_text_that_is_no_utf8_is_left_as_it_is() -> None:
    text = b'[NaN, "\xff\\ud800"]'
    assert replace_lone_surrogates(quote_non_finite(text)) == text
