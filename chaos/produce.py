"""`python -m chaos.produce FOLDER COUNT SECONDS`: a real producer, which keeps a journal of what it has reported.

A number stands in the journal once `report_custom_message` has returned.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from standpipe import open_pipes


def main() -> None:
    folder, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    (folder / "producer.pid").write_text(str(os.getpid()))
    journal = os.open(folder / "reported", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # One line a start: the command must have been started once.
    os.write(journal, b"started\n")
    with open_pipes() as context:
        for number in range(count):
            context.report_custom_message({"number": number, "text": "x" * 200})
            os.write(journal, b"%d\n" % number)
            time.sleep(seconds / count)


if __name__ == "__main__":
    main()
