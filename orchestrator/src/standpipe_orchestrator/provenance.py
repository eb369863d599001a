"""Of what the assets of a launch were made the last time, as Dagster tells its external processes.

The broker knows it: the last materialization of each asset, the code version that its invocation was given, and what of
its upstream assets there was by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from standpipe_orchestrator.asset_key import AssetKey
from standpipe_orchestrator.errors import NotFound
from standpipe_protocol.context import ContextData
from standpipe_protocol.json_text import JsonObject, JsonValue

if TYPE_CHECKING:
    from standpipe_orchestrator.client import BrokerClient

MOST_ASSETS = 50
"""Of one launch; the provenance of further ones is not told, since each costs some requests."""


def with_provenance(context: ContextData, deps: Mapping[str, Sequence[str]], *, client: BrokerClient) -> ContextData:
    """The context with the provenance of each asset that was materialized before.

    Args:
        deps: the upstream assets of each, as escaped keys.
    """
    given = context.provenance_by_asset_key
    if not context.asset_keys or (given is not None and any(value is not None for value in given.values())):
        return context
    found: dict[str, Mapping[str, JsonValue] | None] = dict.fromkeys(context.asset_keys)
    for key in context.asset_keys[:MOST_ASSETS]:
        found[key] = _provenance(key, deps.get(key, ()), client=client)
    return replace(context, provenance_by_asset_key=found)


def _provenance(key: str, deps: Sequence[str], *, client: BrokerClient) -> JsonObject | None:
    last = _last(key, client=client)
    if last is None:
        return None
    versions: dict[str, JsonValue] = {}
    for dep in deps:
        before = _last(dep, client=client, until=str(last["received_at"]))
        if before is not None:
            versions[dep] = _data_version(before)
    return {
        "code_version": _code_version(key, str(last["invocation_id"]), client=client),
        "input_data_versions": versions,
        "is_user_provided": last.get("data_version") is not None,
    }


def _last(key: str, *, client: BrokerClient, until: str | None = None) -> JsonObject | None:
    try:
        found = client.assets.materializations(AssetKey.from_escaped_user_string(key), until=until, limit=1).items
    except NotFound:
        return None
    return found[0] if found else None


def _data_version(materialization: JsonObject) -> str:
    """The one that was reported; without one each materialization is a version of its own, as in Dagster."""
    given = materialization.get("data_version")
    return given if isinstance(given, str) else f"{materialization['invocation_id']}/{materialization['position']}"


def _code_version(key: str, invocation_id: str, *, client: BrokerClient) -> str:
    """The one that the invocation was given; without one each run has its own, as in Dagster."""
    try:
        context = client.invocations.get(invocation_id).context
    except NotFound:
        return invocation_id
    versions, run_id = context.get("code_version_by_asset_key"), context.get("run_id")
    given = versions.get(key) if isinstance(versions, dict) else None
    return given if isinstance(given, str) else str(run_id or invocation_id)
