"""The external process's calls beside appending: its context and its heartbeat."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

from fastapi import APIRouter, Request, Response

from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_server.api.http.answers import InvocationId, describe, describe_body, exchange_of, json_answer
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.lifecycle.requests import Heartbeat, parse_heartbeat
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store import Reads, StoreError, Target
from standpipe_server.store.commands import RecordHeartbeat
from standpipe_server.store.reads import find_target, read_context, read_control


def process_routes(parts: ApiParts) -> APIRouter:
    """The routes under `/api/v1/invocations/{id}` for the invocation's token (and the operator key)."""
    routes = APIRouter(prefix="/api/v1/invocations", tags=["external process"])

    @routes.get("/{invocation_id}/context", responses=describe("ContextAnswer", "rate-limited"))
    async def get_context(request: Request, invocation_id: InvocationId) -> Response:
        """What the process is told: its context, the limits it must keep, its lease."""
        by_token = exchange_of(request).target is not None
        target = await _target(parts, request, invocation_id)
        answer = await parts.store.reads.run(read_context, target, by_token=by_token)
        if by_token and answer.lease_expires_at is not None:
            # The request is activity of the process, which renews a running lease.
            result = await parts.store.writes.run(RecordHeartbeat(target.pk, Heartbeat(), start=False))
            lease, control = _lease(result.lease_seconds, result.lease_expires_at), result.control
        else:
            lease, control = _lease(answer.lease_seconds, answer.lease_expires_at), answer.control
        # The context goes out as it was stored, so that numbers of any size and precision arrive as they were sent.
        rest: dict[str, JsonValue] = {
            "protocol": PROTOCOL_VERSION,
            "limits": parts.limits.to_wire(),
            "lease": lease,
            "control": control.to_wire(),
        }
        return json_answer(b'{"context":' + answer.context_json + b"," + encode_json(rest)[1:])

    @routes.post(
        "/{invocation_id}/heartbeat",
        responses=describe(
            "HeartbeatAnswer", "malformed", "too-large", "invalid-request", "rate-limited", "overloaded"
        ),
        openapi_extra=describe_body("Heartbeat", required=False),
    )
    async def heartbeat(request: Request, invocation_id: InvocationId) -> Response:
        """Keeps the lease; the answer tells the process whether it is asked to stop."""
        target = await _target(parts, request, invocation_id)
        bodies = parts.bodies
        heartbeat_ = await bodies.parsed(exchange_of(request), bodies.of_control, parse_heartbeat)
        with parts.store.activity.request(target.pk, heartbeat_.producer) as open_request:
            open_request.complete()
            result = await parts.store.writes.run(RecordHeartbeat(target.pk, heartbeat_, start=True))
        lease = _lease(result.lease_seconds, result.lease_expires_at)
        return json_answer({"control": result.control.to_wire(), "lease": lease})

    return routes


async def _target(parts: ApiParts, request: Request, invocation_id: str) -> Target:
    """The invocation of the token, or with the operator key the one that the path names."""
    exchange = exchange_of(request)
    if exchange.target is None:
        exchange.target = await parts.store.reads.run(find_target, invocation_id)
    return exchange.target


def _lease(seconds: float, expires_at: int | None) -> dict[str, JsonValue]:
    return {"seconds": seconds, "expires_at": None if expires_at is None else to_rfc3339(expires_at)}


async def control_members(reads: Reads, target: Target | None) -> dict[str, JsonValue]:
    """The member `control` for a problem's answer; empty where no invocation is known, or it is gone."""
    if target is None:
        return {}
    try:
        control = await reads.run(read_control, target)
    except StoreError:
        return {}
    return {"control": control.to_wire()}
