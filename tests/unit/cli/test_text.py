"""How text from outside, durations and metadata are put into words."""

from __future__ import annotations

import pytest

from standpipe_orchestrator import (
    JsonMetadataValue,
    MarkdownMetadataValue,
    MetadataValue,
    NullMetadataValue,
    TimestampMetadataValue,
)
from standpipe_orchestrator.cli.words.text import briefly, duration, metadata_line, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 🦀\tand\nlines", "plain é 漢 🦀\tand\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\x00c\x7f", "a\\rb\\x00c\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("txt\u202egpj.exe", "txt\\u202egpj.exe"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_could_move_a_cursor_or_fake_a_text_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_one_line_is_one_line_and_cut_where_it_is_long() -> None:
    assert one_line("a\n  b\t c") == "a b c"
    assert one_line("x" * 100, at_most=10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.97, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3725, "1 h 2 min")],
)
def test_durations_are_short(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (MetadataValue.int(1234567), "1,234,567"),
        (MetadataValue.bool(True), "True"),
        (MetadataValue.text("two\nlines"), "two lines"),
        (MarkdownMetadataValue("# Title\n" + "x" * 100), "# Title " + "x" * 31 + "…"),
        (JsonMetadataValue({"a": [1]}), '{"a": [1]}'),
        (TimestampMetadataValue(0.0), "1970-01-01 00:00:00 UTC"),
        (TimestampMetadataValue(1e300), "1e+300"),
        (TimestampMetadataValue(float("nan")), "nan"),
        (NullMetadataValue(), "null"),
    ],
)
def test_metadata_is_told_in_a_few_words(value: MetadataValue, words: str) -> None:
    assert briefly(value) == words


def test_a_line_of_metadata_says_how_much_it_leaves_out() -> None:
    metadata = {f"n{number}": MetadataValue.int(number) for number in range(6)}
    assert metadata_line(metadata, at_most=2) == "n0 0 · n1 1 · 4 more"


def test_a_line_of_metadata_holds_what_the_terminal_is_wide_for_and_one_entry_at_least() -> None:
    metadata = {f"n{number}": MetadataValue.text("x" * 10) for number in range(3)}
    entries = [f"n{number} {'x' * 10}" for number in range(3)]

    assert metadata_line(metadata, columns=45) == " · ".join(entries)
    assert metadata_line(metadata, columns=44) == " · ".join([*entries[:2], "1 more"])
    assert metadata_line(metadata, columns=36) == " · ".join([*entries[:1], "2 more"])
    assert metadata_line(metadata, columns=5) == " · ".join([*entries[:1], "2 more"])
