"""Which numbers in metadata are plotted."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe_server.broker.numbers import MOST_NUMBERS, numbers_of


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (5, 5.0),
        (-0.5, -0.5),
        ({"raw_value": 7, "type": "int"}, 7.0),
        ({"type": "float", "raw_value": -1e3}, -1000.0),
        ({"raw_value": 7, "type": "__infer__"}, 7.0),
        ({"raw_value": 2**60 + 1, "type": "int"}, float(2**60)),
        (True, None),
        ({"raw_value": True, "type": "bool"}, None),
        ({"raw_value": True, "type": "int"}, None),
        ("5", None),
        (None, None),
        ([1, 2], None),
        ({"raw_value": "NaN", "type": "float"}, None),
        ({"raw_value": 5, "type": "timestamp"}, None),
        ({"raw_value": 5}, None),
        ({"raw_value": 5, "type": ["int"]}, None),
        ({"raw_value": 10**400, "type": "int"}, None),
    ],
)
def test_a_number_is_a_finite_int_or_float(entry: Any, expected: float | None) -> None:
    told = () if expected is None else (("label", expected),)
    metadata = {"label": entry, "text": "no number"}
    assert numbers_of(metadata) == told


def test_the_first_hundred_numbers_of_a_message_are_taken() -> None:
    metadata = {f"label {n}": n for n in range(MOST_NUMBERS + 5)} | {"x" * 600: 1}
    assert len(numbers_of(metadata)) == MOST_NUMBERS
    assert numbers_of({"x" * 600: 1, "y": 2}) == (("y", 2.0),)
