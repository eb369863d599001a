"""History across invocations: by asset, and of errors. Lists are newest first; items are as the protocol gives them.

Knows calls and their filters, nothing of how a call travels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar
from urllib.parse import quote

from standpipe_orchestrator.client.transport import Transport
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_protocol.json_text import JsonObject, JsonValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is None on the last."""

    items: tuple[T, ...]
    next_cursor: str | None


class AssetOperations:
    """What was reported for an asset, in whichever invocation."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, text: str | None = None, limit: int | None = None, cursor: str | None = None) -> Page[JsonObject]:
        """The assets for which something was reported, by key; with `text` those whose key holds it."""
        return _list(self._transport, "/assets", text=text, limit=limit, cursor=cursor)

    def get(self, asset_key: CoercibleToAssetKey) -> JsonObject:
        """The latest materialization of an asset, and the latest report of each of its checks."""
        path = _asset_path(asset_key)
        body = self._transport.call("GET", path).body
        return body if isinstance(body, dict) else {}

    def materializations(
        self,
        asset_key: CoercibleToAssetKey,
        *,
        partition_key: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[JsonObject]:
        """An asset's materializations, received from `since` on and before `until` (RFC 3339)."""
        return _list(
            self._transport,
            f"{_asset_path(asset_key)}/materializations",
            partition_key=partition_key,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
        )

    def observations(
        self,
        asset_key: CoercibleToAssetKey,
        *,
        partition_key: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[JsonObject]:
        """What was observed of an asset, received from `since` on and before `until` (RFC 3339)."""
        return _list(
            self._transport,
            f"{_asset_path(asset_key)}/observations",
            partition_key=partition_key,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
        )

    def checks(
        self,
        asset_key: CoercibleToAssetKey,
        *,
        check_name: str | None = None,
        partition_key: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[JsonObject]:
        """What an asset's checks reported, received from `since` on and before `until` (RFC 3339)."""
        return _list(
            self._transport,
            f"{_asset_path(asset_key)}/checks",
            check_name=check_name,
            partition_key=partition_key,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
        )


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
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[JsonObject]:
        """Exceptions that programs closed with, rejected messages, and log messages of level ERROR or above."""
        return _list(self._transport, "/errors", kind=kind, since=since, until=until, limit=limit, cursor=cursor)


def page_of(body: JsonValue, read: Callable[[JsonObject], T]) -> Page[T]:
    """A page of whatever `read` makes of an item."""
    wire = body if isinstance(body, dict) else {}
    items, cursor = wire.get("items"), wire.get("next_cursor")
    return Page(
        items=tuple(read(item) for item in (items if isinstance(items, list) else []) if isinstance(item, dict)),
        next_cursor=cursor if isinstance(cursor, str) else None,
    )


def _list(transport: Transport, path: str, **query: str | int | None) -> Page[JsonObject]:
    return page_of(transport.call("GET", path, query=query).body, lambda item: item)


def _asset_path(asset_key: CoercibleToAssetKey) -> str:
    return f"/assets/{quote(AssetKey.from_coercible(asset_key).to_escaped_user_string(), safe='')}"
