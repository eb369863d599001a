"""Runs a command on this machine as external work: `PipesSubprocessClient`, with upstream's signature and more.

The command gets the invocation's three variables, and neither this process's operator key, nor its database's address
and password, nor its data folder.
Its output is forwarded and captured; its exit code and the end of its stderr go to the broker, whose verdict decides
what `run` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import PipesMode
from standpipe_orchestrator.launchers.arguments import (
    require_command,
    require_environment,
    require_folder,
    require_path,
)
from standpipe_orchestrator.launchers.local.detached_launcher import DetachedLauncher
from standpipe_orchestrator.launchers.local.process_launcher import SubprocessLauncher
from standpipe_orchestrator.launchers.protocol import Command
from standpipe_orchestrator.launchers.running import RunningWork, RunRequest
from standpipe_orchestrator.launchers.supervision import Settings
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.sessions.run_context import RunContext
from standpipe_protocol.invocation import Expected


class PipesSubprocessClient:
    """Runs commands as external work.

    Args:
        env: variables for every command.
        cwd: folder of every command.
        client: the broker; this process's own when not given.
        forward_termination: on Ctrl-C the command is interrupted too, and killed when it does not end; otherwise its
            end is waited for.
        forward_stdio: also write its output to this process's own stdout and stderr.
        termination_timeout_seconds: how long a command that was interrupted or told to terminate has before it is
            killed.
        cancel_grace_seconds: how long a command whose invocation is cancelled has to end by itself, before it is told
            to terminate. One that has not opened cannot know of it and gets no such time. The Python client learns of
            it in the answer to what it reports, and to its heartbeat every 20 seconds.
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        *,
        client: BrokerClient | None = None,
        forward_termination: bool = True,
        forward_stdio: bool = True,
        termination_timeout_seconds: float = 20.0,
        cancel_grace_seconds: float = 30.0,
    ) -> None:
        require_path(cwd)
        self._env = require_environment(env)
        self._cwd = cwd
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
        extras: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        expected: Expected | Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        retry_of: str | None = None,
        lease_seconds: float | None = None,
        pipes: PipesMode = "required",
        key: str | None = None,
        timeout: float | None = None,
    ) -> PipesClientCompletedInvocation:
        """Runs a command to its end.

        Args:
            context: of the step, a `ContextData`, or None for ad-hoc work.
            command: the words of a command, or one text for the shell.
            extras: any JSON values for the command, from `context.extras` there.
            env: variables for the command. Of the same names this wins over the client's, which win over this
                process's; the three variables of the invocation win over all. `STANDPIPE_HOME`, `STANDPIPE_API_KEY`,
                `STANDPIPE_DATABASE`, `PGPASSWORD` and their like are handed on only where they are named here.
            expected: what must have been reported for the verdict `succeeded`.
            pipes: "optional" for a program that knows nothing of Pipes and cannot be changed: as long as it does not
                open them, its exit code is the verdict.
            key: names this very run of the command (`f"{context.run_id}/orders"`). The command is then started once
                in the key's life, goes on when this process dies, and a process that runs the same again takes it up,
                running or ended, with all its results. Its output comes as text.
            timeout: seconds after which the command is ended.

        Raises:
            PipesExecutionError: the verdict is another than `succeeded`; what was reported is in `error.completed`.
            PipesLaunchError: the command could not be started. Where its folder is not there, nothing was registered.
            TypeError, ValueError: an argument is wrong; nothing was registered.
            BrokerError: the broker could not be reached, or refused the invocation.
        """
        return self.stream(
            context=context,
            command=command,
            extras=extras,
            env=env,
            cwd=cwd,
            expected=expected,
            tags=tags,
            retry_of=retry_of,
            lease_seconds=lease_seconds,
            pipes=pipes,
            key=key,
            timeout=timeout,
        ).to_end()

    def stream(
        self,
        *,
        context: RunContext,
        command: Command,
        extras: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        expected: Expected | Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        retry_of: str | None = None,
        lease_seconds: float | None = None,
        pipes: PipesMode = "required",
        key: str | None = None,
        timeout: float | None = None,
    ) -> RunningWork:
        """Like `run`, but gives each result while the command still runs:

            results = client.stream(context=context, command=command)
            yield from results
            results.completed.get_custom_messages()

        The command starts with the iteration; leaving it early ends the command.
        """
        require_command(command)
        folder = cwd if cwd is not None else self._cwd
        require_path(folder)
        given = {**self._env, **require_environment(env)}
        settings = replace(self._settings, timeout=timeout)
        if key is None:
            require_folder(folder, command=command)
            launcher = SubprocessLauncher(cwd=folder)
        else:
            # What it has launched before is taken up also where the folder has gone.
            launcher = DetachedLauncher(cwd=folder, settings=settings, lease_seconds=lease_seconds, client=self._client)
        return RunningWork(
            RunRequest(
                launcher=launcher,
                command=command,
                env=given,
                settings=settings,
                context=context,
                extras=extras,
                expected=expected,
                tags=tags,
                retry_of=retry_of,
                lease_seconds=lease_seconds,
                pipes=pipes,
                key=key,
                client=self._client,
            )
        )
