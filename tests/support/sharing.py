"""How several processes share the tests: what belongs together goes to one of them, and what takes long begins first.

pytest-xdist has marks for groups, too, but up to 3.8 it carries them in the names of tests, where pytest from 9.2 on no
longer lets it.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]  it has none

# Some fixtures are expensive, and only one folder needs them: one process runs all of it.
_TOGETHER = ("tests/browser/", "tests/contract/", "tests/integration/orchestrator/")
# Tests of these files take long and share nothing: any process may run any of them.
_APART = ("tests/e2e/test_docs_commands.py", "tests/e2e/test_sdk_", "tests/integration/test_http_stalls.py")
# What takes longest begins first, so that no process still works when the others are done; what takes next to no time
# comes last. Within a folder this is the order of `pytest --durations`.
_FIRST = (
    "tests/browser/",
    "tests/e2e/test_chaos.py",
    "tests/e2e/test_docs_commands.py",
    "tests/e2e/test_seed_examples.py",
    "tests/e2e/test_terminal_commands.py",
    "tests/e2e/test_orchestrator_killed.py",
    "tests/integration/orchestrator/",
    "tests/integration/test_http_stalls.py",
    "tests/e2e/",
    "tests/integration/",
    "tests/migration/",
    "tests/contract/",
)


def group_of(test: str) -> str:
    """The tests of a group have one process: those of a file, as a rule."""
    file = test.partition("::")[0]
    if file.startswith(_APART):
        return test
    return next((folder for folder in _TOGETHER if file.startswith(folder)), file)


def place_of(test: str) -> int:
    """Where in the order a test comes: the lowest is first."""
    return next((place for place, first in enumerate(_FIRST) if test.startswith(first)), len(_FIRST))


class Sharing(LoadScopeScheduling):
    """Gives a process one group after another."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
