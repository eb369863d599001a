"""`python -m chaos.soak_producer SECONDS ENVIRONMENTS`: reports to these invocations in turn, then closes them."""

from __future__ import annotations

import json
import os
import random
import sys
import time

from standpipe.http_context import HttpPipesContext
from standpipe_protocol.bootstrap import Bootstrap

_ROUND_SECONDS = 0.5


def main() -> int:
    seconds, environments = float(sys.argv[1]), json.loads(sys.argv[2])
    contexts = [
        HttpPipesContext(
            Bootstrap(url=one["STANDPIPE_URL"], invocation=one["STANDPIPE_INVOCATION"], token=one["STANDPIPE_TOKEN"]),
            environment=os.environ,
        )
        for one in environments
    ]
    chance = random.Random()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for context in contexts:
            context.report_custom_message({"number": number, "text": "x" * chance.randrange(2_000)})
        number += 1
        time.sleep(chance.uniform(0, 2 * _ROUND_SECONDS))
    for context in contexts:
        context.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
