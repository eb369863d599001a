"""Appending: body in, batch to the store, its word back. The path every report takes, so nothing here does more."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from standpipe_protocol.json_text import encode_json
from standpipe_server.api.http.exchange import JSON_MEDIA, PROBLEM_MEDIA, Exchange
from standpipe_server.api.http.parameters import AppendHeaders, append_headers
from standpipe_server.api.parts import ApiParts
from standpipe_server.api.processes.refused_requests import keep_refusal
from standpipe_server.broker.messages.batches import Batch, Refused, parse_batch, parse_plain
from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.store import AppendOutcome, AppendRequest, Target, Word

_MANY_RESULTS: Final = 100


async def append_events(parts: ApiParts, exchange: Exchange, target: Target) -> None:
    """Answers `POST /invocations/{id}/events`."""
    try:
        await _append(parts, exchange, target)
    except Refused as refused:
        await keep_refusal(parts, exchange, target, refused.problem)
        raise


async def _append(parts: ApiParts, exchange: Exchange, target: Target) -> None:
    headers = append_headers(exchange)
    with parts.store.hearing.word(target.pk, headers.producer or ANONYMOUS_PRODUCER) as word:
        await _read_and_store(parts, exchange, target, headers, word)


async def _read_and_store(
    parts: ApiParts, exchange: Exchange, target: Target, headers: AppendHeaders, word: Word
) -> None:
    body = await parts.bodies.read(exchange, on_whole=word.complete)
    size = len(body)
    # Counted until it is stored: thousands that wait for a slow disk must not fill the memory.
    parts.bodies.budget.take(size)
    try:
        batch = parse_plain(body, media=headers.media, limits=parts.limits)
        if batch is None:
            parse = partial(parse_batch, media=headers.media, limits=parts.limits)
            batch = await parts.bodies.off_loop(parse, body, size=size)
        outcome = await parts.store.append(_append_request(target, headers, batch, body))
    finally:
        parts.bodies.budget.give_back(size)
    parts.metrics.appended_bytes += size
    media = PROBLEM_MEDIA if outcome.is_problem else JSON_MEDIA
    await exchange.answer(outcome.status, await _outcome_body(parts, outcome), media=media)


async def _outcome_body(parts: ApiParts, outcome: AppendOutcome) -> bytes:
    results = outcome.body.get("results")
    if isinstance(results, list) and len(results) > _MANY_RESULTS:
        return await parts.bodies.off_loop(_encode, outcome, size=0)
    return _encode(outcome)


def _encode(outcome: AppendOutcome) -> bytes:
    # A handful of numbers, a hundred thousand times: the fast encoder.
    return msgspec.json.encode(outcome.body) if outcome.status == 200 else encode_json(outcome.body)


def _append_request(target: Target, headers: AppendHeaders, batch: Batch, body: bytes) -> AppendRequest:
    return AppendRequest(
        target=target,
        batch=batch,
        body=body,
        producer=headers.producer,
        first_seq=headers.first_seq,
        idempotency_key=headers.idempotency_key,
        numbered=headers.numbered,
    )
