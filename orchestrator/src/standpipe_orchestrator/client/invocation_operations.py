"""Calls about invocations: `client.invocations`, from the registration of a launch to its deletion.

What needs a newer server than the one that answers is refused here, before anything is sent.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal, TypeAlias, TypedDict, Unpack, cast

from standpipe.orchestration import deliver_openings, spool_path
from standpipe_orchestrator.client.event_operations import invocation_path
from standpipe_orchestrator.client.keyword_arguments import require_names
from standpipe_orchestrator.client.launch_claims import LAUNCH_KEY
from standpipe_orchestrator.client.pages import Page, all_items
from standpipe_orchestrator.client.server_protocol import ENDS_AND_ATTEMPTS, ServerProtocol
from standpipe_orchestrator.client.transport import CallOptions, Transport
from standpipe_orchestrator.errors import IdempotencyConflict, InvocationEnded
from standpipe_protocol.bootstrap import HOME_VARIABLE, SPOOL_FOLDER_VARIABLE
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control, Expected, Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.process_end import Cause, Outcome

PipesMode: TypeAlias = Literal["required", "optional"]
LaunchState: TypeAlias = Literal["submitted", "queued", "starting", "running"]

FILTERS = (
    "status",
    "verdict",
    "badge",
    "asset_key",
    "tag",
    "job_name",
    "run_id",
    "partition_key",
    "retry_of",
    "since",
    "until",
    "text",
    "pinned",
    "failed_checks",
)
"""By what invocations can be listed."""


class WorkEnd(TypedDict, total=False):
    """How work ended, as far as its launcher knows.

    Attributes:
        reason: the end of what the work printed, or why it failed.
        launched: False where the work never started.
        outcome: how it ended; "unknown" where it ended and nothing says how.
        cause: why; `Cause(code="out-of-memory", detail="the platform's own sentence")`.
    """

    exit_code: int | None
    reason: str | None
    launched: bool | None
    outcome: Outcome | None
    cause: Cause | Mapping[str, JsonValue] | None


class WorkPlace(TypedDict, total=False):
    """Where work is on its platform.

    Attributes:
        url: of the work's own page on its platform.
        at: when it came to this state; now when not given.
    """

    platform: str | None
    job_id: str | None
    node: str | None
    image: str | None
    url: str | None
    attempt: int | Sequence[int] | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class RegisteredInvocation:
    """An invocation, with what its external process needs."""

    invocation: Invocation
    url: str
    token: str
    env: Mapping[str, str]
    replayed: bool = False
    """It was registered before, under the same key."""

    def __repr__(self) -> str:
        return f"RegisteredInvocation(invocation={self.invocation.id!r}, url={self.url!r}, token='***', env='***')"


class InvocationOperations:
    """Register, look up, end and delete invocations."""

    def __init__(self, transport: Transport, *, protocol: ServerProtocol) -> None:
        self._transport = transport
        self._protocol = protocol

    def register(
        self,
        context: ContextData,
        *,
        expected: Expected | Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        launcher: object = None,
        retry_of: str | None = None,
        lease_seconds: float | None = None,
        open_within_seconds: float | None = None,
        settle_seconds: float | None = None,
        pipes: PipesMode = "required",
        idempotency_key: str | None = None,
    ) -> RegisteredInvocation:
        """Registers one launch of external work.

        Args:
            expected: what must have been reported for the verdict `succeeded`.
            launcher: what launches the work; a name, or an object of facts about it.
            retry_of: the id of the invocation of which this is a retry.
            pipes: "optional" for a program that cannot report: while no process opens, the launcher's outcome or exit
                code is the verdict.
            idempotency_key: the same key and request give the same invocation again; made up when not given, so that
                a retry after a lost answer registers nothing twice.
        """
        require_pipes_mode(pipes)
        if pipes != "required":
            self._protocol.require(ENDS_AND_ATTEMPTS, what=f"a registration with pipes={pipes!r}")
        members: dict[str, object] = {
            "pipes": None if pipes == "required" else pipes,
            "expected": expected.to_wire() if isinstance(expected, Expected) else _object_or_none(expected),
            "tags": None if tags is None else dict(tags),
            "launcher": launcher,
            "retry_of": retry_of,
            "lease_seconds": lease_seconds,
            "open_within_seconds": open_within_seconds,
            "settle_seconds": settle_seconds,
        }
        body: JsonObject = {"context": context.to_wire()}
        body.update({name: value for name, value in members.items() if value is not None})  # pyright: ignore[reportCallIssue, reportArgumentType]  encoding checks it
        answer = self._transport.call(
            "POST", "/invocations", body=body, headers={"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        )
        wire = answer.body if isinstance(answer.body, dict) else {}
        env, token = wire.get("env"), wire.get("token")
        if not isinstance(env, dict) or not isinstance(token, str):
            raise self._transport.unexpected("POST", "/invocations", "without `env` and `token`")
        invocation = self._invocation(wire.get("invocation"), "POST", "/invocations")
        return RegisteredInvocation(
            invocation=invocation,
            url=str(wire.get("url", "")),
            token=token,
            env={name: str(value) for name, value in env.items()},
            replayed=answer.replayed,
        )

    def get(self, invocation_id: str, *, mask: bool = False) -> Invocation:
        """One invocation as it stands.

        Args:
            mask: with `***` in the place of what looks like a credential.

        Raises:
            NotFound: there is none.
        """
        return self._call("GET", invocation_path(invocation_id), query=_masked(mask))

    def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        mask: bool = False,
        **filters: str | Sequence[str] | None,
    ) -> Page[Invocation]:
        """One page of invocations, newest first, by any of `FILTERS`: `status`, `verdict`, `badge`, `asset_key`, `tag`
        (`name` or `name=value`; of several all must fit), `job_name`, `run_id`, `partition_key`, `retry_of`, `since`,
        `until`, `text`, `pinned` ("true" or "false"), `failed_checks` ("true"). Of several statuses, verdicts
        or badges one must fit.

        Raises:
            TypeError: a filter that does not exist.
        """
        if unknown := filters.keys() - set(FILTERS):
            raise TypeError(f"invocations.list() has no filter {sorted(unknown)}; it has {', '.join(FILTERS)}.")
        query = {"limit": limit, "cursor": cursor, **_masked(mask), **filters}
        return self._transport.page("/invocations", query=query, read=Invocation.from_wire)

    def iterate(
        self, *, page_size: int = 100, mask: bool = False, **filters: str | Sequence[str] | None
    ) -> Iterator[Invocation]:
        """All invocations that fit, newest first, page by page as they are needed."""
        yield from all_items(partial(self.list, limit=page_size, mask=mask, **filters))

    def last_good(self, invocation_id: str, *, clean: bool = False, mask: bool = False) -> Invocation | None:
        """The last succeeded one before it of the same job on the same assets, of the same partition if there is one.

        Args:
            clean: only one that passed every check.

        Raises:
            NotFound: there is no such invocation.
        """
        path = f"{invocation_path(invocation_id)}/last-good"
        query = {"clean": "true" if clean else None, **_masked(mask)}
        wire = self._transport.call_object("GET", path, query=query).get("invocation")
        return None if wire is None else self._invocation(wire, "GET", path)

    def compare(self, invocation_ids: Sequence[str]) -> JsonObject:
        """What is not the same in these invocations, as the server answers `GET /invocations/compare`."""
        return self._transport.call_object("GET", "/invocations/compare", query={"ids": ",".join(invocation_ids)})

    def cancel(self, invocation_id: str, *, reason: str | None = None, mask: bool = False) -> Invocation:
        """Asks the process to stop, with the next answer to it. The reason is stored in the history."""
        body: JsonObject = {} if reason is None else {"reason": reason}
        return self._call("POST", f"{invocation_path(invocation_id)}/cancel", body=body, query=_masked(mask))

    def claim_launch(self, invocation_id: str, message: JsonObject) -> bool:
        """Stores a claim to launch the work; False when another one was stored before it.

        A request without numbers is remembered under its idempotency key, so that of several claims one is stored.
        """
        path = f"{invocation_path(invocation_id)}/events"
        try:
            self._transport.call("POST", path, body=message, headers={"Idempotency-Key": LAUNCH_KEY})
        except (IdempotencyConflict, InvocationEnded):
            return False
        return True

    def heartbeat(self, invocation_id: str, *, producer: str | None = None) -> Control:
        """Renews the lease, and starts one where none runs. Tried once: the next beat is another try.

        A `producer` that has not opened counts until another has: it is a launcher, and says nothing of the work then.
        """
        path = f"{invocation_path(invocation_id)}/heartbeat"
        body: JsonObject = {} if producer is None else {"producer": producer}
        return Control.from_wire(self._transport.call_object("POST", path, body=body, retry=False).get("control"))

    def tell_numbered(self, invocation_id: str, *, producer: str, numbered: int) -> None:
        """Says how many messages a producer has numbered, so that the verdict misses those which never arrive."""
        path = f"{invocation_path(invocation_id)}/heartbeat"
        self._transport.call("POST", path, body={"producer": producer, "numbered": numbered})

    def finish(self, invocation_id: str, **end: Unpack[WorkEnd]) -> Invocation:
        """Reports as the launcher that the work is over; the answer has the verdict.

        Before it, messages that processes of this home, or of the user's, could only write to disk are delivered: one
        that opened and was killed at once must be missed. No report makes an invocation greener than its processes
        left it. What a later call leaves out stays as an earlier one reported it.
        """
        require_names("finish", end, WorkEnd)
        outcome, cause = end.get("outcome"), end.get("cause")
        if outcome is not None or cause is not None:
            self._protocol.require(ENDS_AND_ATTEMPTS, what="a finish with an outcome or a cause")
        for environment in _spool_environments(os.environ):
            deliver_openings(invocation_id, environment=environment)
        if cause is not None:
            end["cause"] = cast("Mapping[str, JsonValue]", cause.to_wire() if isinstance(cause, Cause) else dict(cause))
        return self._report(invocation_id, "finish", cast("Mapping[str, JsonValue]", end))

    def launch(
        self, invocation_id: str, *, state: LaunchState, retry: bool = True, **place: Unpack[WorkPlace]
    ) -> Invocation:
        """Reports how far the work is, as often as the launcher learns something. The newest values are the
        invocation's `platform`."""
        require_names("launch", place, WorkPlace)
        self._protocol.require(ENDS_AND_ATTEMPTS, what="the state of a launch")
        at = place.get("at")
        members = {
            **place,
            "state": state,
            "attempt": _attempt(place.get("attempt")),
            "at": None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }
        return self._report(invocation_id, "launch", cast("Mapping[str, JsonValue]", members), retry=retry)

    def attempts(self, invocation_id: str, *, attempt: int | Sequence[int], name: str | None = None) -> Invocation:
        """Says that the platform has started the whole job again: older attempts count for nothing from now on.

        Args:
            attempt: its number; whole numbers that are compared in order.
            name: what its processes are called by the platform (a pod's uid). Without one it is the number of those
                that open from now on and say none.
        """
        self._protocol.require(ENDS_AND_ATTEMPTS, what="the number of an attempt")
        return self._report(invocation_id, "attempts", {"attempt": _attempt(attempt), "name": name})

    def _report(
        self, invocation_id: str, what: str, members: Mapping[str, JsonValue], *, retry: bool = True
    ) -> Invocation:
        path = f"{invocation_path(invocation_id)}/{what}"
        body: JsonObject = {name: value for name, value in members.items() if value is not None}
        return self._call("POST", path, body=body, retry=retry)

    def delete(self, invocation_id: str, *, force: bool = False) -> None:
        """Deletes an invocation with its events.

        Raises:
            InvocationRunning: it has not ended, and `force` was not given.
            NotFound: there is none.
        """
        query = {"force": "true" if force else None}
        self._transport.call("DELETE", invocation_path(invocation_id), query=query)

    def history(self, invocation_id: str, *, mask: bool = False) -> Sequence[JsonObject]:
        """What happened to the invocation itself: registered, opened, cancel asked, lease lost, verdict.

        Args:
            mask: with `***` for what looks like a credential.
        """
        path = f"{invocation_path(invocation_id)}/history"
        body = self._transport.call("GET", path, query=_masked(mask)).body
        items = body.get("items") if isinstance(body, dict) else body
        return [item for item in (items if isinstance(items, list) else []) if isinstance(item, dict)]

    def _call(self, method: str, path: str, *, retry: bool = True, **options: Unpack[CallOptions]) -> Invocation:
        """The invocation that a call is answered with."""
        return self._invocation(self._transport.call_object(method, path, retry=retry, **options), method, path)

    def _invocation(self, wire: JsonValue, method: str, path: str) -> Invocation:
        try:
            return Invocation.from_wire(cast("JsonObject", wire))
        except (ValueError, AttributeError):
            raise self._transport.unexpected(method, path, "without an invocation") from None


def _masked(mask: bool) -> dict[str, str]:
    return {"mask": "true"} if mask else {}


def _object_or_none(value: Mapping[str, object] | None) -> dict[str, object] | None:
    return None if value is None else dict(value)


def _attempt(attempt: int | Sequence[int] | None) -> JsonValue:
    return attempt if attempt is None or isinstance(attempt, int) else list(attempt)


def require_pipes_mode(pipes: str) -> None:
    """Raises:
    ValueError: it is none.
    """
    if pipes not in ("required", "optional"):
        raise ValueError(f"`pipes` is {pipes!r}; expected 'required' or 'optional'.")


def _spool_environments(environment: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """This process's environment and, where that has another spool folder, the one in which old clients look for it.

    Clients before `STANDPIPE_SPOOL_FOLDER` know `STANDPIPE_HOME` only, which commands do not inherit: their spool is in
    the user's own data folder.
    """
    plain = {name: value for name, value in environment.items() if name not in (HOME_VARIABLE, SPOOL_FOLDER_VARIABLE)}
    # Where a folder cannot be found out, nothing can have been left in it.
    with contextlib.suppress(OSError):
        if spool_path(plain) != spool_path(environment):
            return (environment, plain)
    return (environment,)
