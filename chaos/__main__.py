"""`python -m chaos [matrix|soak]`: breaks things, and prints what came of it; exit code 1 when anything is wrong."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence

from chaos.jobs import COLUMNS
from chaos.matrix import run_matrix
from chaos.soak import run_soak
from chaos.trial import BOUNDARIES
from chaos.world import Database, open_world

_MOST_FAULTS = 50
_DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["matrix", "soak"], default="matrix")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each database; of the matrix, at most")
    parser.add_argument("--database", choices=_DATABASES, action="append", help="both by default")
    parser.add_argument("--rounds", type=int, default=10, help="matrix: trials of each cell")
    parser.add_argument("--boundary", choices=BOUNDARIES, action="append", help="matrix: all by default")
    parser.add_argument("--column", choices=COLUMNS, action="append", help="matrix: all by default")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="matrix: of all that is random")
    parser.add_argument("--processes", type=int, default=50, help="soak: producers")
    parser.add_argument("--invocations", type=int, default=200, help="soak: open at once")
    given = parser.parse_args()
    databases: Sequence[Database] = given.database or _DATABASES
    faults = _soak(given, databases) if given.what == "soak" else _matrix(given, databases)
    if faults:
        print("\n".join(["", *faults[:_MOST_FAULTS]]))
        print(f"{len(faults)} faults.")
    else:
        print("\nNothing is missing, double, out of order or wrongly green.")
    return 1 if faults else 0


def _matrix(given: argparse.Namespace, databases: Sequence[Database]) -> list[str]:
    print(f"Seed {given.seed}.", flush=True)
    faults: list[str] = []
    for database in databases:
        with open_world(database) as world:
            matrix = run_matrix(
                world,
                boundaries=given.boundary or BOUNDARIES,
                columns=given.column or COLUMNS,
                rounds=given.rounds,
                seed=given.seed,
                seconds=given.minutes * 60,
            )
        print(f"\n{database}: how often each happened; with everything whole afterwards unless it says WRONG")
        print(matrix.table(), flush=True)
        faults += matrix.faults
    return faults


def _soak(given: argparse.Namespace, databases: Sequence[Database]) -> list[str]:
    faults: list[str] = []
    for database in databases:
        soaked = run_soak(
            database, seconds=given.minutes * 60, processes=given.processes, invocations=given.invocations
        )
        print("\n".join([f"\n{database}", *soaked.lines()]), flush=True)
        faults += [f"{database}: {fault}" for fault in soaked.faults]
    return faults


sys.exit(main())
