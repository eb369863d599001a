"""One invocation as launching code sees it. Opened by `open_pipes_session` and `attach`.

A session is made of two parts: `reading`, which has the results, and `launch`, with which a launcher reports
what it does. It owns the lifetime of both. The invariant: after `end()` everything the broker has stored is in the
results, or `reading.trouble` says what is not.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from standpipe.orchestration import LaunchMark, new_producer
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import RegisteredInvocation
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.reading.invocation_reading import InvocationReading
from standpipe_orchestrator.reading.result_getters import ResultGetters
from standpipe_orchestrator.sessions.launch_reports import LaunchReports
from standpipe_orchestrator.sessions.launcher_heartbeat import LauncherHeartbeat
from standpipe_orchestrator.sessions.run_context import RunContext, logger_of
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Invocation

_MOVED = {
    "already_launched": "launch.already_launched",
    "bootstrap": "launch.bootstrap",
    "cancel_requested": "reading.cancel_requested",
    "claim_launch": "launch.claim",
    "finish": "launch.finish",
    "get_child_env_vars": "launch.child_env",
    "launched": "launch.facts",
    "note_cancel_request": "reading.note_cancel_request",
    "opened": "reading.opened",
    "over": "reading.over",
    "partial_results": "get_reported_results()",
    "report": "launch.report",
    "report_attempt": "launch.report_attempt",
    "report_state": "launch.report_state",
    "stderr_tail": "reading.stderr_tail",
    "trouble": "reading.trouble",
    "wake": "reading.wake",
}
"""Where the former members of a session are."""


class PipesSession(ResultGetters):
    """One invocation while it runs and after. Made by `open_pipes_session`; getters may be called from any thread.

    Attributes:
        reading: what is read of the invocation: results as they come, trouble, requests to cancel.
        launch: what a launcher reports: claim, state, attempts, finish; and the work's environment.
        key: under which it was registered, so that another process can take it up.
        is_new: whether this session registered the invocation, and no other before it.
        left_running: whether it only followed, and was ended before the invocation.
    """

    reading: InvocationReading
    launch: LaunchReports

    def __init__(
        self,
        registered: RegisteredInvocation,
        *,
        client: BrokerClient,
        context: RunContext,
        context_data: ContextData,
        forward_stdio: bool,
        lease_seconds: float | None = None,
        key: str | None = None,
        finishes: bool = True,
    ) -> None:
        self.context = context
        self.context_data = context_data
        self.client = client
        self.key = key
        self.is_new = not registered.replayed
        self.left_running = False
        self.created_at = datetime.now(UTC)
        """When this session was opened."""
        self.url = registered.url
        """Where the invocation is on the broker."""
        self.invocation_id = registered.invocation.id
        self._finishes = finishes
        self._launch_mark: LaunchMark | None = None
        producer = new_producer()
        self.reading = InvocationReading(
            self.invocation_id,
            client=client,
            asset_keys=context_data.asset_keys,
            log=logger_of(context),
            own_producer=producer,
            forward_stdio=forward_stdio,
            on_result=getattr(context, "result_reported", None),
            on_opened=self._stop_heartbeat,
        )
        super().__init__(self.reading.collected)
        self.stream_results = self.reading.stream_results
        self.launch = LaunchReports(
            registered,
            client=client,
            log=logger_of(context),
            producer=producer,
            reading=self.reading,
        )
        self._heartbeat: LauncherHeartbeat | None = None
        if lease_seconds is not None:
            # By name: once the process has opened, its launcher's heartbeats say nothing of the work.
            beat = partial(client.invocations.heartbeat, self.invocation_id, producer=producer)
            self._heartbeat = LauncherHeartbeat(
                self.invocation_id, lease_seconds=lease_seconds, beat=beat, on_control=self.reading.on_control
            )

    def __getattr__(self, name: str) -> object:
        if name not in _MOVED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        warnings.warn(f"`session.{name}` is `session.{_MOVED[name]}` now.", DeprecationWarning, stacklevel=2)
        if name == "partial_results":
            return self.get_reported_results()
        part, member = _MOVED[name].split(".")
        return getattr(self.launch if part == "launch" else self.reading, member)

    @property
    def invocation(self) -> Invocation:
        """The newest known state of the invocation."""
        return self.launch.invocation

    def get_bootstrap_env_vars(self) -> dict[str, str]:
        """The environment variables that the external process needs; the token among them is a secret."""
        return self.launch.bootstrap_env()

    def get_bootstrap_params(self) -> dict[str, str]:
        """The same, for launchers that pass something else than environment variables."""
        bootstrap = self.launch.bootstrap
        return {"url": bootstrap.url, "invocation": bootstrap.invocation, "token": bootstrap.token}

    def get_reported_results(self) -> tuple[PipesResult, ...]:
        """What was reported until now, and nothing implicit; also after the block has raised."""
        return self.reading.collected.reported()

    def report_launched(self, launched: Mapping[str, object]) -> None:
        """Notes facts about the launch (`{"extras": {"job_id": ...}}`) among the invocation's events."""
        self.launch.report_launched(launched)

    def wait(self, timeout: float | None = None) -> Invocation:
        """Waits until the invocation has ended, for any reason, and all its events were read.

        Raises:
            TimeoutError: it has not, within so many seconds.
            BrokerError: it can be read no longer: it was deleted.
        """
        if not self.reading.wait(timeout):
            raise TimeoutError(f"Invocation {self.invocation_id} has not ended within {timeout:g} s.")
        return self.refresh()

    def refresh(self) -> Invocation:
        """The invocation as the broker has it now."""
        self.launch.invocation = self.client.invocations.get(self.invocation_id)
        return self.launch.invocation

    def cancel(self) -> None:
        """Asks the external process to stop."""
        self.launch.invocation = self.client.invocations.cancel(self.invocation_id)

    def completed(self) -> PipesClientCompletedInvocation:
        return PipesClientCompletedInvocation(self)

    def start(self) -> None:
        """Begins to read. `open_pipes_session` calls it."""
        if self._finishes and not self.invocation.ended:
            self._launch_mark = LaunchMark(self.invocation_id, environment=os.environ)
        self.reading.start()
        if self._heartbeat is not None:
            self._heartbeat.start()

    def end(self, *, reason: str | None = None, cancel: bool = False) -> None:
        """Finishes the invocation if that was not done, reads the rest, and stops. `open_pipes_session` calls it."""
        drained = False
        try:
            if self.launch.unreachable:
                # `finish` was retried for as long as any call is; the block has raised for it.
                return
            if not self.launch.finished and self._finishes and not self._ended_before():
                if cancel:
                    self.cancel()
                self.launch.finish(reason=reason)
            self.left_running = not self._finishes and not self.reading.ended
            if not self.left_running:
                self.launch.invocation = self.reading.drain(self.invocation)
                drained = True
        finally:
            if self._launch_mark is not None:
                self._launch_mark.release()
            self._stop_heartbeat()
            self.launch.close()
            self.reading.close(self.invocation, drained=drained)
            if self._heartbeat is not None:
                self._heartbeat.join()

    def _ended_before(self) -> bool:
        """Whether the invocation of a key had ended by itself: then the process that took it up adds nothing."""
        return self.key is not None and (self.invocation.ended or self.reading.ended)

    def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
