"""From which versions the assets of a launch were made the last time, as Dagster tells its external processes.

The broker knows it: the last materialization of each asset, the code version that its invocation was given, and what of
its upstream assets there was by then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from standpipe.orchestration import background_thread
from standpipe_orchestrator.errors import BrokerError, NotFound
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_protocol.context import ContextData
from standpipe_protocol.json_text import JsonObject, JsonValue

if TYPE_CHECKING:
    from standpipe_orchestrator.client.broker_client import BrokerClient

MOST_ASSETS = 50
"""Of one launch; the provenance of further ones is left out, since each costs some requests."""
MOST_DEPS = 50
"""Upstream assets of each asset; the versions of further ones are left out."""
LOOKUP_SECONDS = 5.0
"""So long a launch waits for all of it; what is not known by then is left out."""


def with_provenance(
    context: ContextData, deps: Mapping[str, Sequence[str]], *, client: BrokerClient, log: logging.Logger
) -> ContextData:
    """The context with the provenance of each asset that was materialized before, as far as it can be learned in time.

    Args:
        deps: the upstream assets of each, as escaped keys.
        log: gets one record when something could not be learned.
    """
    known = context.provenance_by_asset_key
    if not context.asset_keys or (known is not None and any(value is not None for value in known.values())):
        return context
    lookup = _Lookup(context.asset_keys[:MOST_ASSETS], deps, client=client)
    learned, trouble = lookup.learn(LOOKUP_SECONDS)
    if trouble is not None:
        log.warning("[pipes] the provenance of an asset is not known to this launch: %s", trouble)
    return replace(context, provenance_by_asset_key={**dict.fromkeys(context.asset_keys), **learned})


class _Lookup:
    """Asks on a thread of its own: a call may take longer, with its retries, than a launch is to wait.

    The invariant: nothing that goes wrong here reaches the launch.
    """

    def __init__(self, keys: Sequence[str], deps: Mapping[str, Sequence[str]], *, client: BrokerClient) -> None:
        self._keys = keys
        self._deps = deps
        self._client = client
        self._learned: dict[str, JsonObject | None] = {}
        self._problem: str | None = None
        self._over = False

    def learn(self, seconds: float) -> tuple[dict[str, JsonObject | None], str | None]:
        """What was learned, by asset, and why something was not."""
        try:
            thread = background_thread(self._run, name="standpipe-provenance")
            thread.start()
            thread.join(seconds)
        except RuntimeError as error:
            # There is no further thread to be had.
            return {}, str(error)
        finally:
            self._over = True
        late = f"{self._client.url} did not answer all of it within {seconds:g} s." if thread.is_alive() else None
        return dict(self._learned), self._problem or late

    def _run(self) -> None:
        for key in self._keys:
            if self._over:
                return
            try:
                self._learned[key] = _provenance(key, list(self._deps.get(key, ()))[:MOST_DEPS], client=self._client)
            except Exception as error:  # an answer that holds something else than expected, too
                self._problem = self._problem or (str(error) if isinstance(error, BrokerError) else repr(error))


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
        latest = client.assets.materializations(AssetKey.from_escaped_user_string(key), until=until, limit=1).items
    except NotFound:
        return None
    return latest[0] if latest else None


def _data_version(materialization: JsonObject) -> str:
    """The one that was reported; without one each materialization is a version of its own, as in Dagster."""
    version = materialization.get("data_version")
    return version if isinstance(version, str) else f"{materialization['invocation_id']}/{materialization['position']}"


def _code_version(key: str, invocation_id: str, *, client: BrokerClient) -> str:
    """The one that the invocation was given; without one each run has its own, as in Dagster."""
    try:
        context = client.invocations.get(invocation_id).context
    except NotFound:
        return invocation_id
    versions, run_id = context.get("code_version_by_asset_key"), context.get("run_id")
    version = versions.get(key) if isinstance(versions, dict) else None
    return version if isinstance(version, str) else str(run_id or invocation_id)
