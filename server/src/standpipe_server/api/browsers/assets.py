"""History by asset, across invocations. Operator key only; the entrance has seen to that."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

from dataclasses import replace
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Query, Response

from standpipe_protocol.reports import canonical_asset_key
from standpipe_server.api.http.answers import (
    MOST_ITEMS,
    Cursor,
    Limit,
    Since,
    Until,
    describe,
    json_answer,
    page_answer,
)
from standpipe_server.api.http.parameters import instant
from standpipe_server.api.parts import ApiParts
from standpipe_server.store.reads import assets


async def _asset_key(
    key: Annotated[str, Path(description="The escaped key text (`pre/a\\/b`), percent-encoded.")],
) -> str:
    # The entrance hands the key on as one percent-encoded segment.
    return canonical_asset_key(unquote(key))


AssetKey = Annotated[str, Depends(_asset_key)]
CheckName = Annotated[str, Query(description="The numbers of this check instead of those of materializations.")]
MOST_POINTS = 5_000
Partition = Annotated[str | None, Query(description="Only what was reported for this partition.")]


async def _filters(partition_key: Partition = None, since: Since = None, until: Until = None) -> assets.ReportFilter:
    return assets.ReportFilter(
        partition_key=partition_key, since=instant("since", since), until=instant("until", until)
    )


Filters = Annotated[assets.ReportFilter, Depends(_filters)]


def asset_routes(parts: ApiParts) -> APIRouter:
    """The routes under `/api/v1/assets`."""
    routes = APIRouter(prefix="/api/v1/assets", tags=["assets"])
    reads, numbers = parts.store.reads, parts.store.numbers

    @routes.get("", responses=describe("AssetPage", "malformed"))
    async def list_assets(
        text: Annotated[str | None, Query(description="Only keys that hold this.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """The assets for which something was reported, by key."""
        return page_answer(await reads.run(assets.list_assets, limit=limit, cursor=cursor, text=text))

    @routes.get("/{key}", responses=describe("Asset"))
    async def get_asset(key: AssetKey) -> Response:
        """One asset with the latest that was reported for it."""
        await numbers.take(key)
        return json_answer(await reads.run(assets.read_asset, key))

    @routes.get("/{key}/materializations", responses=describe("MaterializationPage", "malformed"))
    async def list_materializations(
        key: AssetKey, filters: Filters, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        """The asset's materializations, newest first."""
        reports = assets.MATERIALIZATIONS
        return page_answer(await reads.run(assets.list_reports, reports, key, filters, limit=limit, cursor=cursor))

    @routes.get("/{key}/observations", responses=describe("ObservationPage", "malformed"))
    async def list_observations(key: AssetKey, filters: Filters, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """The asset's observations, newest first."""
        reports = assets.OBSERVATIONS
        return page_answer(await reads.run(assets.list_reports, reports, key, filters, limit=limit, cursor=cursor))

    @routes.get("/{key}/checks", responses=describe("CheckPage", "malformed"))
    async def list_checks(
        key: AssetKey,
        filters: Filters,
        check_name: Annotated[str | None, Query(description="Only this check.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """The asset's check results, newest first."""
        reports, filters = assets.CHECKS, replace(filters, check_name=check_name)
        return page_answer(await reads.run(assets.list_reports, reports, key, filters, limit=limit, cursor=cursor))

    @routes.get("/{key}/metadata", responses=describe("LabelPage", "malformed"))
    async def list_labels(
        key: AssetKey, check_name: CheckName = "", limit: Limit = MOST_ITEMS, cursor: Cursor = None
    ) -> Response:
        """The labels of metadata under which numbers were reported, each with its last point."""
        await numbers.take(key, of_checks=bool(check_name))
        return json_answer(await reads.run(assets.list_labels, key, check_name=check_name, limit=limit, cursor=cursor))

    @routes.get("/{key}/metadata/{label}/series", responses=describe("Series", "invalid-request"))
    async def read_series(
        key: AssetKey,
        label: Annotated[str, Path(description="The label, percent-encoded.")],
        filters: Filters,
        check_name: CheckName = "",
        max_points: Annotated[int, Query(ge=1, description=f"At most {MOST_POINTS} are given.")] = 500,
    ) -> Response:
        """The numbers under one label over time, oldest first; where there are more, the last of each bin."""
        name, most, filters = unquote(label), min(max_points, MOST_POINTS), replace(filters, check_name=check_name)
        await numbers.take(key, of_checks=bool(check_name))
        series = await reads.run(assets.read_series, key, name, filters, max_points=most)
        return json_answer({"asset_key": key, "label": name, **series})

    @routes.get("/{key}/schema-changes", responses=describe("SchemaChangePage", "malformed"))
    async def list_schema_changes(key: AssetKey, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """How the asset's table schema changed, newest first. A page may be short before the last one."""
        return page_answer(await reads.run(assets.list_schema_changes, key, limit=limit, cursor=cursor))

    return routes
