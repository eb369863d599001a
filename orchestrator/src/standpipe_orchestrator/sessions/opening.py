"""Opens sessions: registers an invocation, or takes up one that is there, and sees it to its end.

`open_pipes_session` registers the invocation, reads its events while the block runs, tells the broker at the end that
the work is over, and drains. With a key it takes up what an earlier process registered under it; `attach` only follows.
The invariant: after the block a verdict other than `succeeded` has raised (unless that was declined), and so has
anything that could not be taken.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.discovery import default_client
from standpipe_orchestrator.client.invocation_operations import PipesMode, RegisteredInvocation, require_pipes_mode
from standpipe_orchestrator.client.launch_claims import KEY_TAG, require_key
from standpipe_orchestrator.client.server_protocol import ENDS_AND_ATTEMPTS
from standpipe_orchestrator.errors import BrokerError, IdempotencyConflict, InvocationNotFound, NotFound
from standpipe_orchestrator.reading.execution_errors import PipesResultsIncomplete, execution_error
from standpipe_orchestrator.sessions.exit_status import child_statuses
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_orchestrator.sessions.provenance import with_provenance
from standpipe_orchestrator.sessions.run_context import RunContext, context_data_for, logger_of, require_context
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Expected, Invocation

_NO_RESULTS = (
    "Did you forget to `yield from pipes_session.get_results()` or `return <PipesClient>.run(...).get_results()`? "
    "If using `open_pipes_session`, `pipes_session.get_results()` should be called once after the block has exited."
)


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
    pipes: PipesMode = "required",
    key: str | None = None,
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
        retry_of: id of the invocation of which this is a retry: the process gets a `retry_number` one higher.
        lease_seconds: without a word for so long the work counts as lost; until it has opened, this process beats.
        pipes: "optional" for a program that knows nothing of Pipes and cannot be changed: while no process opens, what
            `finish` says is the verdict (`outcome` or `exit_code`; without either it is `incomplete`).
        key: names this very launch (`f"{context.run_id}/orders"`). A process that opens a session under a key that was
            used before, with the same context and the same arguments, takes up that invocation, running or ended,
            from its first event; `run_id`, `retry_number` and provenance may be others, and stay those of the first.
            `session.launch.claim()` says whether the work is still to be launched.
        forward_stdio: print what remote processes report of their output.
        require_success: raise at the end of the block when the verdict is another than `succeeded`.

    Raises:
        IdempotencyConflict: the key was used with another context or other arguments.
        PipesExecutionError: the verdict; `error.completed` has what was reported all the same.
        PipesResultsIncomplete: an event could not be handled, or a green invocation's events are not all here, as the
            broker's receipt has them; also without `require_success`.
        ServerTooOld: the server knows nothing of outcomes, which its verdict may hang on.
        BrokerError: the broker could not be reached, or refused.
    """
    require_pipes_mode(pipes)
    context_data = context_data_for(context, extras)
    client = default_client() if client is None else client
    if key is not None:
        require_key(key)
        tags = {**(tags or {}), KEY_TAG: key}
    client.require_protocol(ENDS_AND_ATTEMPTS, what="a session")
    context_data = _with_history(context_data, context, retry_of=retry_of, client=client)
    register = partial(
        client.invocations.register,
        expected=expected,
        tags=tags,
        launcher=launcher,
        retry_of=retry_of,
        lease_seconds=lease_seconds,
        open_within_seconds=open_within_seconds,
        settle_seconds=settle_seconds,
        pipes=pipes,
        idempotency_key=key,
    )
    try:
        registered = register(context_data)
    except IdempotencyConflict as conflict:
        # A run that is started again may be another run. It takes up what the first one began, as the first one.
        context_data = _as_registered(context_data, conflict, client=client)
        registered = register(context_data)
    session = PipesSession(
        registered,
        client=client,
        context=context,
        context_data=context_data,
        forward_stdio=forward_stdio,
        lease_seconds=lease_seconds,
        key=key,
    )
    # The block may start its work as a child of its own, and has to learn how that ended.
    with child_statuses, seen_through(session, require_success=require_success):
        yield session


@contextmanager
def attach(
    id_or_key: str,
    *,
    client: BrokerClient | None = None,
    context: RunContext = None,
    forward_stdio: bool = True,
    require_success: bool = True,
) -> Generator[PipesSession]:
    """Follows an invocation that is there, running or ended, from its first event; launches, finishes, ends nothing.

        with attach("run-7/orders") as session:
            session.wait()
            results = session.get_results()

    Leaving the block while the invocation runs leaves it running. A block that saw the end raises as that of
    `open_pipes_session` does.

    Args:
        id_or_key: the invocation's id, or the key of `open_pipes_session` or `run`.
        context: where its log records go; `context.log`.

    Raises:
        InvocationNotFound: there is none.
        PipesExecutionError, PipesResultsIncomplete, BrokerError: as from `open_pipes_session`.
    """
    require_context(context)
    client = default_client() if client is None else client
    invocation = find_invocation(client, id_or_key)
    session = PipesSession(
        RegisteredInvocation(invocation=invocation, url=client.url, token="", env={}, replayed=True),
        client=client,
        context=context,
        context_data=ContextData.from_wire(dict(invocation.context)),
        forward_stdio=forward_stdio,
        key=invocation.tags.get(KEY_TAG),
        finishes=False,
    )
    with seen_through(session, require_success=require_success):
        yield session


def _as_registered(context: ContextData, conflict: IdempotencyConflict, *, client: BrokerClient) -> ContextData:
    """The context, of the run and the retry that used the key first, and with what was known then."""
    invocation_id = conflict.problem.members.get("invocation")
    if not isinstance(invocation_id, str):
        raise conflict
    first = ContextData.from_wire(dict(client.invocations.get(invocation_id).context))
    as_first = replace(
        context,
        run_id=first.run_id,
        retry_number=first.retry_number,
        provenance_by_asset_key=first.provenance_by_asset_key,
    )
    if as_first == context:
        raise conflict
    return as_first


def _with_history(data: ContextData, context: RunContext, *, retry_of: str | None, client: BrokerClient) -> ContextData:
    """The context with what the broker knows: how often this was tried, and of what its assets were made before."""
    log = logger_of(context)
    if retry_of is not None and data.retry_number == 0:
        # Of an invocation that is not there the registration says so.
        with suppress(NotFound):
            data = replace(data, retry_number=_times_tried(retry_of, client=client, log=log) + 1)
    deps: object = getattr(context, "deps_by_asset_key", None)
    if isinstance(deps, Mapping):
        data = with_provenance(data, cast("Mapping[str, Sequence[str]]", deps), client=client, log=log)
    return data


def _times_tried(retry_of: str, *, client: BrokerClient, log: logging.Logger) -> int:
    """The retry number of an invocation; 0 where it is not known.

    Raises:
        NotFound: there is none.
    """
    try:
        tried = client.invocations.get(retry_of).context.get("retry_number")
    except NotFound:
        raise
    except BrokerError as error:
        log.warning("[pipes] how often this was tried is not known to this launch: %s", error)
        return 0
    return tried if isinstance(tried, int) else 0


def find_invocation(client: BrokerClient, id_or_key: str) -> Invocation:
    """Raises:
    InvocationNotFound: neither an id nor a key of an invocation.
    """
    try:
        if id_or_key.startswith("inv_"):
            return client.invocations.get(id_or_key)
        require_key(id_or_key)
        matches = client.invocations.list(limit=1, tag=f"{KEY_TAG}={id_or_key}").items
        # A list leaves out extras that are large.
        return client.invocations.get(matches[0].id)
    except (NotFound, IndexError, ValueError):
        raise InvocationNotFound(
            f"{client.url} has no invocation with the id or key {id_or_key!r}. `standpipe ls` lists them."
        ) from None


@contextmanager
def seen_through(session: PipesSession, *, require_success: bool) -> Generator[None]:
    """Reads while the block runs, ends the session after it, and raises for what is not as it should be."""
    try:
        _tell_context(session.context, session)
        session.start()
        yield
    except BaseException as error:
        because = f"The orchestration code raised {type(error).__name__}: {error}"[:4000]
        try:
            session.end(reason=because, cancel=is_interrupt(error))
        except (BrokerError, TimeoutError) as second:
            # The exception of the user's code goes on; that the end could not be reported is a note on it.
            error.add_note(f"The end of invocation {session.invocation_id} could not be reported: {second}")
        if session.reading.trouble is not None:
            error.add_note(session.reading.trouble)
        raise
    session.end()
    if session.reading.trouble is not None:
        raise execution_error(session.completed(), because=session.reading.trouble, kind=PipesResultsIncomplete)
    if require_success and not session.left_running and session.invocation.verdict != "succeeded":
        raise execution_error(session.completed(), exit_code=session.invocation.exit_code)


def is_interrupt(error: BaseException) -> bool:
    """Whether it asks for an end, where any other exception is a fault."""
    # By its name, since asyncio need not be imported for the many who do without it.
    return isinstance(error, KeyboardInterrupt | GeneratorExit) or type(error).__name__ == "CancelledError"


def _tell_context(context: RunContext, session: PipesSession) -> None:
    """Hooks that the definitions' contexts, and Dagster's, have; others have none."""
    if session.context_data.asset_keys and hasattr(context, "set_requires_typed_event_stream"):
        context.set_requires_typed_event_stream(error_message=_NO_RESULTS)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportOptionalMemberAccess]  asked just above
    if hasattr(context, "invocation_registered"):
        context.invocation_registered(session.invocation_id)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportOptionalMemberAccess]  asked just above
