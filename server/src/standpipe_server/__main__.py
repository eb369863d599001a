"""`python -m standpipe_server serve` and `migrate`: the server's verbs without the `standpipe` command."""

from __future__ import annotations

import sys

from standpipe_server.cli import main

if __name__ == "__main__":
    sys.exit(main())
