"""How `standpipe ls` fits its table to the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from standpipe_orchestrator.cli.history.ls import listing
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue

ID = "inv_01a20943-3f8f-76c8-a585-acd60cb7f845"
INVOCATION = Invocation.from_wire(
    {
        "id": ID,
        "status": "ended",
        "verdict": "succeeded",
        "created_at": "2026-01-02T03:04:05Z",
        "ended_at": "2026-01-02T03:04:06Z",
        "last_position": 4,
        "context": {"asset_keys": ["a_rather_long_key", "another_rather_long_key"], "job_name": "nightly"},
    }
)


def shown(width: int, *others: Invocation) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(listing([INVOCATION, *others], width=width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 100, 125, 200])
def test_a_row_is_a_line_that_fits_holds_the_whole_id_and_says_where_it_is_cut(width: int) -> None:
    head, row = shown(width)

    assert max(len(head), len(row)) <= width
    assert row.startswith(f"{ID}  succeeded")
    assert row.endswith(("another_rather_long_key", "…"))


def test_a_wide_terminal_shows_everything() -> None:
    head, _ = shown(200)

    assert head.split() == ["Invocation", "Verdict", "Registered", "Took", "Events", "Job", "Partition", "Assets"]


def test_the_assets_matter_more_than_the_time_where_both_do_not_fit() -> None:
    assert shown(60)[0].split() == ["Invocation", "Verdict", "Assets"]


def another(status: str, **members: JsonValue) -> Invocation:
    return Invocation.from_wire({"id": ID, "status": status, "created_at": "2026-01-02T03:04:05Z", **members})


JUDGED = another(
    "ended", verdict="succeeded", judged_by="launcher", judge="by exit code", ended_at="2026-01-02T03:04:06Z"
)
QUEUED = another(
    "registered",
    platform={"state": "queued"},
    waiting="queued",
    stages=[{"name": "queued", "begin": "2026-01-02T03:04:05Z", "end": None}],
    context={"job_name": "waits"},
)


def test_queue_time_has_a_column_of_its_own_where_something_waited() -> None:
    head, done, waits = shown(200, QUEUED)

    assert head.split()[:5] == ["Invocation", "Verdict", "Registered", "Queued", "Took"]
    assert waits.split()[1] == "queued"
    assert (" h " in waits, " h " in done) == (True, False)


@pytest.mark.parametrize("width", [60, 80, 100, 125, 200])
def test_who_judged_is_told_at_every_width_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    lines = shown(width, JUDGED, QUEUED)

    assert max(map(len, lines)) <= width
    assert "succeeded*" in lines[2] or "succeeded · by exit code" in lines[2]
    assert "by exit code" in "\n".join(lines)
    assert "succeeded*" not in lines[1]
    assert ID in lines[2]
