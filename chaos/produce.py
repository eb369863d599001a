"""`python -m chaos.produce FOLDER ...`: a real producer, with a journal of what it has reported.

A number stands in the journal once `report_custom_message` has returned, after the name of the process that reported
it. In the middle the producer has nothing to report for `--silence` seconds, so that its heart has to beat.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from standpipe import PipesContext, open_pipes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="job")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="over which the reports are spread")
    parser.add_argument("--silence", type=float, default=0.0)
    parser.add_argument("--ends-by", choices=["exit", "SIGKILL", "SIGTERM", "error"], help="before its time")
    parser.add_argument("--ends-after", type=int, default=0, help="reports")
    parser.add_argument("--child", choices=["program", "fork"], help="that ends without a word")
    parser.add_argument("--child-reports", type=int, default=0)
    parser.add_argument("--child-ends-by", choices=["exit", "SIGKILL"], default="exit")
    given = parser.parse_args()
    journal = Journal(given.folder, given.name)
    with open_pipes() as context:
        for number in range(given.count):
            if given.ends_by and number == given.ends_after:
                end(given.ends_by)
            if given.child and number == given.count // 4:
                start_child(given, context)
            journal.report(context, number)
            time.sleep(given.silence if number == given.count // 2 else given.seconds / given.count)
        if given.child:
            os.wait()
        if given.ends_by and given.ends_after >= given.count:
            end(given.ends_by)


class Journal:
    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._file = os.open(folder / "reported", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # One line a start: the command must have been started once.
        self._write("started")
        if name != "child":
            # Only now: who knows the number may kill the process.
            new = folder / f"pid-{name}"
            new.write_text(f"{name} {os.getpid()}")
            new.replace(folder / "producer.pid")

    def report(self, context: PipesContext, number: int) -> None:
        context.report_custom_message({"by": self._name, "number": number, "text": "x" * 200})
        self._write(str(number))

    def _write(self, text: str) -> None:
        os.write(self._file, f"{self._name} {text}\n".encode())


def start_child(given: argparse.Namespace, context: PipesContext) -> None:
    if given.child == "program":
        sizes = ["--count", given.child_reports, "--seconds", given.seconds / 4]
        ends = ["--ends-by", given.child_ends_by, "--ends-after", given.child_reports]
        words = [sys.executable, "-m", "chaos.produce", given.folder, "--name", "child", *sizes, *ends]
        subprocess.Popen([str(word) for word in words])
    elif os.fork() == 0:
        journal = Journal(given.folder, "child")
        for number in range(given.child_reports):
            journal.report(context, number)
        end(given.child_ends_by)


def end(by: str) -> None:
    match by:
        case "exit":
            os._exit(0)
        case "error":
            raise RuntimeError("Chaos.")
        case _:
            os.kill(os.getpid(), signal.Signals[by])
            time.sleep(60)


if __name__ == "__main__":
    main()
