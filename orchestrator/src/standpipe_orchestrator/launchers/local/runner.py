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

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import RegisteredInvocation
from standpipe_orchestrator.launchers.launch_lock import LaunchLock
from standpipe_orchestrator.launchers.local.process_launcher import SubprocessLauncher
from standpipe_orchestrator.launchers.protocol import Command
from standpipe_orchestrator.launchers.running import RunningWork, RunRequest
from standpipe_orchestrator.launchers.supervision import Settings, claim_launch
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError
from standpipe_orchestrator.sessions.exit_status import kept_statuses
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
    timeout: float | None
    termination_timeout_seconds: float
    cancel_grace_seconds: float

    def to_text(self) -> str:
        return json.dumps(asdict(self), default=os.fspath)


def main() -> int:
    try:
        instructions = Instructions(**json.loads(sys.stdin.read()))
    except ValueError:
        return 0  # the process that started this was killed before it had said what to do; nothing was claimed
    lock = LaunchLock.acquire(Path(instructions.lock))
    if lock is None:
        return 0  # another runner is at it
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        BrokerClient(instructions.url, api_key=instructions.api_key, retry_seconds=PATIENCE_SECONDS) as client,
        kept_statuses,
    ):
        session = _session(instructions, client=client)
        if claim_launch(session, lock):
            # The broker has the verdict, which is all that a runner is for.
            with contextlib.suppress(PipesExecutionError, KeyboardInterrupt):
                for _ in RunningWork(_request(instructions, lock=lock), session=_opened(session)):
                    pass
    lock.release()
    return 0


def _session(instructions: Instructions, *, client: BrokerClient) -> PipesSession:
    invocation = client.invocations.get(instructions.invocation)
    return PipesSession(
        RegisteredInvocation(
            invocation=invocation, url=instructions.url, token="", env=instructions.bootstrap, replayed=True
        ),
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


def _request(instructions: Instructions, *, lock: LaunchLock) -> RunRequest:
    return RunRequest(
        launcher=SubprocessLauncher(environment=instructions.env, cwd=instructions.cwd, hold_open=(lock.descriptor,)),
        command=instructions.command,
        env={},
        settings=Settings(
            timeout=instructions.timeout,
            forward_stdio=False,
            termination_timeout_seconds=instructions.termination_timeout_seconds,
            cancel_grace_seconds=instructions.cancel_grace_seconds,
        ),
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
