"""`python -m chaos.platform FOLDER ...`: starts `chaos.produce` again until an attempt ends well, as platforms do.

Its own arguments end the first attempt before its time; the others are those of `chaos.produce`. A first attempt that
is `given-up` goes on beside the second one, as on a node that its cluster cannot reach any more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

_MOST_ATTEMPTS = 4


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-ends-by", choices=["exit", "SIGKILL", "SIGTERM", "error", "given-up"], required=True)
    parser.add_argument("--first-ends-after", type=int, required=True, help="reports")
    given, produce = parser.parse_known_args()
    command = [sys.executable, "-m", "chaos.produce", str(given.folder), *produce]
    given_up = given.first_ends_by == "given-up"
    early = ["--ends-after", str(given.first_ends_after)]
    first = start(command if given_up else [*command, "--ends-by", given.first_ends_by, *early], attempt=0)
    if given_up:
        wait_for_reports(given.folder / "reported", given.first_ends_after, first)
    else:
        first.wait()
    for attempt in range(1, _MOST_ATTEMPTS):
        if start(command, attempt=attempt).wait() == 0:
            break
    else:
        return 1
    if given_up:
        first.kill()
        first.wait()
    return 0


def start(command: list[str], *, attempt: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"STANDPIPE_ATTEMPT": str(attempt)}
    return subprocess.Popen([*command, "--name", str(attempt)], env=environment)


def wait_for_reports(journal: Path, count: int, first: subprocess.Popen[bytes]) -> None:
    """Until the first attempt has made so many reports, or has ended."""
    while first.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
