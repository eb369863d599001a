"""The process that runs one detached command: claims its launch, supervises it, and finishes its invocation.

It is started by an orchestrator, gets what it needs as one JSON text on stdin (the operator key is in no environment
and on no command line), and lives in a session of its own, so that it and the command outlive the orchestrator. The
invariant: the command is started only by the process whose claim the broker stored, so once; and its invocation is
finished, whether an orchestrator lives or not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import RegisteredInvocation
from standpipe_orchestrator.launchers.launch_lock import LaunchLock, claim_launch
from standpipe_orchestrator.launchers.local.process_launcher import SubprocessLauncher
from standpipe_orchestrator.launchers.protocol import Command
from standpipe_orchestrator.launchers.running import RunningWork, RunRequest
from standpipe_orchestrator.launchers.supervision import Settings
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError, PipesLaunchError
from standpipe_orchestrator.sessions.exit_status import child_statuses
from standpipe_orchestrator.sessions.opening import seen_through
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_protocol.context import ContextData

PATIENCE_SECONDS = 3600.0
"""How long a broker that is away is waited for; then the invocation ends by the broker's own rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What a runner is to do. Everything is JSON, and the key and the token in it are secrets."""

    invocation: str
    url: str
    api_key: str = field(repr=False)
    bootstrap: Mapping[str, str] = field(repr=False)
    lock: str
    command: Command
    env: Mapping[str, str] = field(repr=False)
    cwd: str | None
    lease_seconds: float | None
    settings: Settings

    def to_text(self) -> str:
        return json.dumps(asdict(self), default=os.fspath)

    @classmethod
    def from_text(cls, text: str) -> Instructions:
        """Raises:
        ValueError: the text is not whole: the process that wrote it was killed.
        """
        wire: dict[str, Any] = json.loads(text)
        return cls(settings=Settings(**wire.pop("settings")), **wire)


def main() -> int:
    try:
        instructions = Instructions.from_text(sys.stdin.read())
    except ValueError:
        return 0  # nothing was claimed
    try:
        lock = LaunchLock.acquire(Path(instructions.lock))
    except PipesLaunchError as error:
        sys.exit(str(error))  # into the log that the launcher reads
    if lock is None:
        return 0  # another runner is at it
    signal.signal(signal.SIGTERM, _interrupt)
    url, key = instructions.url, instructions.api_key
    with BrokerClient(url, api_key=key, retry_seconds=PATIENCE_SECONDS) as client, child_statuses:
        session = _session(instructions, client=client)
        if claim_launch(session, lock):
            request = RunRequest(
                launcher=SubprocessLauncher(
                    environment=instructions.env, cwd=instructions.cwd, hold_open=(lock.descriptor,)
                ),
                command=instructions.command,
                env={},
                settings=instructions.settings,
            )
            # The broker has the verdict, which is all that a runner is for.
            with contextlib.suppress(PipesExecutionError, KeyboardInterrupt):
                RunningWork(request, session=_opened(session)).to_end()
    lock.release()
    return 0


def _session(instructions: Instructions, *, client: BrokerClient) -> PipesSession:
    invocation, env = client.invocations.get(instructions.invocation), instructions.bootstrap
    return PipesSession(
        RegisteredInvocation(invocation=invocation, url=instructions.url, token="", env=env, replayed=True),
        client=client,
        context=None,
        context_data=ContextData.from_wire(dict(invocation.context)),
        forward_stdio=False,
        lease_seconds=instructions.lease_seconds,
    )


@contextmanager
def _opened(session: PipesSession) -> Generator[PipesSession]:
    with seen_through(session, require_success=False):
        yield session


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
