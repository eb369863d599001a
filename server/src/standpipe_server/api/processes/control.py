"""`control`: what every answer to an external process carries, problems included."""

from __future__ import annotations

from standpipe_protocol.json_text import JsonValue
from standpipe_server.store import Reads, StoreError, Target
from standpipe_server.store.reads import read_control


async def control_members(reads: Reads, target: Target | None) -> dict[str, JsonValue]:
    """The member `control` for a problem's answer; empty where no invocation is known, or it is gone."""
    if target is None:
        return {}
    try:
        control = await reads.run(read_control, target)
    except StoreError:
        return {}
    return {"control": control.to_wire()}
