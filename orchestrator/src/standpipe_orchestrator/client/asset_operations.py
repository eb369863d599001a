"""History across invocations: by asset, and of errors. Lists are newest first; items are as the protocol gives them."""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack
from urllib.parse import quote

from standpipe_orchestrator.client.keyword_arguments import require_names
from standpipe_orchestrator.client.pages import Page
from standpipe_orchestrator.client.transport import Transport
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_protocol.json_text import JsonObject


class PageOptions(TypedDict, total=False):
    """Which page of a list."""

    limit: int | None
    cursor: str | None


class ReportOptions(PageOptions, total=False):
    """Which reports: of one partition, received from `since` on and before `until` (RFC 3339)."""

    partition_key: str | None
    since: str | None
    until: str | None


class AssetOperations:
    """What was reported for an asset, by any invocation."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, text: str | None = None, **options: Unpack[PageOptions]) -> Page[JsonObject]:
        """The assets for which something was reported, by key; with `text` those with it in their key."""
        require_names("list", options, PageOptions)
        return self._transport.page("/assets", query={"text": text, **options})

    def get(self, asset_key: CoercibleToAssetKey) -> JsonObject:
        """The latest materialization of an asset, and the latest report of each of its checks."""
        return self._transport.call_object("GET", _asset_path(asset_key))

    def materializations(self, asset_key: CoercibleToAssetKey, **options: Unpack[ReportOptions]) -> Page[JsonObject]:
        """An asset's materializations, received from `since` on and before `until` (RFC 3339)."""
        require_names("materializations", options, ReportOptions)
        return self._transport.page(f"{_asset_path(asset_key)}/materializations", query={**options})

    def observations(self, asset_key: CoercibleToAssetKey, **options: Unpack[ReportOptions]) -> Page[JsonObject]:
        """The observations of an asset, received from `since` on and before `until` (RFC 3339)."""
        require_names("observations", options, ReportOptions)
        return self._transport.page(f"{_asset_path(asset_key)}/observations", query={**options})

    def checks(
        self, asset_key: CoercibleToAssetKey, *, check_name: str | None = None, **options: Unpack[ReportOptions]
    ) -> Page[JsonObject]:
        """What an asset's checks reported, received from `since` on and before `until` (RFC 3339)."""
        require_names("checks", options, ReportOptions)
        return self._transport.page(f"{_asset_path(asset_key)}/checks", query={"check_name": check_name, **options})


class ErrorOperations:
    """The first error of each kind in each invocation."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        kind: Literal["exception", "rejected", "log"] | None = None,
        since: str | None = None,
        until: str | None = None,
        **options: Unpack[PageOptions],
    ) -> Page[JsonObject]:
        """Exceptions that programs closed with, rejected messages, and log messages of level ERROR or above."""
        require_names("list", options, PageOptions)
        return self._transport.page("/errors", query={"kind": kind, "since": since, "until": until, **options})


def _asset_path(asset_key: CoercibleToAssetKey) -> str:
    return f"/assets/{quote(AssetKey.from_coercible(asset_key).to_escaped_user_string(), safe='')}"
