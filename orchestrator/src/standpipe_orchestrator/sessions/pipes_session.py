"""One invocation as launching code sees it: results, the launch, the end. Opened by `open_pipes_session` and `attach`.

A session takes everything from the invocation's stored events, from the first, so that one which takes up what another
process began has the same results. The invariant: after `end()` everything the broker has stored is in the results, or
`trouble` says what is not.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from standpipe.orchestration import LaunchMark, Outbox, new_producer
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import LaunchState, RegisteredInvocation
from standpipe_orchestrator.client.launch_claims import EARLY_EVENTS, claim_message, launch_facts
from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.reading.event_dispatch import Dispatch
from standpipe_orchestrator.reading.event_reader import Reading
from standpipe_orchestrator.reading.forwarded_output import flush_forwarded
from standpipe_orchestrator.reading.receipt_check import superseded_producers
from standpipe_orchestrator.reading.result_collection import CollectedResults
from standpipe_orchestrator.reading.result_getters import ResultGetters
from standpipe_orchestrator.sessions.child_environment import child_environment
from standpipe_orchestrator.sessions.flushing import flush_while
from standpipe_orchestrator.sessions.launcher_heartbeat import LeaseKeeper
from standpipe_orchestrator.sessions.run_context import RunContext, logger_of
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control, Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.messages import Log, Message
from standpipe_protocol.process_end import Cause, Outcome

DELIVERY_SECONDS = 30.0
"""How long the end of the block waits for the next event, while something of the launcher's own is on its way."""


class PipesSession(ResultGetters):
    """One invocation while it runs and after. Made by `open_pipes_session`; getters may be called from any thread."""

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
        self.created_at = datetime.now(UTC)
        self.client = client
        self.key = key
        """Under which it was registered, so that another process can take it up."""
        self.is_new = not registered.replayed
        """Whether this session registered the invocation, and no other before it. Whether the work was launched is
        another question: see `claim_launch`."""
        self._registered = registered
        self._finishes = finishes
        self.left_running = False
        """Whether it only followed, and was ended before the invocation."""
        self._launch: Mapping[str, JsonValue] | None = None
        self._latest = registered.invocation
        self._log = logger_of(context)
        read_again = partial(client.events.iterate, registered.invocation.id)
        super().__init__(CollectedResults(context_data.asset_keys, read_again=read_again))
        self._producer = new_producer()
        self._outbox: Outbox | None = None
        self._outbox_lock = threading.Lock()
        self._finished = False
        self._out_of_reach = False
        self.cancel_requested = threading.Event()
        """Set when somebody asked through the broker that the work be stopped, as far as this process has heard."""
        self.opened = threading.Event()
        """Set when a process of the work has opened: from then on it hears what it is asked for."""
        self._dispatch = Dispatch(
            collected=self._collected,
            log=self._log,
            own_producer=self._producer,
            forward_stdio=forward_stdio,
            on_result=getattr(context, "result_reported", None),
            on_opened=self._note_opened,
            cancelled=self.cancel_requested.is_set,
        )
        read = partial(Reading, self.invocation_id, client=client, log=self._log)
        self._reading = read(handle=self._dispatch.handle, on_over=self.wake, on_cancel=self.note_cancel_request)
        self._launch_mark: LaunchMark | None = None
        self._lease: LeaseKeeper | None = None
        if lease_seconds is not None:
            # By name: when the process has spoken for itself, that its launcher lives says nothing of it any more.
            beat = partial(client.invocations.heartbeat, self.invocation_id, producer=self._producer)
            self._lease = LeaseKeeper(self.invocation_id, lease_seconds=lease_seconds, beat=beat, hear=self._hear)

    @property
    def invocation(self) -> Invocation:
        """The invocation as it was last heard of."""
        return self._latest

    @property
    def invocation_id(self) -> str:
        return self._latest.id

    @property
    def trouble(self) -> str | None:
        """Why what was reported is not all here, as far as is known; None when it is."""
        return self._reading.trouble()

    @property
    def url(self) -> str:
        """Where the invocation is on the broker."""
        return self._registered.url

    @property
    def bootstrap(self) -> Bootstrap:
        """Where the external process reports, and its token."""
        bootstrap = Bootstrap.from_environment(self._registered.env)
        if bootstrap is None:
            raise RuntimeError(
                f"This session of invocation {self.invocation_id} has no token: `attach` only follows. "
                "`open_pipes_session` with the same key and context gives one."
            )
        return bootstrap

    def get_bootstrap_env_vars(self) -> dict[str, str]:
        """The environment variables that the external process needs; the token among them is a secret."""
        _ = self.bootstrap
        return dict(self._registered.env)

    def get_child_env_vars(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a process on this machine: this one's without its secrets, `env`, and the three above."""
        return {**child_environment(os.environ, env or {}), **self.get_bootstrap_env_vars()}

    def get_bootstrap_params(self) -> dict[str, str]:
        """The same, for launchers that pass something else than environment variables."""
        bootstrap = self.bootstrap
        return {"url": bootstrap.url, "invocation": bootstrap.invocation, "token": bootstrap.token}

    def get_reported_results(self) -> tuple[PipesResult, ...]:
        return self._collected.reported()

    @property
    def partial_results(self) -> tuple[PipesResult, ...]:
        """What was reported until now, and nothing implicit; also after the block has raised."""
        return self._collected.reported()

    def stream_results(
        self,
        *,
        wait: float = 0.0,
        implicit_materializations: bool = True,
        or_until: Callable[[], bool] = lambda: False,
    ) -> Iterator[PipesResult]:
        """The results that came since the last call; never one twice, so that a loop may yield while it polls:

            while process.poll() is None:
                yield from session.stream_results(wait=1.0)

        and once more after the block, for the rest and the implicit ones.

        Args:
            wait: how long to wait for the first, in seconds.
            or_until: when this has become true, waiting makes no more sense; looked at after each `wake()`.
        """
        yield from self._collected.take_new(implicit=implicit_materializations, wait=wait, or_until=or_until)

    def wake(self) -> None:
        """Lets whoever waits in `stream_results` go on."""
        self._collected.wake()

    def claim_launch(self, facts: Mapping[str, object] | None = None) -> bool:
        """Whether the work is this session's to launch: true once in an invocation's life, whoever asks from wherever.

        Ask right before the launch. A process that is killed between the two has launched nothing, and nobody will:
        the invocation then ends `incomplete`. Where the launch can be made idempotent itself (a job with a name made
        of `invocation_id`) launch again instead, unless `already_launched`.

        Args:
            facts: kept with the claim, for whoever comes later: `{"host": ..., "pid": ...}`.
        """
        if self._latest.ended:
            return False
        message: JsonObject = claim_message({"claim": secrets.token_hex(16), **(facts or {})})  # pyright: ignore[reportArgumentType]  encoding checks it
        return self.client.invocations.claim_launch(self.invocation_id, message)

    @property
    def already_launched(self) -> bool:
        """Whether somebody launched the work, or was about to: it was claimed or told, or a process has opened."""
        return self.opened.is_set() or self._latest.opened_at is not None or self.launched is not None

    @property
    def launched(self) -> Mapping[str, JsonValue] | None:
        """What is known of the launch, of a claim or of `report_launched`; asks the broker until it is known."""
        if self._launch is None:
            page = self.client.events.read(self.invocation_id, methods=["log"], limit=EARLY_EVENTS)
            self._launch = launch_facts(page.items)
        return self._launch

    @property
    def over(self) -> bool:
        """Whether no more will come: the invocation has ended, or its events cannot be had any more."""
        return self._reading.wait(0)

    @property
    def stderr_tail(self) -> str:
        """The end of what a launcher captured of the work's stderr."""
        return self._dispatch.stderr_tail

    def wait(self, timeout: float | None = None) -> Invocation:
        """Waits until the invocation has ended, by whatever ends it, and all its events were read.

        Raises:
            TimeoutError: it has not, within so many seconds.
            BrokerError: it can be read no longer (somebody deleted it).
        """
        if not self._reading.wait(timeout):
            raise TimeoutError(f"Invocation {self.invocation_id} has not ended within {timeout:g} s.")
        return self.refresh()

    def refresh(self) -> Invocation:
        """The invocation as the broker has it now."""
        self._latest = self.client.invocations.get(self.invocation_id)
        return self._latest

    def report_launched(self, launched: Mapping[str, object]) -> None:
        """Notes facts about the launch (`{"extras": {"job_id": ...}}`) among the invocation's events."""
        extras = launched.get("extras", launched)
        self._log.info("[pipes] additional launch_payload reported")
        self.report(Log(message=f"Launched: {extras}", level="INFO", details={"launched": extras}))  # pyright: ignore[reportArgumentType]  checked when it is encoded

    def report(self, message: Message) -> None:
        """Reports as the launcher, a producer of its own."""
        self._own_outbox().send(message)

    def cancel(self) -> None:
        """Asks the external process to stop."""
        self._latest = self.client.invocations.cancel(self.invocation_id)

    def report_state(
        self,
        state: LaunchState,
        *,
        platform: str | None = None,
        job_id: str | None = None,
        node: str | None = None,
        image: str | None = None,
        url: str | None = None,
        attempt: int | Sequence[int] | None = None,
        at: datetime | None = None,
    ) -> Invocation:
        """Says how far the work is on its way, as often as the launcher learns something: `submitted`, `queued`,
        `starting` or `running`, and where. It is the invocation's `platform`."""
        return self.client.invocations.launch(
            self.invocation_id,
            state=state,
            platform=platform,
            job_id=job_id,
            node=node,
            image=image,
            url=url,
            attempt=attempt,
            at=at,
        )

    def report_attempt(self, attempt: int | Sequence[int], *, name: str | None = None) -> Invocation:
        """Says that the platform has started the whole job again: what older attempts report counts no longer.

        Args:
            name: by which the platform knows the processes of this attempt, such as the uid of a pod.
        """
        return self.client.invocations.attempts(self.invocation_id, attempt=attempt, name=name)

    def finish(
        self,
        *,
        exit_code: int | None = None,
        reason: str | None = None,
        launched: bool | None = None,
        outcome: Outcome | None = None,
        cause: Cause | Mapping[str, JsonValue] | None = None,
    ) -> Invocation:
        """Tells the broker that the work is over, after everything the launcher itself reported has arrived.

        May be called again when more is known. The end of the block calls it when nobody has.

        Args:
            outcome, cause: how it ended and why, in the words of the platform; see `BrokerClient.invocations.finish`.
        """
        with self._outbox_lock:
            outbox, self._outbox = self._outbox, None
        numbered = 0
        if outbox is not None:
            flush_while(outbox, progress=lambda: self._reading.position, seconds=DELIVERY_SECONDS)
            delivered = outbox.close(0.0)
            if delivered.undelivered:
                self._log.warning(
                    "[pipes] %d pieces of captured output did not reach the broker: %s",
                    delivered.undelivered,
                    delivered.error,
                )
                numbered = delivered.acknowledged + delivered.undelivered
        try:
            if numbered:
                # The broker cannot miss what it never heard of.
                self.client.invocations.tell_numbered(self.invocation_id, producer=self._producer, numbered=numbered)
            self._latest = self.client.invocations.finish(
                self.invocation_id, exit_code=exit_code, reason=reason, launched=launched, outcome=outcome, cause=cause
            )
        except BrokerError:
            self._out_of_reach = True
            raise
        self._finished = True
        return self._latest

    def start(self) -> None:
        """Begins to read. `open_pipes_session` calls it."""
        if self._finishes and not self._latest.ended:
            self._launch_mark = LaunchMark(self.invocation_id, environment=os.environ)
        self._reading.start()
        if self._lease is not None:
            self._lease.start()

    def end(self, *, reason: str | None = None, cancel: bool = False) -> None:
        """Finishes what nobody finished, drains, and stops reading. `open_pipes_session` calls it."""
        drained = False
        try:
            if self._out_of_reach:
                # It was tried for as long as anything is tried; the block has raised for it.
                return
            if not self._finished and self._finishes and not self._ended_before():
                if cancel:
                    self.cancel()
                self.finish(reason=reason)
            self.left_running = not self._finishes and self._reading.ended is None
            if not self.left_running:
                self._latest = self._reading.drain(self._latest)
                drained = True
        finally:
            if self._launch_mark is not None:
                self._launch_mark.release()
            self._leave_lease_to_process()
            self._reading.stop()
            if self._lease is not None:
                self._lease.join()
            with self._outbox_lock:
                outbox, self._outbox = self._outbox, None
            if outbox is not None:
                outbox.close(0.0)
            flush_forwarded()
            self._collected.end(
                succeeded=drained and self.trouble is None and self._latest.verdict == "succeeded",
                superseded_producers=superseded_producers(self._latest),
            )

    def completed(self) -> PipesClientCompletedInvocation:
        return PipesClientCompletedInvocation(self)

    def note_cancel_request(self) -> None:
        """Somebody asked for the work to be stopped."""
        self.cancel_requested.set()
        self.wake()

    def _ended_before(self) -> bool:
        """Whether the invocation of a key had ended by itself: then whoever took it up has nothing to add."""
        if self.key is None:
            return False
        return self._latest.ended or self._reading.ended is not None

    def _note_opened(self) -> None:
        self.opened.set()
        self._leave_lease_to_process()

    def _leave_lease_to_process(self) -> None:
        if self._lease is not None:
            self._lease.stop()

    def _hear(self, control: Control) -> None:
        if control.cancel_requested:
            self.note_cancel_request()

    def _own_outbox(self) -> Outbox:
        with self._outbox_lock:
            if self._outbox is None:
                self._outbox = Outbox.connect(self.bootstrap, producer=self._producer, heartbeat=False)
                self._outbox.on_control(self._hear)
            return self._outbox
