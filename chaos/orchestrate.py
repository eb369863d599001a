"""`python -m chaos.orchestrate FOLDER KEY COMMAND...`: a real orchestrator, which may be killed and started again.

Writes the invocation's id, its verdict and the results it was given to `FOLDER/results.json`, whole or not at all.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from standpipe_orchestrator import BrokerClient, PipesExecutionError, PipesSubprocessClient

_LEASE_SECONDS = 3.0


def main() -> None:
    folder, key, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with BrokerClient(os.environ["STANDPIPE_URL"], api_key=os.environ["STANDPIPE_API_KEY"]) as client:
        try:
            completed = PipesSubprocessClient(client=client).run(
                context=None, command=command, key=key, lease_seconds=_LEASE_SECONDS, timeout=60
            )
        except PipesExecutionError as error:
            if error.completed is None:
                raise
            completed = error.completed
    result = {
        "invocation": completed.invocation.id,
        "verdict": completed.invocation.verdict,
        "numbers": [
            (payload["by"], payload["number"])
            for payload in completed.get_custom_messages()
            if isinstance(payload, dict) and "number" in payload
        ],
    }
    whole = folder / "results.json.new"
    whole.write_text(json.dumps(result))
    whole.replace(folder / "results.json")


if __name__ == "__main__":
    main()
