"""The table that the benchmarks print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, its ratio to a bound of the same run, and the ratio that is aimed for (None: only shown)."""

    what: str
    value: float
    unit: str
    ratio: float | None
    bound: str
    goal: float | None
    lower_is_better: bool = False


def show(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.3g}"
        line = f"  {row.what:<44} {value:>12} {row.unit:<9}"
        if row.ratio is not None:
            line += f" {row.ratio:6.2f} x {row.bound}"
        if row.goal is not None and row.ratio is not None:
            reached = row.ratio <= row.goal if row.lower_is_better else row.ratio >= row.goal
            sign = "<=" if row.lower_is_better else ">="
            line += f"   aim {sign} {row.goal:g}: {'reached' if reached else 'not reached'}"
        print(line)
