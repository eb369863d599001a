"""What became of a producer's messages: the value that closing a context returns."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from standpipe_protocol.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A message the server stored as rejected, or could not take at all (`position` is None)."""

    seq: int
    problem: Problem
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What became of a producer's messages."""

    producer: str
    numbered: int
    """Messages that got a number."""
    acknowledged: int
    """Of these, the ones the server has stored."""
    rejected: tuple[Rejection, ...] = ()
    """Of the acknowledged, the ones the server stored as rejected (the first thousand)."""
    dropped: int = 0
    """Messages for which neither memory nor disk had room; the server finds them missing."""
    dropped_logs: int = 0
    """Log lines that were dropped because memory and disk were full; the server has the number."""
    spooled: int = 0
    """Messages in the spool file, to be delivered by `standpipe deliver`."""
    spool_file: str | None = None
    error: str | None = None
    """Why not everything was delivered."""

    @property
    def undelivered(self) -> int:
        return self.numbered - self.acknowledged + self.dropped

    @property
    def complete(self) -> bool:
        """Whether the server has everything and rejected nothing."""
        return self.undelivered == 0 and not self.rejected and not self.dropped_logs
