"""The soak: many invocations at once, from many processes, with a server that is killed every half minute.

Each process has several invocations open and reports to them in turn as long as the soak lasts; the memory of server
and processes is looked at all the while. At the end every invocation that was begun has a whole receipt.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from chaos.trial import number_of, wrong_with
from chaos.world import Database, World, open_world
from standpipe_orchestrator import BrokerClient, ContextData
from tests.support.processes import REPOSITORY, Process, child_environment, resident_mib, run

_LOOK_EVERY_SECONDS = 2.0
# What a process may grow by between its first quarter and its last.
_SERVER_GROWTH_MIB = 96.0
_PRODUCER_GROWTH_MIB = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it."""

    invocations: int
    events: int
    kills: int
    server_mib: Sequence[float]
    producer_mib: Sequence[float]
    """The largest of them at each look."""
    faults: Sequence[str]

    def lines(self) -> list[str]:
        return [
            f"  {self.invocations} invocations, {self.events} events, the server killed {self.kills} times",
            f"  server: {_range(self.server_mib)} MiB; the largest producer: {_range(self.producer_mib)} MiB",
        ]


def run_soak(
    database: Database,
    *,
    seconds: float,
    processes: int = 50,
    invocations: int = 200,
    kill_every_seconds: float = 30.0,
) -> Soaked:
    """Runs it; `invocations` are open at once, an equal share in each process."""
    with open_world(database) as world, ExitStack() as stack:
        registered = _register(world, invocations)
        share = invocations // processes
        producers = [
            stack.enter_context(_producer(world, registered[start : start + share], seconds=seconds))
            for start in range(0, share * processes, share)
        ]
        server_mib, producer_mib, kills = _watch(world, producers, seconds=seconds, kill_every=kill_every_seconds)
        faults = [
            f"a producer ended with {code}: {producer.output()[-500:]}"
            for producer in producers
            if (code := producer.wait(timeout=180)) != 0
        ]
        faults += _deliver(world)
        events, wrong = _judge(world, [one["STANDPIPE_INVOCATION"] for one in registered[: share * processes]])
    faults += wrong
    faults += _grown("the server", server_mib, most=_SERVER_GROWTH_MIB)
    faults += _grown("a producer", producer_mib, most=_PRODUCER_GROWTH_MIB)
    return Soaked(
        invocations=share * processes,
        events=events,
        kills=kills,
        server_mib=server_mib,
        producer_mib=producer_mib,
        faults=faults,
    )


def _register(world: World, count: int) -> list[dict[str, str]]:
    context = ContextData.from_wire({})
    with BrokerClient(world.proxy.url, api_key=world.server.api_key) as client:
        return [dict(client.invocations.register(context, launcher="soak").env) for _ in range(count)]


def _producer(world: World, environments: Sequence[dict[str, str]], *, seconds: float) -> Process:
    environment = child_environment({"STANDPIPE_CLOSE_TIMEOUT": "60"}, home=world.folder / "producers")
    command = [sys.executable, "-m", "chaos.soak_producer", str(seconds), json.dumps(environments)]
    log = world.folder / f"producer-{environments[0]['STANDPIPE_INVOCATION']}.log"
    return Process(command, log=log, env=environment, cwd=REPOSITORY)


def _watch(
    world: World, producers: Sequence[Process], *, seconds: float, kill_every: float
) -> tuple[list[float], list[float], int]:
    """Kills the server again and again; what server and producers held meanwhile, and how often it was killed."""
    server_mib: list[float] = []
    producer_mib: list[float] = []
    kills = 0
    start = time.monotonic()
    pause = threading.Event()
    next_kill = start + kill_every
    while (now := time.monotonic()) < start + seconds and any(one.exit_code is None for one in producers):
        if now >= next_kill:
            # A server that has just started holds little: the last look at each of them counts.
            server_mib.append(resident_mib(world.server.pid))
            world.kill_server()
            kills += 1
            next_kill += kill_every
        producer_mib.append(max((resident_mib(one.pid) for one in producers if one.exit_code is None), default=0.0))
        pause.wait(_LOOK_EVERY_SECONDS)
    server_mib.append(resident_mib(world.server.pid))
    return server_mib, producer_mib, kills


def _deliver(world: World) -> list[str]:
    environment = child_environment(home=world.folder / "producers")
    done = run([sys.executable, "-m", "standpipe.cli", "deliver"], env=environment, check=False, timeout=300)
    return [] if done.returncode == 0 else [f"`standpipe deliver` does not deliver: {done.stdout} {done.stderr}"]


def _judge(world: World, ids: Sequence[str]) -> tuple[int, list[str]]:
    count = 0
    faults: list[str] = []
    with BrokerClient(world.server.url, api_key=world.server.api_key) as client:
        for id in ids:
            ended = client.invocations.finish(id, exit_code=0)
            events = list(client.events.iterate(id))
            count += len(events)
            numbers = [report[1] for event in events if (report := number_of(event)) is not None]
            faults += [f"{id}: {wrong}" for wrong in wrong_with(events)]
            if not numbers or numbers != list(range(len(numbers))):
                faults.append(f"{id}: {len(numbers)} stored, which are not those that were reported")
            if ended.verdict != "succeeded":
                faults.append(f"{id}: {ended.verdict}, {[reason.detail for reason in ended.reasons]}")
    return count, faults


def _grown(what: str, mib: Sequence[float], *, most: float) -> list[str]:
    """Compares the last quarter with the first, each by its largest."""
    quarter = max(len(mib) // 4, 1)
    growth = max(mib[-quarter:], default=0.0) - max(mib[:quarter], default=0.0)
    return [f"{what} has grown by {growth:.0f} MiB: {_range(mib)}"] if growth > most else []


def _range(mib: Sequence[float]) -> str:
    return f"{min(mib):.0f} to {max(mib):.0f}, {mib[-1]:.0f} at the end" if mib else "never looked at"
