"""The loss matrix: every boundary at every call and beside every job, many times, within a time that is given."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chaos.jobs import COLUMNS, Column
from chaos.trial import BOUNDARIES, Boundary, Outcome, Trial, impossible
from chaos.world import Database, World


@dataclass(slots=True)
class Cell:
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    impossible: str = ""

    @property
    def text(self) -> str:
        """`-`: there is no such case; else how often it happened, and how many of those were wrong, if any."""
        if self.impossible:
            return "-"
        happened = sum(outcome.happened for outcome in self.outcomes)
        wrong = sum(bool(outcome.faults) for outcome in self.outcomes)
        return f"{wrong} of {happened} WRONG" if wrong else str(happened)


@dataclass(slots=True)
class Matrix:
    database: Database
    cells: dict[tuple[Boundary, Column], Cell]
    faults: list[str] = field(default_factory=list[str])

    def table(self) -> str:
        columns: list[Column] = [column for column in COLUMNS if any(tried == column for _, tried in self.cells)]
        rows = [["", *columns]] + [
            [
                boundary,
                *(self.cells[boundary, column].text if (boundary, column) in self.cells else "" for column in columns),
            ]
            for boundary in BOUNDARIES
            if any((boundary, column) in self.cells for column in columns)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        # A dash is told with its reason: nobody shall take what could not be tried for what went well.
        reasons = {
            f"  -: {boundary}: {cell.impossible}" for (boundary, _), cell in self.cells.items() if cell.impossible
        }
        return "\n".join([*(f"  {line.rstrip()}" for line in lines), *sorted(reasons)])


def run_matrix(
    world: World,
    *,
    boundaries: Sequence[Boundary] = BOUNDARIES,
    columns: Sequence[Column] = COLUMNS,
    rounds: int,
    seed: int,
    seconds: float,
) -> Matrix:
    """Runs `rounds` trials of each cell, in another order each round, and begins none after `seconds`."""
    matrix = Matrix(world.database, {cell: Cell() for cell in itertools.product(boundaries, columns)})
    deadline = time.monotonic() + seconds
    for boundary, column, trial_seed in _order(matrix, world, rounds=rounds, seed=seed):
        if time.monotonic() >= deadline:
            break
        outcome = Trial(world, boundary=boundary, column=column, seed=trial_seed).run()
        matrix.cells[boundary, column].outcomes.append(outcome)
        matrix.faults += [
            f"{world.database}, {boundary} x {column}, seed {trial_seed}: {told}" for told in outcome.faults
        ]
    return matrix


def _order(matrix: Matrix, world: World, *, rounds: int, seed: int) -> Iterator[tuple[Boundary, Column, int]]:
    chance = random.Random(seed)
    possible: list[tuple[Boundary, Column]] = []
    for (boundary, column), cell in matrix.cells.items():
        cell.impossible = impossible(boundary, column, world=world)
        if not cell.impossible:
            possible.append((boundary, column))
    for _ in range(rounds):
        chance.shuffle(possible)
        for boundary, column in possible:
            yield boundary, column, chance.randrange(1_000_000_000)
