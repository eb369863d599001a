"""A value that JSON cannot carry is named: a report may have many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from standpipe import PipesContext, open_pipes
from standpipe.testing import recording_broker


class Int64:
    """Stands for a number of numpy's, which is no int."""


def _itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Int64(), "`metadata.rows_dropped`"),
        ({"type": "int", "raw_value": Int64()}, "`metadata.rows_dropped`"),
        ([1, 2, {3}], "`metadata.rows_dropped[2]`"),
        (
            {"type": "table", "raw_value": {"records": [{"a": 1}, {"a": Int64()}], "schema": []}},
            "`metadata.rows_dropped.records[1].a`",
        ),
        ({"type": "json", "raw_value": {("a", 1): 1}}, "`metadata.rows_dropped, in it the key"),
    ],
)
@pytest.mark.parametrize("report", ["report_asset_materialization", "report_asset_check"])
def test_a_metadata_value_that_json_cannot_carry_is_named(report: str, value: Any, place: str) -> None:
    metadata = {**{f"column_{n}": n for n in range(30)}, "rows_dropped": value}
    with recording_broker(asset_keys=["orders"]) as broker, broker.environment(), open_pipes() as context:
        given = {"check_name": "good", "passed": True} if report == "report_asset_check" else {}
        with pytest.raises(TypeError) as raised:
            getattr(context, report)(metadata=metadata, **given)
        assert place in str(raised.value)
        assert f"`{report}`" in str(raised.value)
        # Nothing was reported, so it can be reported still.
        context.report_asset_materialization(metadata={"rows": 1})


def test_one_that_holds_itself_is_named_too() -> None:
    with recording_broker(asset_keys=["orders"]) as broker, broker.environment(), open_pipes() as context:  # noqa: SIM117
        with pytest.raises(ValueError, match=r"Circular reference detected: `metadata\.loop`"):
            context.report_asset_materialization(metadata={"rows": 1, "loop": {"type": "json", "raw_value": _itself()}})


@pytest.mark.parametrize(
    ("report", "place"),
    [
        (lambda context: context.report_custom_message({"a": [Int64()]}), r"`payload\.a\[0\]` of `report_custom"),
        (lambda context: context.report_custom_message(Int64()), r"`payload` of `report_custom_message`"),
        (
            lambda context: context.log_external_stream("stdout", "x", extras={"at": Int64()}),
            r"`extras\.at` of `log_external_stream`",
        ),
    ],
)
def test_so_is_one_of_other_messages(report: Callable[[PipesContext], None], place: str) -> None:
    with recording_broker() as broker, broker.environment(), open_pipes() as context:  # noqa: SIM117
        with pytest.raises(TypeError, match=f"Object of type Int64 is not JSON serializable: {place}"):
            report(context)
