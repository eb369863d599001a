"""Appending: reads the body, has its messages stored, and answers. Every report comes this way."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from standpipe_protocol.json_text import encode_json
from standpipe_protocol.limits import Limits
from standpipe_server.api.http.exchange import JSON_MEDIA, PROBLEM_MEDIA, Exchange
from standpipe_server.api.http.parameters import AppendHeaders, append_headers
from standpipe_server.api.parts import ApiParts
from standpipe_server.api.processes.refused_requests import keep_refusal
from standpipe_server.broker.messages.batches import Batch, parse_batch, parse_plain
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.store import Target
from standpipe_server.store.commands import Append, AppendOutcome

_MANY_RESULTS: Final = 100


async def append_events(parts: ApiParts, exchange: Exchange, target: Target) -> None:
    """Answers `POST /invocations/{id}/events`."""
    try:
        headers = append_headers(exchange)
        with parts.store.activity.request(target.pk, headers.producer or ANONYMOUS_PRODUCER) as open_request:
            body = await parts.bodies.read(exchange, on_whole=open_request.complete)
            # Counted until it is stored: thousands that wait for a slow disk must not fill the memory.
            with parts.bodies.budget.holding(len(body)):
                batch = parse_plain(body, media=headers.media, limits=parts.limits)
                if batch is not None:
                    command = _command(target.pk, headers, batch, body)
                else:
                    parse = partial(_parsed_command, target.pk, headers, limits=parts.limits)
                    command = await parts.bodies.off_loop(parse, body, size=len(body))
                outcome = await parts.store.appends.run(command)
            parts.metrics.appended_bytes += len(body)
            media = PROBLEM_MEDIA if outcome.is_problem else JSON_MEDIA
            await exchange.answer(outcome.status, await _outcome_body(parts, outcome), media=media)
    except Refused as refused:
        await keep_refusal(parts, exchange, target, refused.problem)
        raise


def _parsed_command(pk: int, headers: AppendHeaders, body: bytes, *, limits: Limits) -> Append:
    return _command(pk, headers, parse_batch(body, media=headers.media, limits=limits), body)


def _command(pk: int, headers: AppendHeaders, batch: Batch, body: bytes) -> Append:
    return Append.of(
        pk,
        batch,
        body,
        producer=headers.producer,
        first_seq=headers.first_seq,
        idempotency_key=headers.idempotency_key,
        numbered=headers.numbered,
    )


async def _outcome_body(parts: ApiParts, outcome: AppendOutcome) -> bytes:
    results = outcome.body.get("results")
    if isinstance(results, list) and len(results) > _MANY_RESULTS:
        return await parts.bodies.off_loop(_encode, outcome, size=0)
    return _encode(outcome)


def _encode(outcome: AppendOutcome) -> bytes:
    # The common answer is a handful of numbers: the fast encoder.
    return msgspec.json.encode(outcome.body) if outcome.status == 200 else encode_json(outcome.body)
