"""The loss matrix: every boundary at every call, many times, within a time that is given."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chaos.proxy import Call
from chaos.trial import BOUNDARIES, CALLS, Boundary, Outcome, Trial, impossible
from chaos.world import Database, World, open_world


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
    cells: dict[tuple[Boundary, Call], Cell]
    faults: list[str] = field(default_factory=list[str])

    def table(self) -> str:
        rows = [["", *CALLS]] + [
            [boundary, *(self.cells[boundary, call].text if (boundary, call) in self.cells else "" for call in CALLS)]
            for boundary in BOUNDARIES
            if any((boundary, call) in self.cells for call in CALLS)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        # A dash is told with its reason: nobody shall take what could not be tried for what went well.
        reasons = {
            f"  -: {boundary}: {cell.impossible}" for (boundary, _), cell in self.cells.items() if cell.impossible
        }
        return "\n".join([*(f"  {line.rstrip()}" for line in lines), *sorted(reasons)])


def run_matrix(
    database: Database,
    *,
    boundaries: Sequence[Boundary] = BOUNDARIES,
    calls: Sequence[Call] = CALLS,
    rounds: int,
    seed: int,
    seconds: float,
) -> Matrix:
    """Runs `rounds` trials of each cell, in another order each round, and begins none after `seconds`."""
    matrix = Matrix(database, {cell: Cell() for cell in itertools.product(boundaries, calls)})
    deadline = time.monotonic() + seconds
    with open_world(database) as world:
        for boundary, call, trial_seed in _order(matrix, world, rounds=rounds, seed=seed):
            if time.monotonic() >= deadline:
                break
            outcome = Trial(world, boundary=boundary, call=call, seed=trial_seed).run()
            matrix.cells[boundary, call].outcomes.append(outcome)
            matrix.faults += [f"{database}, {boundary} x {call}, seed {trial_seed}: {told}" for told in outcome.faults]
    return matrix


def _order(matrix: Matrix, world: World, *, rounds: int, seed: int) -> Iterator[tuple[Boundary, Call, int]]:
    chance = random.Random(seed)
    possible: list[tuple[Boundary, Call]] = []
    for (boundary, call), cell in matrix.cells.items():
        cell.impossible = impossible(boundary, call, world=world)
        if not cell.impossible:
            possible.append((boundary, call))
    for _ in range(rounds):
        chance.shuffle(possible)
        for boundary, call in possible:
            yield boundary, call, chance.randrange(1_000_000_000)
