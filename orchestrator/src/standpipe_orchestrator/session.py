"""One launch of external work, from registration to results, whatever launches it.

`open_pipes_session` registers the invocation, reads its events while the block runs, tells the broker at the end that
the work is over, and drains. The invariant: after the block everything the broker has stored is in the results, and a
verdict other than `succeeded` has raised (unless that was declined), and so has anything that could not be taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from standpipe.outbox import Outbox, new_producer
from standpipe_orchestrator.client import BrokerClient, RegisteredInvocation
from standpipe_orchestrator.collected import CollectedResults, with_metadata
from standpipe_orchestrator.completed import PipesClientCompletedInvocation
from standpipe_orchestrator.discovery import default_client
from standpipe_orchestrator.dispatch import Dispatch
from standpipe_orchestrator.errors import BrokerError, PipesResultsIncomplete
from standpipe_orchestrator.lease import LeaseKeeper
from standpipe_orchestrator.metadata import MetadataValue
from standpipe_orchestrator.reading import Reading
from standpipe_orchestrator.results import PipesResult
from standpipe_orchestrator.run_context import RunContext, context_data_for, logger_of
from standpipe_orchestrator.verdicts import execution_error
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control, Expected, Invocation
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import Log, Message

DELIVERY_SECONDS = 30.0
"""How long the end of the block waits for what the launcher itself reports (captured output) to arrive."""

_NO_RESULTS = (
    "Did you forget to `yield from pipes_session.get_results()` or `return <PipesClient>.run(...).get_results()`? "
    "If using `open_pipes_session`, `pipes_session.get_results()` should be called once after the block has exited."
)


class PipesSession:
    """One invocation while it runs and after. Made by `open_pipes_session`; getters may be called from any thread."""

    def __init__(
        self,
        registered: RegisteredInvocation,
        *,
        client: BrokerClient,
        context: RunContext,
        context_data: ContextData,
        forward_stdio: bool,
        lease_seconds: float | None,
    ) -> None:
        self.context = context
        self.context_data = context_data
        self.created_at = datetime.now(UTC)
        self.client = client
        self._registered = registered
        self._latest = registered.invocation
        self._log = logger_of(context)
        self._collected = CollectedResults(context_data.asset_keys)
        self._producer = new_producer()
        self._outbox: Outbox | None = None
        self._outbox_lock = threading.Lock()
        self._finished = False
        self._out_of_reach = False
        self.cancel_requested = threading.Event()
        """Set when somebody asked through the broker that the work be stopped, as far as this process has heard."""
        self.opened = threading.Event()
        """Set when a process of the work has opened: from then on it hears what it is asked for."""
        dispatch = Dispatch(
            collected=self._collected,
            log=self._log,
            own_producer=self._producer,
            forward_stdio=forward_stdio,
            on_result=getattr(context, "result_reported", None),
            on_opened=self._note_opened,
        )
        self._reading = Reading(self.invocation_id, client=client, handle=dispatch.handle, log=self._log)
        self._lease: LeaseKeeper | None = None
        if lease_seconds is not None:
            beat = partial(client.invocations.heartbeat, self.invocation_id)
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
            raise BrokerError("The broker registered an invocation without its environment.", call="", url=self.url)
        return bootstrap

    def get_bootstrap_env_vars(self) -> dict[str, str]:
        """The environment variables that the external process needs; the token among them is a secret."""
        return dict(self._registered.env)

    def get_bootstrap_params(self) -> dict[str, str]:
        """The same, for launchers that pass something else than environment variables."""
        bootstrap = self.bootstrap
        return {"url": bootstrap.url, "invocation": bootstrap.invocation, "token": bootstrap.token}

    def get_results(
        self, *, implicit_materializations: bool = True, metadata: Mapping[str, MetadataValue] | None = None
    ) -> tuple[PipesResult, ...]:
        """Everything reported until now, in order; every call answers with everything.

        Once the invocation has ended `succeeded`, each target for which nothing was reported has an implicit result,
        marked as such. To yield results while the work runs use `stream_results`, which gives each once.
        """
        results = self._collected.reported()
        if implicit_materializations:
            results += self._collected.implicit()
        return with_metadata(results, metadata or {})

    def get_reported_results(self) -> tuple[PipesResult, ...]:
        return self._collected.reported()

    @property
    def partial_results(self) -> tuple[PipesResult, ...]:
        """What was reported until now, and nothing implicit; also after the block has raised."""
        return self._collected.reported()

    def get_custom_messages(self) -> tuple[JsonValue, ...]:
        """The payloads of all custom messages until now."""
        return self._collected.custom_messages()

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

    def finish(
        self, *, exit_code: int | None = None, reason: str | None = None, launched: bool | None = None
    ) -> Invocation:
        """Tells the broker that the work is over, after everything the launcher itself reported has arrived.

        May be called again when more is known. The end of the block calls it when nobody has.
        """
        with self._outbox_lock:
            outbox, self._outbox = self._outbox, None
        numbered = 0
        if outbox is not None:
            delivered = outbox.close(DELIVERY_SECONDS)
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
                self.invocation_id, exit_code=exit_code, reason=reason, launched=launched
            )
        except BrokerError:
            self._out_of_reach = True
            raise
        self._finished = True
        return self._latest

    def start(self) -> None:
        """Begins to read. `open_pipes_session` calls it."""
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
            if not self._finished:
                if cancel:
                    self.cancel()
                self.finish(reason=reason)
            self._latest = self._reading.drain(self._latest)
            drained = True
        finally:
            self._leave_lease_to_process()
            self._reading.stop()
            if self._lease is not None:
                self._lease.join()
            with self._outbox_lock:
                outbox, self._outbox = self._outbox, None
            if outbox is not None:
                outbox.close(0.0)
            self._collected.end(succeeded=drained and self.trouble is None and self._latest.verdict == "succeeded")

    def completed(self) -> PipesClientCompletedInvocation:
        return PipesClientCompletedInvocation(self)

    def note_cancel_request(self) -> None:
        """Somebody asked for the work to be stopped."""
        self.cancel_requested.set()
        self.wake()

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


@contextmanager
def open_pipes_session(
    context: RunContext,
    extras: Mapping[str, object] | None = None,
    *,
    client: BrokerClient | None = None,
    expected: Expected | Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    launcher: object = None,
    retry_of: str | None = None,
    lease_seconds: float | None = None,
    open_within_seconds: float | None = None,
    settle_seconds: float | None = None,
    forward_stdio: bool = True,
    require_success: bool = True,
) -> Generator[PipesSession]:
    """Registers an invocation and reads it while the block launches external work and waits for it.

    Args:
        context: of the step, a `ContextData`, or None for ad-hoc work.
        extras: any JSON values for the external process.
        client: the broker; this process's own when not given.
        expected: what must have been reported for the verdict `succeeded`.
        launcher: what launches the work, for the history.
        retry_of: id of the invocation of which this is another attempt.
        lease_seconds: without a word for so long the work counts as lost; until it has opened, this process beats.
        forward_stdio: print what remote processes report of their output.
        require_success: raise at the end of the block when the verdict is another than `succeeded`.

    Raises:
        PipesExecutionError: the verdict; `error.completed` has what was reported all the same.
        PipesResultsIncomplete: an event could not be handled, or a green invocation's events are not all here, as the
            broker's receipt has them; also without `require_success`.
        BrokerError: the broker could not be reached, or refused.
    """
    context_data = context_data_for(context, extras)
    client = default_client() if client is None else client
    registered = client.invocations.register(
        context_data,
        expected=expected,
        tags=tags,
        launcher=launcher,
        retry_of=retry_of,
        lease_seconds=lease_seconds,
        open_within_seconds=open_within_seconds,
        settle_seconds=settle_seconds,
    )
    session = PipesSession(
        registered,
        client=client,
        context=context,
        context_data=context_data,
        forward_stdio=forward_stdio,
        lease_seconds=lease_seconds,
    )
    _tell_context(context, session)
    session.start()
    try:
        yield session
    except BaseException as error:
        # By its name, since asyncio need not be imported for the many who do without it.
        stopped = isinstance(error, KeyboardInterrupt | GeneratorExit) or type(error).__name__ == "CancelledError"
        try:
            session.end(reason=f"The orchestration code raised {type(error).__name__}: {error}"[:4000], cancel=stopped)
        except (BrokerError, TimeoutError) as second:
            # What the user's code raised is what matters; that the broker was not told belongs to it.
            error.add_note(f"The end of invocation {session.invocation_id} could not be told: {second}")
        if session.trouble is not None:
            error.add_note(session.trouble)
        raise
    session.end()
    if session.trouble is not None:
        raise execution_error(session.completed(), because=session.trouble, kind=PipesResultsIncomplete)
    if require_success and session.invocation.verdict != "succeeded":
        raise execution_error(session.completed())


def _tell_context(context: RunContext, session: PipesSession) -> None:
    """Hooks that the definitions' contexts, and upstream's, have; others have none."""
    if session.context_data.asset_keys and hasattr(context, "set_requires_typed_event_stream"):
        context.set_requires_typed_event_stream(error_message=_NO_RESULTS)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportOptionalMemberAccess]  asked just above
    if hasattr(context, "invocation_registered"):
        context.invocation_registered(session.invocation_id)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportOptionalMemberAccess]  asked just above
