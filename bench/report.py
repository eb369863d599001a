"""What the benchmarks print: a figure, its bound taken before and after it, the ratio, and the aim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

HEADINGS = ("", "value", "bound, before / after", "ratio", "aim", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. Without `bounds` it is measured against nothing; the aim then is for the figure itself."""

    what: str
    value: float
    unit: str
    bound: str = ""
    bounds: tuple[float, float] | None = None
    aim: float | None = None
    lower_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        return None if self.bounds is None else self.value / fmean(self.bounds)

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        return measured <= self.aim if self.lower_is_better else measured >= self.aim

    def cells(self, *, naming_the_bound: bool) -> tuple[str, ...]:
        bounds = "" if self.bounds is None else f"{number(self.bounds[0])} / {number(self.bounds[1])}"
        sign = "≤" if self.lower_is_better else "≥"
        return (
            self.what,
            f"{number(self.value)} {self.unit}",
            f"{self.bound}: {bounds}" if bounds and naming_the_bound else bounds,
            "" if self.ratio is None else f"{self.ratio:.3g}",
            "" if self.aim is None else f"{sign} {self.aim:g}",
            {True: "reached", False: "not reached", None: ""}[self.reached],
        )


def bracketed(bound: Callable[[], float], measure: Callable[[], float]) -> tuple[float, tuple[float, float]]:
    """Our figure, and the bound taken before and after it."""
    before = bound()
    value = measure()
    return value, (before, bound())


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def text_table(rows: Sequence[Row]) -> str:
    lines = [HEADINGS, *(row.cells(naming_the_bound=True) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown_table(rows: Sequence[Row]) -> str:
    """Without the names of the bounds: the page tells them, and a line has to fit."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells(naming_the_bound=False) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
