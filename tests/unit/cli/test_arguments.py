"""Times and numbers as people type them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from standpipe_orchestrator.cli.command_line.arguments import moment, positive, seconds, whole


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000000Z"),
    ],
)
def test_a_time_with_a_zone_is_that_time_in_utc(typed: str, meant: str) -> None:
    assert moment(typed) == meant


def test_a_time_without_a_zone_is_this_machines() -> None:
    local = datetime(2026, 1, 31).astimezone()

    assert datetime.fromisoformat(moment("2026-01-31")) == local


@pytest.mark.parametrize(("typed", "ago"), [("90m", timedelta(minutes=90)), ("7d", timedelta(days=7))])
def test_a_span_is_so_long_ago(typed: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    meant = datetime.fromisoformat(moment(typed))

    assert before - ago <= meant <= datetime.now(UTC) - ago


@pytest.mark.parametrize(
    ("read", "typed"),
    [
        (moment, "soon"),
        (moment, "999999w"),
        (moment, "0001-01-01T00:00:00+14:00"),
        (positive, "0"),
        (whole, "-1"),
        (seconds, "nan"),
        (seconds, "1e9"),
    ],
)
def test_what_is_none_of_it_is_refused_with_what_was_expected(read: Callable[[str], object], typed: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"^expected .* got '"):
        read(typed)
