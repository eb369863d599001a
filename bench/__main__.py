"""`python -m bench [ingest] [live] [sdk]`: runs the named benchmarks, or all."""

from __future__ import annotations

import argparse

from bench import ingest, live, sdk
from bench.report import show

_BENCHMARKS = {
    "ingest": ("Durable ingest (SQLite, an fsync a commit)", ingest.run),
    "live": ("From report to reader", live.run),
    "sdk": ("What the SDK costs the job", sdk.run),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(_BENCHMARKS)}; all by default"
    )
    names: list[str] = parser.parse_args().names or list(_BENCHMARKS)
    unknown = [name for name in names if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; expected {', '.join(_BENCHMARKS)}")
    for name in names:
        title, run = _BENCHMARKS[name]
        show(title, run())


main()
