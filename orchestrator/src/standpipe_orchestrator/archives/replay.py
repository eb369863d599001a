"""A stored invocation gone through once more: the results a session would have given, without launching anything.

From the broker's history or from an exported file, at once or as it happened. The invariant: the results are those of
the stored events and of nothing else; what a session would have raised for is raised.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

from standpipe.orchestration import new_producer
from standpipe_orchestrator.client.archive_operations import ArchiveReader
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.discovery import default_client
from standpipe_orchestrator.reading.bounded_items import ReadAgain
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.reading.event_dispatch import EventDispatch
from standpipe_orchestrator.reading.execution_errors import PipesResultsIncomplete, execution_error
from standpipe_orchestrator.reading.forwarded_output import flush_forwarded
from standpipe_orchestrator.reading.receipt_check import Tally, disagreements, superseded_producers
from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.reading.result_getters import ResultGetters
from standpipe_orchestrator.sessions.opening import find_invocation
from standpipe_orchestrator.sessions.run_context import RunContext, logger_of, require_context
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.invocation import Event, Invocation


class Replay(ResultGetters):
    """An iterator over the results of stored events; it can be gone through once. `completed` has everything.

    Attributes:
        invocation: the broker's record, verdict and reasons included.
    """

    def __init__(
        self,
        invocation: Invocation,
        read: ReadAgain,
        *,
        context: RunContext = None,
        speed: float | None = None,
        forward_stdio: bool = False,
    ) -> None:
        if speed is not None and not speed > 0:
            raise ValueError(f"The speed is {speed!r}; expected a number above 0, or None for all at once.")
        self.invocation = invocation
        self._events = read(after=0, methods=())
        self._speed = speed
        keys = invocation.context.get("asset_keys")
        targets = [str(key) for key in keys] if isinstance(keys, list) else None
        super().__init__(ResultCollection(targets, read_again=read))
        self._dispatch = EventDispatch(
            collected=self.collected,
            log=logger_of(context),
            own_producer=new_producer(),
            forward_stdio=forward_stdio,
            on_result=getattr(context, "result_reported", None),
        )
        self._tally = Tally()
        self._results = self._run()

    def __iter__(self) -> Iterator[PipesResult]:
        return self._results

    def __next__(self) -> PipesResult:
        return next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._results.close()

    @property
    def completed(self) -> PipesClientCompletedInvocation:
        """The finished invocation, as `run` gives it; what was not gone through yet is gone through now.

        Raises:
            PipesResultsIncomplete: an event could not be handled, or not all that the receipt counts is there.
        """
        for _ in self._results:
            pass
        return PipesClientCompletedInvocation(self)

    def _run(self) -> Generator[PipesResult]:
        begin, first = time.monotonic(), None
        for event in self._events:
            if self._speed is not None:
                received = datetime.fromisoformat(event.received_at).timestamp()
                first = received if first is None else first
                _until(begin + (received - first) / self._speed)
            self._tally.count(event)
            try:
                self._dispatch.handle(event)
            except Exception as error:
                raise self._incomplete(
                    f"The event at position {event.position} ({event.method}) could not be handled: "
                    f"{type(error).__name__}: {error}"
                ) from error
            yield from self.collected.take_new()
        if self._dispatch.printed:
            flush_forwarded()
        if self.invocation.verdict == "succeeded" and (missing := disagreements(self.invocation, self._tally)):
            raise self._incomplete(f"What was read is not what the broker had: {'; '.join(missing)}")
        self.collected.end(
            succeeded=self.invocation.verdict == "succeeded",
            superseded_producers=superseded_producers(self.invocation),
        )
        yield from self.collected.take_new()

    def _incomplete(self, because: str) -> Exception:
        completed = PipesClientCompletedInvocation(self)
        return execution_error(completed, because=because, kind=PipesResultsIncomplete)


def replay(
    source: str | os.PathLike[str],
    *,
    client: BrokerClient | None = None,
    context: RunContext = None,
    speed: float | None = None,
    forward_stdio: bool = False,
) -> Replay:
    """Rebuilds results from stored events: of an exported file, or of an invocation on the broker.

        completed = replay("incident.ndjson").completed
        assert completed.invocation.verdict == "incomplete"

    Args:
        source: the path of what `standpipe export` wrote, or an invocation's id or key.
        client: the broker; this process's own when not given. A file needs none.
        context: where log records go; `context.log`.
        speed: 1 for the time it took, 10 for a tenth of it; None for all at once.
        forward_stdio: print what was captured.

    Raises:
        InvalidArchive: the file is none, is damaged or was cut short; while it is gone through, too.
        InvocationNotFound: there is no such file, id or key.
    """
    require_context(context)
    if isinstance(source, os.PathLike) or (not source.startswith("inv_") and Path(source).is_file()):
        archive = _Archive(Path(source))
        invocation, read = archive.invocation, archive.events
    else:
        client = default_client() if client is None else client
        invocation = find_invocation(client, source)
        read = partial(_stored, client, invocation)
    return Replay(invocation, read, context=context, speed=speed, forward_stdio=forward_stdio)


class _Archive:
    """A file, opened whenever it is gone through."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open(encoding="utf-8") as lines:
            self.invocation = Invocation.from_wire(ArchiveReader(lines, name=str(path)).invocation)

    def events(self, *, after: int, methods: Sequence[str]) -> Iterator[Event]:
        with self._path.open(encoding="utf-8") as lines:
            for wire in ArchiveReader(lines, name=str(self._path)).events():
                event = Event.from_wire(wire)
                if event.position > after and (not methods or event.method in methods):
                    yield event


def _stored(client: BrokerClient, invocation: Invocation, *, after: int, methods: Sequence[str]) -> Iterator[Event]:
    for event in client.events.iterate(invocation.id, after=after, methods=methods):
        if event.position > invocation.last_position:
            return
        yield event


def _until(moment: float) -> None:
    if (left := moment - time.monotonic()) > 0:
        threading.Event().wait(left)
