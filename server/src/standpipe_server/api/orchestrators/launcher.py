"""The launcher's calls: the work on the way, its attempts, its end. Operator key only."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

from time import monotonic

from fastapi import APIRouter, Request, Response

from standpipe_server.api.http.answers import InvocationId, Mask, describe, describe_body, exchange_of, json_answer
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.lifecycle.requests import parse_attempt_number, parse_finish, parse_launch
from standpipe_server.broker.values.state import Finish
from standpipe_server.store import Target
from standpipe_server.store.commands import FinishInvocation, Launch, NumberAttempt
from standpipe_server.store.reads import find_target
from standpipe_server.store.reads.invocations import read_invocation

CHILDREN_SECONDS = 5.0
"""How long an end waits for open child processes of a closed parent."""


def launcher_routes(parts: ApiParts) -> APIRouter:
    """The routes under `/api/v1/invocations/{id}` by which a launcher tells of its work."""
    routes = APIRouter(prefix="/api/v1/invocations", tags=["orchestrator"])
    reads, writes, bodies = parts.store.reads, parts.store.writes, parts.bodies

    @routes.post(
        "/{invocation_id}/finish",
        responses=describe("Invocation", "malformed", "too-large", "invalid-request", "overloaded"),
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
        responses=describe("Invocation", "malformed", "too-large", "invalid-request", "overloaded"),
        openapi_extra=describe_body("Launch", required=True),
    )
    async def launch_invocation(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """What the launcher knows of the work on the way: its state, and where it is. Idempotent."""
        launch = await bodies.parsed(exchange_of(request), bodies.of_control, parse_launch)
        target = await reads.run(find_target, invocation_id)
        await writes.run(Launch(target.pk, launch))
        return json_answer((await reads.run(read_invocation, invocation_id, mask=mask)).json)

    @routes.post(
        "/{invocation_id}/attempts",
        responses=describe("Invocation", "malformed", "too-large", "invalid-request", "overloaded"),
        openapi_extra=describe_body("AttemptNumber", required=True),
    )
    async def number_attempt(request: Request, invocation_id: InvocationId, mask: Mask = False) -> Response:
        """The number of the attempt that begins, or of the one with that name. Idempotent."""
        attempt, name = await bodies.parsed(exchange_of(request), bodies.of_control, parse_attempt_number)
        target = await reads.run(find_target, invocation_id)
        await writes.run(NumberAttempt(target.pk, attempt, name))
        return json_answer((await reads.run(read_invocation, invocation_id, mask=mask)).json)

    return routes


async def _finish_after_children(parts: ApiParts, target: Target, finish: Finish) -> None:
    deadline = monotonic() + CHILDREN_SECONDS
    with parts.feed.subscribe(target.pk) as subscription:
        while (left := deadline - monotonic()) > 0 and not subscription.stopping:
            if await parts.store.writes.run(FinishInvocation(target.pk, finish, patient=True)):
                return
            await subscription.wait(min(left, subscription.poll_seconds))
    await parts.store.writes.run(FinishInvocation(target.pk, finish))
