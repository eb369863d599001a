"""What is different between two table schemas in normal form: columns added, removed and changed, by name."""

from __future__ import annotations

from typing import Any

from standpipe_protocol.json_text import JsonValue


def difference_of(before: dict[str, Any], after: dict[str, Any]) -> dict[str, JsonValue] | None:
    """None when both say the same. The order of columns counts for nothing."""
    old = {column["name"]: column for column in before["columns"]}
    new = {column["name"]: column for column in after["columns"]}
    difference: dict[str, JsonValue] = {
        "added": [column for name, column in new.items() if name not in old],
        "removed": [column for name, column in old.items() if name not in new],
        "changed": [
            {"name": name, "before": old[name], "after": column}
            for name, column in new.items()
            if name in old and old[name] != column
        ],
    }
    return difference if any(difference.values()) else None
