"""`python -m chaos`: runs the matrix and prints it as a table; exit code 1 when anything is wrong."""

from __future__ import annotations

import argparse
import secrets
import sys

from chaos.matrix import run_matrix
from chaos.trial import BOUNDARIES, CALLS
from chaos.world import Database


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of all that is random")
    parser.add_argument("--minutes", type=float, default=30.0, help="no trial begins after this, for each database")
    parser.add_argument("--rounds", type=int, default=10, help="trials of each cell")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append", help="both by default")
    parser.add_argument("--boundary", choices=BOUNDARIES, action="append", help="all by default")
    parser.add_argument("--call", choices=CALLS, action="append", help="all by default")
    given = parser.parse_args()
    print(f"Seed {given.seed}.", flush=True)
    faults: list[str] = []
    databases: list[Database] = given.database or ["sqlite", "postgresql"]
    for database in databases:
        matrix = run_matrix(
            database,
            boundaries=given.boundary or BOUNDARIES,
            calls=given.call or CALLS,
            rounds=given.rounds,
            seed=given.seed,
            seconds=given.minutes * 60,
        )
        print(f"\n{database}: how often each happened, everything whole afterwards\n{matrix.table()}", flush=True)
        faults += matrix.faults
    print("\n".join(["", *faults]) if faults else "\nNothing is missing, double, out of order or wrongly green.")
    return 1 if faults else 0


sys.exit(main())
