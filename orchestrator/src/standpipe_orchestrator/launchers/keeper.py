"""The process that keeps one command of a key: claims its launch, captures it, cancels it, tells how it ended.

It is started by an orchestrator, gets what it needs as one JSON text on stdin (the operator key is in no environment
and on no command line), and lives in a session of its own, so that it and the command outlive the orchestrator. The
invariant: the command is started only by the process whose claim the broker stored, so once; and its invocation is
finished, whether an orchestrator lives or not.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import RegisteredInvocation
from standpipe_orchestrator.client.launch_claims import claim_message
from standpipe_orchestrator.launchers.child import Command
from standpipe_orchestrator.launchers.launch_lock import LaunchLock
from standpipe_orchestrator.launchers.running import Launch, RunningSubprocess
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError
from standpipe_orchestrator.sessions.opening import seen_through
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_protocol.context import ContextData
from standpipe_protocol.json_text import JsonObject

PATIENCE_SECONDS = 3600.0
"""How long a broker that is away is waited for; then the invocation ends by the broker's own rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What a keeper is told. Everything is JSON, and the key and the token in it are secrets."""

    invocation: str
    url: str
    api_key: str = field(repr=False)
    bootstrap: Mapping[str, str] = field(repr=False)
    lock: str
    command: Command
    env: Mapping[str, str] = field(repr=False)
    cwd: str | None
    lease_seconds: float | None
    timeout: float | None
    termination_timeout_seconds: float
    cancel_grace_seconds: float

    def to_text(self) -> str:
        command = self.command if isinstance(self.command, str) else [os.fspath(word) for word in self.command]
        names = [name for name in self.__slots__ if name != "command"]
        return json.dumps({"command": command, **{name: _plain(getattr(self, name)) for name in names}})

    @classmethod
    def from_text(cls, text: str) -> Instructions:
        """Raises:
        ValueError: the text is not whole: whoever wrote it was killed.
        """
        wire: dict[str, Any] = json.loads(text)
        return cls(**wire)


class _Kept(RunningSubprocess):
    """The command, under a session of the invocation that is there."""

    def __init__(self, launch: Launch, *, instructions: Instructions, client: BrokerClient, lock: LaunchLock) -> None:
        super().__init__(launch)
        self._instructions = instructions
        self._client = client
        self._lock = lock

    @contextmanager
    def _open(self) -> Generator[PipesSession]:
        told = self._instructions
        invocation = self._client.invocations.get(told.invocation)
        session = PipesSession(
            RegisteredInvocation(invocation=invocation, url=told.url, token="", env=told.bootstrap, replayed=True),
            client=self._client,
            context=None,
            context_data=ContextData.from_wire(dict(invocation.context)),
            forward_stdio=False,
            lease_seconds=told.lease_seconds,
        )
        with seen_through(session, require_success=False):
            yield session

    def _keep_open(self) -> tuple[int, ...]:
        return (self._lock.descriptor,)


def main() -> int:
    try:
        told = Instructions.from_text(sys.stdin.read())
    except ValueError:
        return 0  # whoever started this was killed before it had said what to do; nobody claimed anything
    lock = LaunchLock.acquire(Path(told.lock))
    if lock is None:
        return 0  # another keeper is at it
    signal.signal(signal.SIGTERM, _interrupt)
    with BrokerClient(told.url, api_key=told.api_key, retry_seconds=PATIENCE_SECONDS) as client:
        claim = secrets.token_hex(16)
        lock.note(claim)
        facts: JsonObject = {"claim": claim, "host": socket.gethostname(), "pid": os.getpid(), "lock": told.lock}
        ended = client.invocations.get(told.invocation).ended
        if not ended and client.invocations.claim_launch(told.invocation, claim_message(facts)):
            _keep(told, client=client, lock=lock)
    lock.release()
    return 0


def _keep(told: Instructions, *, client: BrokerClient, lock: LaunchLock) -> None:
    launch = Launch(
        context=None,
        command=told.command,
        extras=None,
        env=told.env,
        cwd=told.cwd,
        expected=None,
        tags=None,
        retry_of=None,
        lease_seconds=told.lease_seconds,
        key=None,
        pipes="required",  # as it was registered; nothing is registered here
        timeout=told.timeout,
        client=client,
        forward_termination=True,
        forward_stdio=False,
        termination_timeout_seconds=told.termination_timeout_seconds,
        cancel_grace_seconds=told.cancel_grace_seconds,
    )
    # The broker has been told of the verdict, which is all that a keeper is for.
    with contextlib.suppress(PipesExecutionError, KeyboardInterrupt):
        for _ in _Kept(launch, instructions=told, client=client, lock=lock):
            pass


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  of texts


if __name__ == "__main__":
    sys.exit(main())
