"""Runs commands with any launcher: `PipesLauncherClient`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import PipesMode
from standpipe_orchestrator.launchers.arguments import require_environment
from standpipe_orchestrator.launchers.protocol import Command, Launcher
from standpipe_orchestrator.launchers.running import RunningWork, RunRequest
from standpipe_orchestrator.launchers.supervision import Settings
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.sessions.run_context import RunContext
from standpipe_protocol.invocation import Expected


class RunArguments(TypedDict, total=False):
    """What a run may be given besides its command, as `PipesSubprocessClient.run` has it."""

    extras: Mapping[str, object] | None
    expected: Expected | Mapping[str, object] | None
    tags: Mapping[str, str] | None
    retry_of: str | None
    lease_seconds: float | None
    pipes: PipesMode
    key: str | None


class PipesLauncherClient:
    """Runs commands as external work, with a launcher of yours.

    Args:
        launcher: starts the commands, and follows them.
        env: variables for every command.
        client: the broker; this process's own when not given.
        forward_termination: on Ctrl-C the command is ended too; otherwise its end is waited for.
        forward_stdio: also write its output to this process's own stdout and stderr.
        termination_timeout_seconds: how long a command that was asked to end has before it is killed.
        cancel_grace_seconds: how long a command that has opened, and whose invocation is cancelled, has to end by
            itself before it is asked to.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        env: Mapping[str, str] | None = None,
        client: BrokerClient | None = None,
        forward_termination: bool = True,
        forward_stdio: bool = True,
        termination_timeout_seconds: float = 20.0,
        cancel_grace_seconds: float = 30.0,
    ) -> None:
        self._launcher = launcher
        self._env = require_environment(env)
        self._client = client
        self._settings = Settings(
            forward_termination=forward_termination,
            forward_stdio=forward_stdio,
            termination_timeout_seconds=termination_timeout_seconds,
            cancel_grace_seconds=cancel_grace_seconds,
        )

    def run(
        self,
        *,
        context: RunContext,
        command: Command,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **arguments: Unpack[RunArguments],
    ) -> PipesClientCompletedInvocation:
        """Runs a command to its end; arguments and errors are those of `PipesSubprocessClient.run`."""
        return self.stream(context=context, command=command, env=env, timeout=timeout, **arguments).to_end()

    def stream(
        self,
        *,
        context: RunContext,
        command: Command,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **arguments: Unpack[RunArguments],
    ) -> RunningWork:
        """Like `run`, but gives each result while the command still runs."""
        return RunningWork(
            RunRequest(
                launcher=self._launcher,
                command=command,
                env={**self._env, **require_environment(env)},
                settings=replace(self._settings, timeout=timeout),
                context=context,
                client=self._client,
                **arguments,
            )
        )
