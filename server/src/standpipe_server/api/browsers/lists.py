"""Lists of invocations, counts over time, and comparisons. Operator key only; the entrance has seen to that."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

import time
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from standpipe_protocol.invocation import Status, VerdictName
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.reports import canonical_asset_key
from standpipe_server.api.http.answers import (
    MOST_ITEMS,
    Cursor,
    InvocationId,
    Limit,
    Mask,
    Since,
    Until,
    describe,
    json_answer,
    page_answer,
)
from standpipe_server.api.http.parameters import describe_query, instant, read_model
from standpipe_server.api.http.problems import invalid_parameter, not_found
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.outcome.badge import Badge
from standpipe_server.broker.values.ids import INVOCATION_ID
from standpipe_server.broker.values.times import seconds, to_rfc3339
from standpipe_server.store.reads import invocations
from standpipe_server.store.reads.invocations import InvocationFilter

MOST_BINS = 2_000
MOST_COMPARED = 20
_LONGEST_TEXT = 512
_WIDTHS = {"day": seconds(86_400), "hour": seconds(3_600), "minute": seconds(60)}
_DEFAULT_BINS = {"day": 90, "hour": 168, "minute": 360}

Bin = Literal["day", "hour", "minute"]


class FilterQuery(BaseModel):
    """What a list of invocations is filtered by."""

    status: Annotated[list[Status] | None, Field(description="Repeatable, one must fit.")] = None
    verdict: Annotated[list[VerdictName] | None, Field(description="Repeatable, one must fit.")] = None
    badge: Annotated[list[Badge] | None, Field(description="Repeatable, one must fit.")] = None
    asset_key: Annotated[str | None, Field(description="Targeted, or reported on.")] = None
    tag: Annotated[list[str] | None, Field(description="`name=value` or `name`; repeatable, all must fit.")] = None
    job_name: str | None = None
    run_id: str | None = None
    partition_key: str | None = None
    retry_of: Annotated[str | None, Field(pattern=f"^{INVOCATION_ID.pattern}$")] = None
    since: Annotated[str | None, Field(description="Registered at or after this RFC 3339 time.")] = None
    until: Annotated[str | None, Field(description="Registered before this RFC 3339 time.")] = None
    text: Annotated[
        str | None,
        Field(
            max_length=_LONGEST_TEXT,
            description="In id, job, run, partition, asset keys, tags, reasons or error messages, in any case.",
        ),
    ] = None
    pinned: bool | None = None
    failed_checks: Annotated[bool, Field(description="Only with a check that did not pass.")] = False

    def filters(self) -> InvocationFilter:
        """The filter as the store takes it. Raises `Refused` for a time that is none."""
        return InvocationFilter(
            statuses=tuple(sorted(set(self.status or ()))),
            verdicts=tuple(sorted(set(self.verdict or ()))),
            badges=tuple(sorted(set(self.badge or ()))),
            asset_key=None if self.asset_key is None else canonical_asset_key(self.asset_key),
            tags=tuple(_tag(one) for one in self.tag or ()),
            job_name=self.job_name,
            run_id=self.run_id,
            partition_key=self.partition_key,
            retry_of=self.retry_of,
            since=instant("since", self.since),
            until=instant("until", self.until),
            text=self.text or None,
            pinned=self.pinned,
            failed_checks=self.failed_checks or None,
        )


class ListQuery(FilterQuery):
    """The query of a list of invocations."""

    mask: Annotated[bool, Field(description="With `***` for what looks like a credential.")] = False
    usual: Annotated[bool, Field(description="With how long the green ones of the same kind take.")] = False
    limit: Annotated[int, Field(ge=1, description=f"Items a page; at most {MOST_ITEMS} are given.")] = 50
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before, with the same filter.")] = None


class CountQuery(FilterQuery):
    """The query of counts over time."""

    width: Annotated[Bin, Field(alias="bin", description="How wide a bin is.")] = "day"
    by: Annotated[Literal["verdict", "badge"], Field(description="What is counted.")] = "verdict"


def browsing_routes(parts: ApiParts) -> APIRouter:
    """Routes under `/api/v1/invocations` that stand before the one that takes an id."""
    routes = APIRouter(prefix="/api/v1/invocations", tags=["history"])
    reads = parts.store.reads

    @routes.get(
        "",
        responses=describe("InvocationPage", "invalid-request", "malformed"),
        openapi_extra=describe_query(ListQuery),
    )
    async def list_invocations(request: Request) -> Response:
        """Lists invocations, newest registration first. A page may be short, or empty, before the last one."""
        query = read_model(ListQuery, request)
        page = await reads.run(
            invocations.list_invocations,
            query.filters(),
            limit=min(query.limit, MOST_ITEMS),
            cursor=query.cursor,
            usual=query.usual,
            mask=query.mask,
        )
        members = (b",".join(page.items), encode_json(page.next_cursor), encode_json(page.searched_to))
        return json_answer(b'{"items":[%b],"next_cursor":%b,"searched_to":%b}' % members)

    @routes.get(
        "/counts",
        responses=describe("InvocationCounts", "invalid-request"),
        openapi_extra=describe_query(CountQuery),
    )
    async def count_invocations(request: Request) -> Response:
        """Counts invocations by verdict (or status, while they have none) or by badge, in bins of time."""
        query = read_model(CountQuery, request)
        width = query.width
        ranged = _with_range(query.filters(), width)
        counts, total = await reads.run(
            invocations.count_invocations, ranged, width=_WIDTHS[width], by_badge=query.by == "badge"
        )
        bins = [{"start": to_rfc3339(start), "counts": by_name} for start, by_name in counts.items()]
        bounds = {"bin": width, "since": to_rfc3339(ranged.since or 0), "until": to_rfc3339(ranged.until or 0)}
        return json_answer({**bounds, "bins": bins, "total": total})

    @routes.get("/compare", responses=describe("Comparison", "invalid-request"))
    async def compare_invocations(
        ids: Annotated[str, Query(description=f"2 to {MOST_COMPARED} ids, separated by commas.")],
    ) -> Response:
        """Puts invocations beside each other: only what is not the same."""
        compared = list(dict.fromkeys(one.strip() for one in ids.split(",") if one.strip()))
        if not 2 <= len(compared) <= MOST_COMPARED:
            expected = f"2 to {MOST_COMPARED} different ids, separated by commas"
            raise Refused(invalid_parameter("ids", expected=expected, got=ids[:80]))
        if not all(INVOCATION_ID.fullmatch(one) for one in compared):
            raise Refused(not_found())
        return json_answer(await reads.run(invocations.compare_invocations, compared))

    @routes.get("/{invocation_id}/last-good", responses=describe("LastGood"))
    async def get_last_good(
        invocation_id: InvocationId,
        clean: Annotated[bool, Query(description="Only one whose every check passed.")] = False,
        mask: Mask = False,
    ) -> Response:
        """The last green invocation before this one of the same job on the same assets, if there is one."""
        invocation, same = await reads.run(invocations.last_good, invocation_id, clean=clean)
        if invocation is not None and mask:
            invocation = await reads.run(invocations.read_invocation, invocation.id, mask=True)
        shown = b"null" if invocation is None else invocation.json
        return json_answer(b'{"invocation":%b,"same":%b}' % (shown, encode_json(list(same))))

    return routes


def _with_range(filters: InvocationFilter, width: Bin) -> InvocationFilter:
    """The filter with both ends of its range of time, which must not hold too many bins."""
    step = _WIDTHS[width]
    until = time.time_ns() // 1_000 + 1 if filters.until is None else filters.until
    since = until - _DEFAULT_BINS[width] * step if filters.since is None else filters.since
    if until - since > MOST_BINS * step:
        expected = f"a range of at most {MOST_BINS} bins; take wider ones, or name `since`"
        raise Refused(invalid_parameter("bin", expected=expected, got=width))
    return replace(filters, since=since, until=until)


def _tag(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


Kind = Annotated[
    Literal["exception", "rejected", "log"] | None,
    Query(description="A reported exception, a rejected message, or a log message of level ERROR or above."),
]


def error_routes(parts: ApiParts) -> APIRouter:
    """The route `/api/v1/errors`."""
    routes = APIRouter(prefix="/api/v1/errors", tags=["orchestrator"])

    @routes.get("", responses=describe("ErrorPage", "invalid-request", "malformed"))
    async def list_errors(
        kind: Kind = None, since: Since = None, until: Until = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        """The first error of each kind in each invocation, newest first."""
        filters = invocations.ErrorFilter(kind=kind, since=instant("since", since), until=instant("until", until))
        return page_answer(await parts.store.reads.run(invocations.list_errors, filters, limit=limit, cursor=cursor))

    return routes
