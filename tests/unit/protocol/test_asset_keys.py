"""Asset keys as text: escaped so that parts with slashes and backslashes survive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.reports import escape_asset_key, parse_asset_key

parts = st.lists(st.text(alphabet="ab/\\ é", min_size=1), min_size=1)


@given(parts)
def test_a_key_is_read_back_from_its_text(key: list[str]) -> None:
    assert parse_asset_key(escape_asset_key(key)) == tuple(key)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("flights", ("flights",)),
        ("pre/flights", ("pre", "flights")),
        (r"pre/a\/b", ("pre", "a/b")),
        (r"a\\/b", ("a\\", "b")),
        ("a//b", ("a", "", "b")),
        ("a/", ("a",)),
        ("", ()),
        ("a\\", ("a\\",)),
    ],
)
def test_a_text_is_split_at_slashes_that_are_not_escaped(text: str, key: tuple[str, ...]) -> None:
    assert parse_asset_key(text) == key
