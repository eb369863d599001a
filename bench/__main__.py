"""`python -m bench [NAME ...] [--markdown FILE]`: runs the named benchmarks, or all, and prints their tables."""

from __future__ import annotations

import argparse
import gc
from functools import partial
from pathlib import Path

from bench import page
from bench.cases import browse, ingest, live, postgres, readers, receipt, sdk, single
from bench.machine import facts
from bench.report import Row, text_table

_BENCHMARKS = {
    "ingest": ("Batches into SQLite", ingest.run),
    "single": ("One message a request into SQLite", single.run),
    "sdk": ("What the SDK costs the job", sdk.run),
    "receipt": ("What a receipt costs", receipt.run),
    "postgres": ("Batches into PostgreSQL", postgres.run),
    "live": ("From report to reader", live.run),
    "readers": ("Idle readers", readers.run),
    "browse": ("Looking at a long history", browse.run),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names_help = f"one or more of {', '.join(_BENCHMARKS)}; all by default"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names_help)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables as a page")
    size_help = f"how long the history is that `browse` looks at; {browse.INVOCATIONS:,} by default"
    parser.add_argument("--invocations", type=int, default=browse.INVOCATIONS, metavar="N", help=size_help)
    keep_help = "a folder in which `browse` keeps its filled databases, to take them up the next time"
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=keep_help)
    parser.add_argument("--database", choices=browse.NAMES, help="the one that `browse` looks at; both by default")
    arguments = parser.parse_args()
    browsing = partial(browse.run, invocations=arguments.invocations, kept=arguments.keep, only=arguments.database)
    names: list[str] = arguments.names or list(_BENCHMARKS)
    unknown = [name for name in names if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; expected {', '.join(_BENCHMARKS)}")
    print("\n".join(facts()))
    measured: dict[str, list[Row]] = {}
    for name in names:
        title, run = _BENCHMARKS[name]
        measured[title] = list(browsing() if run is browse.run else run())
        print(f"\n{title} ({name})\n{text_table(measured[title])}", flush=True)
        gc.collect()
    if arguments.markdown:
        page.write(arguments.markdown, measured)


main()
