"""The orchestrator's calls about invocations, and those of its launcher. The entrance admits the operator key only."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

from collections.abc import Callable
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.json_text import encode_json
from standpipe_server.api.access.guard import request_origin
from standpipe_server.api.http.answers import (
    InvocationId,
    Mask,
    describe,
    describe_body,
    exchange_of,
    json_answer,
    not_modified,
)
from standpipe_server.api.http.parameters import idempotency_key
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.lifecycle.requests import (
    COMPARED_BYTES,
    Registration,
    json_digest,
    ordered_digest,
    parse_attempt_number,
    parse_finish,
    parse_launch,
    parse_reason,
    parse_registration,
)
from standpipe_server.broker.values.state import Finish
from standpipe_server.store import Conflict, Target
from standpipe_server.store.commands import (
    Delete,
    FinishInvocation,
    Launch,
    NumberAttempt,
    Pin,
    Register,
    Registered,
    RequestCancel,
)
from standpipe_server.store.reads import find_target
from standpipe_server.store.reads.invocations import InvocationView, read_history, read_invocation

CHILDREN_SECONDS = 5.0
"""How long an end waits for open child processes of a closed parent."""
_CHANGED = describe("Invocation", "malformed", "too-large", "invalid-request", "overloaded")


def invocation_routes(parts: ApiParts) -> APIRouter:
    """The routes under `/api/v1/invocations` that an orchestrator calls."""
    routes = APIRouter(prefix="/api/v1/invocations", tags=["orchestrator"])
    reads, writes, bodies = parts.store.reads, parts.store.writes, parts.bodies

    @routes.post(
        "",
        status_code=201,
        responses=describe(
            "Registered", "malformed", "invalid-request", "idempotency-conflict", "too-large", "overloaded", status=201
        ),
        openapi_extra=describe_body("Registration", required=True),
    )
    async def register_invocation(
        request: Request,
        idempotency: Annotated[
            str | None, Header(alias="Idempotency-Key", description="The same key and JSON: the same invocation.")
        ] = None,
    ) -> Response:
        """Registers an invocation; the answer holds the environment for the process that is to be launched."""
        exchange = exchange_of(request)
        origin = parts.public_url or request_origin(exchange)
        key = idempotency_key(exchange)

        def parse(body: bytes) -> tuple[Registration, bytes]:
            return parse_registration(body, limits=parts.limits), json_digest(body) if key else b""

        registration, digest = await bodies.parsed(exchange, bodies.of_registration, parse)
        try:
            registered = await writes.run(Register(registration, key, digest))
        except Conflict:
            # One that a server of protocol 1.0 registered is known by other digests beyond this size.
            body = exchange.received or b""
            if len(body) <= COMPARED_BYTES:
                raise
            digest = await bodies.off_loop(ordered_digest, body, size=len(body))
            registered = await writes.run(Register(registration, key, digest))
        return _registered(registered, await reads.run(read_invocation, registered.id), url=origin)

    @routes.get("/{invocation_id}", responses={**describe("Invocation"), 304: {"description": "Nothing has changed."}})
    async def get_invocation(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """The invocation itself, with an ETag for conditional reads."""
        invocation = await reads.run(read_invocation, invocation_id, mask=mask)
        etag = {"ETag": invocation.etag}
        if not_modified(request, invocation.etag):
            return Response(status_code=304, headers=etag)
        return json_answer(invocation.json, headers=etag)

    @routes.get("/{invocation_id}/history", responses=describe("History"))
    async def get_history(invocation_id: InvocationId, mask: Mask = False) -> Response:
        """The invocation's changes of state, oldest first."""
        return json_answer({"items": await reads.run(read_history, invocation_id, mask=mask), "next_cursor": None})

    @routes.post(
        "/{invocation_id}/cancel",
        responses=_CHANGED,
        openapi_extra=describe_body("ReasonGiven", required=False),
    )
    async def cancel_invocation(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """Asks the external process to stop; it hears it in its next answer."""
        reason = await bodies.parsed(exchange_of(request), bodies.of_control, parse_reason)
        return await _changed(parts, invocation_id, lambda pk: RequestCancel(pk, reason), mask=mask)

    @routes.post(
        "/{invocation_id}/pin",
        responses=_CHANGED,
        openapi_extra=describe_body("ReasonGiven", required=False),
    )
    async def pin_invocation(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """Keeps the invocation until it is unpinned, or deleted with force. Idempotent."""
        reason = await bodies.parsed(exchange_of(request), bodies.of_control, parse_reason)
        return await _changed(parts, invocation_id, lambda pk: Pin(pk, pinned=True, reason=reason), mask=mask)

    @routes.delete("/{invocation_id}/pin", responses=describe("Invocation", "overloaded"))
    async def unpin_invocation(invocation_id: InvocationId, mask: Mask = False) -> Response:
        """Takes the pin away. Idempotent."""
        return await _changed(parts, invocation_id, lambda pk: Pin(pk, pinned=False), mask=mask)

    @routes.delete(
        "/{invocation_id}",
        status_code=204,
        responses=describe(None, "invocation-running", "invocation-pinned", "overloaded", status=204),
    )
    async def delete_invocation(
        invocation_id: InvocationId,
        force: Annotated[bool, Query(description="Also while it runs, or is pinned.")] = False,
    ) -> Response:
        """Deletes an invocation with its events."""
        target = await reads.run(find_target, invocation_id)
        await writes.run(Delete(target.pk, force=force))
        return Response(status_code=204)

    return routes


def launcher_routes(parts: ApiParts) -> APIRouter:
    """The routes under `/api/v1/invocations/{id}` for the launcher of the work."""
    routes = APIRouter(prefix="/api/v1/invocations", tags=["orchestrator"])
    reads, writes, bodies = parts.store.reads, parts.store.writes, parts.bodies

    @routes.post(
        "/{invocation_id}/finish",
        responses=_CHANGED,
        openapi_extra=describe_body("Finish", required=False),
    )
    async def finish_invocation(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """The launcher's word on how the process ended; the answer holds the verdict. Idempotent.

        It waits up to five seconds for child processes that are open while their parent has closed.
        """
        finish = await bodies.parsed(exchange_of(request), bodies.of_finish, parse_finish)
        target = await reads.run(find_target, invocation_id)
        if not await writes.run(FinishInvocation(target.pk, finish, patient=True)):
            await _finish_after_children(parts, target, finish)
        return json_answer((await reads.run(read_invocation, invocation_id, mask=mask)).json)

    @routes.post(
        "/{invocation_id}/launch",
        responses=_CHANGED,
        openapi_extra=describe_body("Launch", required=True),
    )
    async def launch_invocation(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """What the launcher knows of the work on the way: its state, and where it is. Idempotent."""
        launch = await bodies.parsed(exchange_of(request), bodies.of_control, parse_launch)
        return await _changed(parts, invocation_id, lambda pk: Launch(pk, launch), mask=mask)

    @routes.post(
        "/{invocation_id}/attempts",
        responses=_CHANGED,
        openapi_extra=describe_body("AttemptNumber", required=True),
    )
    async def number_attempt(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """The number of the attempt that begins, or of the one with that name. Idempotent."""
        attempt, name = await bodies.parsed(exchange_of(request), bodies.of_control, parse_attempt_number)
        return await _changed(parts, invocation_id, lambda pk: NumberAttempt(pk, attempt, name), mask=mask)

    return routes


async def _changed(
    parts: ApiParts,
    invocation_id: str,
    command: Callable[[int], RequestCancel | Pin | Launch | NumberAttempt],
    *,
    mask: bool,
) -> Response:
    """Runs a command on the invocation and answers the invocation as it is then."""
    reads = parts.store.reads
    target = await reads.run(find_target, invocation_id)
    await parts.store.writes.run(command(target.pk))
    return json_answer((await reads.run(read_invocation, invocation_id, mask=mask)).json)


def _registered(registered: Registered, invocation: InvocationView, *, url: str) -> Response:
    env = Bootstrap(url=url, invocation=registered.id, token=registered.token).to_environment()
    rest = encode_json({"url": url, "token": registered.token, "env": env})
    headers = {"Location": f"{url}/api/v1/invocations/{registered.id}"}
    if not registered.created:
        headers["Idempotency-Replayed"] = "true"
    return json_answer(b'{"invocation":' + invocation.json + b"," + rest[1:], status=201, headers=headers)


async def _finish_after_children(parts: ApiParts, target: Target, finish: Finish) -> None:
    deadline = monotonic() + CHILDREN_SECONDS
    with parts.feed.subscribe(target.pk) as subscription:
        while (left := deadline - monotonic()) > 0 and not subscription.stopping:
            if await parts.store.writes.run(FinishInvocation(target.pk, finish, patient=True)):
                return
            await subscription.wait(min(left, subscription.poll_seconds))
    await parts.store.writes.run(FinishInvocation(target.pk, finish))
