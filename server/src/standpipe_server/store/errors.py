"""What the store refuses, as domain errors.

StoreError
├── NotFound            no such invocation, asset or cursor target
├── Conflict            it contradicts what is stored
├── Overloaded          the writer's queue is full
├── BadCursor           a cursor that was made for another list
├── StoreClosed         the server is stopping
└── DatabaseLost        the database is not the one any more into which this server has committed
MigrationNeeded         the database's schema is not this version's
UnusableDatabase        its URL names nothing that can be opened (a ValueError)
"""

from __future__ import annotations

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import Problem


class StoreError(Exception):
    """A refusal, with the problem that tells it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class NotFound(StoreError):
    def __init__(self, what: str) -> None:
        super().__init__(Problem("not-found", what))


class Conflict(StoreError):
    def __init__(self, name: str, detail: str, members: dict[str, JsonValue] | None = None) -> None:
        super().__init__(Problem(name, detail, members or {}))


class Overloaded(StoreError):
    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(Problem("overloaded", detail, {"retry_after": retry_after}))


class BadCursor(StoreError):
    def __init__(self) -> None:
        detail = "The cursor is none of this list's: it is bound to the filter it was given for. Start without one."
        super().__init__(Problem("malformed", detail))


class StoreClosed(Overloaded):
    def __init__(self) -> None:
        super().__init__("The server is stopping; nothing was stored.", retry_after=2)


class DatabaseLost(Overloaded):
    """Nothing is acknowledged any more; the server ends, and its next start may go on with what is there then."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason} This server takes nothing more and ends. Send it again later.", retry_after=5)


class MigrationNeeded(Exception):
    pass


class UnusableDatabase(ValueError):
    pass
