"""What is different between invocations, and what of it is not shown."""

from __future__ import annotations

import pytest

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.differences import (
    MOST_DIFFERENCES,
    difference_of,
    different,
    different_leaves,
    template_of,
)


def test_only_what_is_not_the_same_for_all_is_told() -> None:
    sides = [{"a": 1, "b": 1, "c": None}, {"a": 1, "b": 2, "c": None}, {"a": 1, "b": 1}]
    assert dict(different(sides)) == {"b": [1, 2, 1], "c": [None, None, None]}


def test_true_is_not_one() -> None:
    assert dict(different([{"a": True}, {"a": 1}])) == {"a": [True, 1]}


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), ([1, {"a": 2.0}], [1.0, {"a": 2}])])
def test_a_point_makes_no_other_number(one: JsonValue, other: JsonValue) -> None:
    assert dict(different([{"a": one}, {"a": other}])) == {}


@pytest.mark.parametrize(("one", "other"), [([True], [1]), ({"a": 1}, {"a": True}), ([1], [1, 2]), ({}, [])])
def test_what_differs_deep_inside_is_a_difference(one: JsonValue, other: JsonValue) -> None:
    assert dict(different([{"a": one}, {"a": other}])) == {"a": [one, other]}


def test_objects_of_a_list_are_found_by_their_names() -> None:
    def columns(**kinds: str) -> JsonValue:
        return {"columns": [{"name": name, "type": kind} for name, kind in kinds.items()]}

    found = different_leaves([columns(id="int", n="int"), columns(n="int", id="str")], by_name=True)
    assert [(one["path"], one["values"]) for one in found] == [("/columns/id/type", ["int", "str"])]


def test_differences_have_a_bound() -> None:
    many = {str(n): n for n in range(MOST_DIFFERENCES + 10)}
    assert len(list(different([many, {}]))) == MOST_DIFFERENCES


def test_extras_are_compared_leaf_for_leaf() -> None:
    before: dict[str, JsonValue] = {"a/b": {"c": [1, {"d": 2}]}, "same": [1], "empty": {}}
    after: dict[str, JsonValue] = {"a/b": {"c": [1, {"d": 3}]}, "same": [1], "empty": {"now": None}}
    assert [(one["path"], one["values"], one["absent"]) for one in different_leaves([before, after])] == [
        ("/a~1b/c/1/d", [2, 3], [False, False]),
        ("/empty", [{}, None], [False, True]),
        ("/empty/now", [None, None], [True, False]),
    ]


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWD", "apiKey", "api-key", "aws_secret", "accessKey", "auth_token", "Cookie"]
)
def test_what_looks_like_a_secret_is_not_shown(name: str) -> None:
    (told,) = different_leaves([{"deep": {name: {"x": "hunter1"}}}, {"deep": {name: {"x": "hunter2"}}}])
    assert told["masked"] is True
    assert told["values"] == ["***", "***"]


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("read 17 rows in 0.25 s", "read <n> rows in <n> s"),
        ("job 019a3b4c-aaaa-bbbb-cccc-ddddeeeeffff done", "job <id> done"),
        ("0xdeadBEEF and 3f2a9c11d0 and deadbeef", "<hex> and <hex> and deadbeef"),
        ("sha256 of utf8", "sha256 of utf8"),
        ("12:30:59,001 up", "<time> up"),
        ("at 2026-01-31T12:00:00.123Z and 12:00:01", "at <time> and <time>"),
        ("took 1.5s for item-7", "took <n>s for item-<n>"),
        ("v2 is kept, -3 is not", "v2 is kept, <n> is not"),
        ("", ""),
    ],
)
def test_a_template_leaves_out_what_varies(message: str, template: str) -> None:
    assert template_of(message) == template


def test_columns_are_compared_by_name() -> None:
    def schema(**kinds: str) -> dict[str, JsonValue]:
        return {"columns": [{"name": name, "type": kind} for name, kind in kinds.items()]}

    assert difference_of(schema(a="int", b="int"), schema(b="int", a="int")) is None
    difference = difference_of(schema(a="int", b="int"), schema(b="text", c="int"))
    assert difference == {
        "added": [{"name": "c", "type": "int"}],
        "removed": [{"name": "a", "type": "int"}],
        "changed": [
            {"name": "b", "before": {"name": "b", "type": "int"}, "after": {"name": "b", "type": "text"}},
        ],
    }
