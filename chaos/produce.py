"""`python -m chaos.produce FOLDER COUNT SECONDS SILENCE`: a real producer, with a journal of what it has reported.

A number stands in the journal once `report_custom_message` has returned. In the middle the producer has nothing to
report for `SILENCE` seconds, so that its heart has to beat.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from standpipe import open_pipes


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    seconds, silence = float(sys.argv[3]), float(sys.argv[4])
    journal = os.open(folder / "reported", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # One line a start: the command must have been started once.
    os.write(journal, b"started\n")
    # Only now: whoever knows the number may kill the process.
    (folder / "producer.pid").write_text(str(os.getpid()))
    with open_pipes() as context:
        for number in range(count):
            context.report_custom_message({"number": number, "text": "x" * 200})
            os.write(journal, b"%d\n" % number)
            time.sleep(silence if number == count // 2 else seconds / count)


if __name__ == "__main__":
    main()
