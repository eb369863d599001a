"""Lists whose names are long or odd: a row is a line, ids are whole, and one name spoils no other row."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.cli.words.lists import cell, print_rows

ID = "inv_01a20943-3f8f-76c8-a585-acd60cb7f845"
COLUMNS = ("Materialized", "Partition", "Version", "Metadata", "Invocation")
FLEXIBLE = ("Partition", "Metadata")
ODD = ["x" * 512, "表" * 200, "a\nb\tc", "\u200b\u202e\ufeff", "", " ", "e\u0301" * 300, "👩‍👩‍👧" * 90]


def _shown(*partitions: str, width: int | None) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width or 240, force_terminal=width is not None, color_system=None)
    rows = [
        (Text("2026-01-02 03:04:05"), cell(partition), Text(""), cell("rows 1"), Text(ID)) for partition in partitions
    ]
    print_rows(console, COLUMNS, rows, flexible=FLEXIBLE)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("width", [90, 120, 200])
def test_on_a_terminal_the_odd_name_is_cut_and_the_rest_of_its_row_and_the_others_are_whole(
    odd: str, width: int
) -> None:
    lines = _shown("eu", odd, width=width)

    assert len(lines) == 3
    assert all(Text(line).cell_len <= width for line in lines)
    for line in lines[1:]:
        assert line.endswith(ID)
        assert line.startswith("2026-01-02 03:04:05  ")
        assert "rows 1" in line
    assert " eu " in lines[1]


@pytest.mark.parametrize("odd", ODD)
def test_elsewhere_nothing_is_cut_and_only_the_row_of_the_odd_name_is_moved(odd: str) -> None:
    head, usual, long = _shown("eu", odd, width=None)

    assert head.split() == ["Materialized", "Partition", "Metadata", "Invocation"]
    assert usual.index("rows 1") == head.index("Metadata") <= 21 + 50
    assert usual.endswith(ID)
    assert cell(odd).plain in long
    assert long.endswith(f"rows 1    {ID}")
