"""`control`: what every answer to an external process carries, problems included."""

from __future__ import annotations

from standpipe_protocol.json_text import JsonValue
from standpipe_server.store import Store, StoreError, Target


async def control_members(store: Store, target: Target | None) -> dict[str, JsonValue]:
    """The member `control` for a problem's answer; empty where no invocation is known, or it is gone."""
    if target is None:
        return {}
    try:
        control = await store.read_control(target)
    except StoreError:
        return {}
    return {"control": control.to_wire()}
