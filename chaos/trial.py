"""One trial: an orchestrator launches a producer, one thing goes wrong, and afterwards everything is counted."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from chaos.jobs import CALLS, JOBS, Column, Ended, Job
from chaos.proxy import Broken, Call, Plan
from chaos.world import World
from standpipe_orchestrator import BrokerClient, Event
from tests.support.processes import REPOSITORY, Process, child_environment, run

Boundary: TypeAlias = Literal[
    "connection refused",
    "reset in mid-body",
    "answer lost",
    "503",
    "stalled socket",
    "SIGTERM of producer",
    "SIGKILL of producer",
    "SIGTERM of server",
    "SIGKILL of server",
    "SIGTERM of orchestrator",
    "SIGKILL of orchestrator",
    "disk full",
    "database restart",
]
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)

_NETWORK: dict[Boundary, Broken] = {
    "connection refused": "refused",
    "reset in mid-body": "reset",
    "answer lost": "lost",
    "503": "503",
    "stalled socket": "stalled",
}
_TRIAL_SECONDS = 120.0
_DELIVERIES = 5


def impossible(boundary: Boundary, column: Column, *, world: World) -> str:
    """Why there is no such cell; empty when there is."""
    if boundary == "disk full" and world.disk is None:
        return world.no_disk
    if boundary == "database restart" and world.cluster is None:
        return "SQLite is no server"
    if column == "register" and not _has_producer(boundary, column):
        return "there is no producer yet"
    return ""


def _has_producer(boundary: Boundary, call: Column) -> bool:
    """Whether what the boundary happens to is there at that call."""
    return not (call == "register" and boundary.endswith("producer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a trial."""

    happened: bool
    """Whether the fault found the call it waited for."""
    faults: tuple[str, ...]
    """What is wrong with what is stored, one sentence each."""
    lost: int = 0
    """Messages that a killed producer had reported and took with it."""


class Trial:
    def __init__(self, world: World, *, boundary: Boundary, column: Column, seed: int) -> None:
        self._world = world
        self._boundary: Boundary = boundary
        self._random = random.Random(seed)
        calls: list[Call] = [
            call for call in CALLS if call == column or (column in JOBS and _has_producer(boundary, call))
        ]
        self._call: Call = self._random.choice(calls)
        self._job = JOBS.get(column, Job)(self._random, silence=4.0 if self._call == "heartbeat" else 0.0)
        self._folder = world.folder / f"trial-{boundary}-{column}-{seed}".replace(" ", "-")
        self._orchestrator: Process | None = None
        self._signalled: set[str] = set()
        self._spool_first = self._random.random() < 0.5
        # A third of the producers have no patience at their end: what is left is delivered by others.
        self._close_timeout = self._random.choice(["0.5", "20", "20"])

    def run(self) -> Outcome:
        self._folder.mkdir()
        self._world.proxy.arm(self._plan())
        try:
            self._orchestrate()
        except AssertionError as error:
            return Outcome(happened=self._world.proxy.broke, faults=(str(error),))
        finally:
            happened = self._world.proxy.broke
            self._world.proxy.arm(None)
            if self._orchestrator is not None:
                self._orchestrator.kill9()
        with self._world.lock:
            # Whatever was restarted is there again.
            faults = self._deliver()
        return self._judge(faults, happened=happened)

    def _plan(self) -> Plan:
        seconds = self._random.uniform(0.2, 1.5)
        skip = self._random.randrange({"append": 4, "heartbeat": 2}.get(self._call, 1))
        broken = _NETWORK.get(self._boundary)
        if broken is not None:
            return Plan(call=self._call, broken=broken, skip=skip, seconds=seconds)
        when: Broken = self._random.choice(["before", "after"])
        return Plan(call=self._call, broken=when, skip=skip, action=self._action(seconds))

    def _action(self, seconds: float) -> Callable[[], bool]:
        world, crash = self._world, self._random.random() < 0.5
        match self._boundary:
            case "SIGTERM of producer":
                return lambda: self._signal_producer(signal.SIGTERM)
            case "SIGKILL of producer":
                return lambda: self._signal_producer(signal.SIGKILL)
            case "SIGTERM of orchestrator":
                return lambda: self._signal_orchestrator(signal.SIGTERM)
            case "SIGKILL of orchestrator":
                return lambda: self._signal_orchestrator(signal.SIGKILL)
            case "SIGTERM of server":
                return world.stop_server
            case "SIGKILL of server":
                return world.kill_server
            case "disk full":
                return lambda: world.fill_disk(seconds=seconds)
            case _:
                return lambda: world.restart_database(crash=crash)

    def _signal_producer(self, number: int) -> bool:
        file = self._folder / "producer.pid"
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if file.exists():
                source, pid = file.read_text().split()
                try:
                    os.kill(int(pid), number)
                except ProcessLookupError:
                    return False
                self._signalled.add(source)
                return True
            time.sleep(0.01)
        return False

    def _signal_orchestrator(self, number: int) -> bool:
        if self._orchestrator is None or self._orchestrator.exit_code is not None:
            return False
        self._orchestrator.signal(number)
        return True

    def _orchestrate(self) -> None:
        """Runs the orchestrator, again and again if it was killed, until it has results."""
        environment = self._environment(
            STANDPIPE_URL=self._world.proxy.url,
            STANDPIPE_API_KEY=self._world.server.api_key,
            STANDPIPE_CLOSE_TIMEOUT=self._close_timeout,
            STANDPIPE_SPOOL="first" if self._spool_first else "later",
        )
        job = [sys.executable, "-m", *self._job.arguments(self._folder)]
        command = [sys.executable, "-m", "chaos.orchestrate", str(self._folder), self._folder.name, *job]
        deadline = time.monotonic() + _TRIAL_SECONDS
        starts = 0
        while not (self._folder / "results.json").exists():
            starts += 1
            assert starts <= 5, f"the orchestrator ended {starts - 1} times without results:\n{self._told()[-2000:]}"
            self._orchestrator = Process(
                command, log=self._folder / "orchestrator.log", env=environment, cwd=REPOSITORY
            )
            self._orchestrator.wait(timeout=max(deadline - time.monotonic(), 1))

    def _environment(self, **ours: str) -> dict[str, str]:
        return child_environment(ours, home=self._folder / "home")

    def _told(self) -> str:
        log = self._folder / "orchestrator.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _deliver(self) -> list[str]:
        """What the producer left on disk is delivered, as a person would do it."""
        deliver = [sys.executable, "-m", "standpipe.cli", "deliver"]
        told = ""
        for _ in range(_DELIVERIES):
            done = run(deliver, env=self._environment(), check=False)
            if done.returncode == 0:
                return []
            told = f"{done.stdout} {done.stderr}"
        return [f"`standpipe deliver` does not deliver: {told}"]

    def _judge(self, faults: list[str], *, happened: bool) -> Outcome:
        results = json.loads((self._folder / "results.json").read_text())
        with BrokerClient(self._world.server.url, api_key=self._world.server.api_key) as client:
            invocation = client.invocations.get(results["invocation"])
            events = list(client.events.iterate(invocation.id))
        ended = Ended(
            reported=self._reported(),
            stored=by_source(report for event in events if (report := number_of(event)) is not None),
            signalled=self._signalled,
            spool_first=self._spool_first,
            verdict=invocation.verdict or invocation.status,
            reasons=[reason.code for reason in invocation.reasons],
        )
        faults += wrong_with(events)
        faults += self._count(ended, given=by_source((source, number) for source, number in results["numbers"]))
        faults += self._job.faults(ended)
        return Outcome(happened=happened, faults=tuple(faults), lost=sum(len(ended.lost(it)) for it in ended.reported))

    def _reported(self) -> dict[str, list[int]]:
        file = self._folder / "reported"
        journal = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return by_source((source, int(number)) if number != "started" else (source, None) for source, number in journal)

    def _count(self, ended: Ended, *, given: dict[str, list[int]]) -> list[str]:
        """What is missing, double, out of order or invented."""
        faults: list[str] = []
        journal = (self._folder / "reported").read_text().splitlines()
        if (starts := journal.count(f"{self._job.first} started")) != 1:
            faults.append(f"the command was started {starts} times")
        for source in {**ended.reported, **ended.stored, **given}:
            reported, stored = ended.reported.get(source, []), ended.stored.get(source, [])
            if list(stored) != sorted(set(stored)):
                faults.append(f"stored twice or out of order: {source}'s {stored}")
            seen = given.get(source, [])
            if len(seen) != len(set(seen)) or not set(seen) <= set(stored):
                faults.append(f"the orchestrator was given {source}'s {seen}, and stored is {stored}")
            # What is reported when the signal comes may be stored and not yet in the journal.
            if not set(stored) <= {*reported, len(reported)}:
                faults.append(f"stored but never reported: {source}'s {sorted(set(stored) - set(reported))}")
            if source not in self._job.may_lose(ended) and (lost := ended.lost(source)):
                faults.append(f"reported and not stored: {source}'s {lost}")
        return faults


def by_source(numbers: Iterable[tuple[str, int | None]]) -> dict[str, list[int]]:
    """The numbers of each process, in their order; a process without any has an empty list."""
    sources: defaultdict[str, list[int]] = defaultdict(list)
    for source, number in numbers:
        sources[source] += [] if number is None else [number]
    return dict(sources)


def wrong_with(events: Sequence[Event]) -> list[str]:
    """Gaps and repeats in positions and in the numbers of each producer."""
    faults: list[str] = []
    if [event.position for event in events] != list(range(1, len(events) + 1)):
        faults.append("the positions have gaps or repeats")
    numbers: dict[str, list[int]] = {}
    for event in events:
        numbers.setdefault(event.producer, []).append(event.seq)
    faults += [
        f"the numbers of {producer} are {seqs}"
        for producer, seqs in numbers.items()
        if seqs != list(range(1, len(seqs) + 1))
    ]
    return faults


def number_of(event: Event) -> tuple[str, int] | None:
    """The process that made this report of chaos, and its number; None for any other event."""
    payload = event.params.get("payload") if isinstance(event.params, dict) else None
    match payload:
        case {"number": int(number), **more}:
            return str(more.get("by", "")), number
        case _:
            return None
