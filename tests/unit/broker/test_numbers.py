"""Which numbers in metadata are plotted."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe_server.broker.messages.metadata_numbers import MOST_NUMBERS, NotFinite, Numbers, numbers_of


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
        ({"raw_value": 5, "type": "timestamp"}, None),
        ({"raw_value": 5}, None),
        ({"raw_value": 5, "type": ["int"]}, None),
        ({"raw_value": "NaN", "type": "int"}, None),
        ({"raw_value": "NaN", "type": "text"}, None),
        ({"type": "float"}, None),
        ({"raw_value": "5", "type": "float"}, None),
    ],
)
def test_a_number_is_an_int_or_a_float(entry: Any, expected: float | None) -> None:
    taken = () if expected is None else (("label", expected),)
    metadata = {"label": entry, "text": "no number"}
    assert numbers_of(metadata) == Numbers(taken)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"raw_value": "NaN", "type": "float"}, "NaN"),
        ({"raw_value": "-Infinity", "type": "float"}, "-Infinity"),
        # What is stored of a bare NaN.
        ({"raw_value": "NaN", "type": "__infer__"}, "NaN"),
        ("Infinity", "Infinity"),
        ({"raw_value": 10**400, "type": "int"}, "Infinity"),
        (-(10**400), "-Infinity"),
        ({"raw_value": None, "type": "float"}, None),
        ({"raw_value": None, "type": "int"}, None),
    ],
)
def test_a_number_that_is_not_finite_is_a_number_too(entry: Any, expected: NotFinite | None) -> None:
    assert numbers_of({"label": entry}) == Numbers((("label", expected),))


def test_many_numbers_of_a_message_are_taken_and_the_rest_is_counted() -> None:
    metadata = {f"label {n}": n for n in range(MOST_NUMBERS + 5)} | {"x" * 600: 1}
    numbers = numbers_of(metadata)
    assert (len(numbers.numbers), numbers.left_out) == (MOST_NUMBERS, 6)
    assert numbers_of({"x" * 600: 1, "y": 2}) == Numbers((("y", 2.0),), left_out=1)
