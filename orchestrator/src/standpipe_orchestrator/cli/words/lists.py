"""Lists with one line an item, for names of any length.

On a terminal what is flexible is cut with an ellipsis, and the rest (ids, times, verdicts) is whole. Elsewhere nothing
is cut, since a program reads it: a value that is wider than its column moves the rest of its own row and of no other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.words.text import in_line

_WIDEST = 48
"""Of a column where nothing is cut."""
_NARROWEST = 3
_FLEXIBLE_WIDTH = 16
_FIRST_TO_GO = ("Version", "Materialized", "Checked")
"""Where a terminal leaves so little for the flexible columns together."""
_GAP = "  "


def cell(text: str, style: str = "") -> Text:
    """Text from outside on one line, cut with an ellipsis where its column is too narrow."""
    return Text(in_line(text), style=style, no_wrap=True, overflow="ellipsis")


def print_rows(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]], *, flexible: Collection[str]
) -> None:
    """Prints a list without the columns in which nothing stands.

    Args:
        flexible: the columns that are cut where a terminal is too narrow.
    """
    shown = [number for number, _ in enumerate(columns) if any(row[number].plain for row in rows)]
    names = [columns[number] for number in shown]
    cells = [[row[number] for number in shown] for row in rows]
    if console.is_terminal:
        console.print(_fitted(names, cells, width=console.width, flexible=flexible))
        return
    widths = [
        min(_WIDEST, max(Text(name).cell_len, *(row[at].cell_len for row in cells))) for at, name in enumerate(names)
    ]
    for row in [[Text(name) for name in names], *cells]:
        padded = [text.plain + " " * (width - text.cell_len) for text, width in zip(row, widths, strict=True)]
        console.out(_GAP.join(padded).rstrip(), highlight=False)


def _fitted(names: Sequence[str], rows: Sequence[Sequence[Text]], *, width: int, flexible: Collection[str]) -> Table:
    widths = {name: max(len(name), *(row[at].cell_len for row in rows)) for at, name in enumerate(names)}
    shown = list(names)
    for name in _FIRST_TO_GO:
        if name in shown and _room(shown, widths, width=width, flexible=flexible) < _FLEXIBLE_WIDTH:
            shown.remove(name)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim underline", pad_edge=False)
    room = _room(shown, widths, width=width, flexible=flexible)
    for name, at_most in _shares(shown, widths, room=room, flexible=flexible).items():
        # That a cell stays on one line is said by the cell's text; rich shrinks only columns that it may wrap.
        table.add_column(name, no_wrap=name not in flexible, max_width=at_most)
    for row in rows:
        table.add_row(*(text for name, text in zip(names, row, strict=True) if name in shown))
    return table


def _room(names: Sequence[str], widths: dict[str, int], *, width: int, flexible: Collection[str]) -> int:
    """What is left for the flexible columns."""
    return width - sum(widths[name] + len(_GAP) for name in names if name not in flexible)


def _shares(
    names: Sequence[str], widths: dict[str, int], *, room: int, flexible: Collection[str]
) -> dict[str, int | None]:
    """How wide each column may be: narrow flexible ones first, so that one long name takes nothing from the others."""
    shares: dict[str, int | None] = dict.fromkeys(names)
    waiting = sorted((name for name in names if name in flexible), key=lambda name: widths[name])
    for place, name in enumerate(waiting):
        fair = room // (len(waiting) - place) - len(_GAP)
        share = max(_NARROWEST, min(widths[name], fair))
        shares[name] = share
        room -= share + len(_GAP)
    return shares
