"""Words for the terminal: text from outside made visible, numbers and times made short."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rich.cells import cell_len

from standpipe_orchestrator.values import metadata_values, results
from standpipe_protocol.words import counted

# C0 and C1 controls but the newline and the tab, DEL, line separators, what turns the direction of text around, and
# what has no width.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# A line of a list is one line, and a column of it is where it looks to be.
_NOT_IN_A_LINE = str.maketrans({"\n": "\\n", "\t": "\\t"})


def visible(text: str) -> str:
    r"""The text with control characters written out (`\x1b`), so that it can neither move a cursor nor fake a line."""
    return _UNSEEN.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def in_line(text: str) -> str:
    """A name on one line, at full length."""
    return visible(text).translate(_NOT_IN_A_LINE)


def as_json(value: object, *, indent: int | None = None) -> str:
    """JSON for people; what has no place in JSON, such as an integer too long to calculate with, as its text."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


def one_line(text: str, *, at_most: int = 72) -> str:
    """The visible text on one line, cut where it is long."""
    line = " ".join(visible(text).split())
    return line if len(line) <= at_most else f"{line[: at_most - 1]}…"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 h 7 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def instant(text: str | None) -> datetime | None:
    """An RFC 3339 time; None for what is not one."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def local_time(text: str | None, *, seconds: bool = True) -> str:
    moment = instant(text)
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%m-%d %H:%M")


def seconds_between(start: str | None, end: str | None) -> float | None:
    first, last = instant(start), instant(end)
    return None if first is None or last is None else (last - first).total_seconds()


def briefly(value: metadata_values.MetadataValue) -> str:
    """A metadata value in a few words."""
    match value:
        case metadata_values.TableMetadataValue():
            return f"table of {counted(len(value.records), 'row')}"
        case metadata_values.TableSchemaMetadataValue():
            return f"schema of {counted(len(value.schema.columns), 'column')}"
        case metadata_values.TableColumnLineageMetadataValue():
            return f"lineage of {counted(len(value.column_lineage.deps_by_column), 'column')}"
        case metadata_values.TimestampMetadataValue():
            return timestamp(value)
        case metadata_values.MarkdownMetadataValue():
            return one_line(value.md_str, at_most=40)
        case metadata_values.JsonMetadataValue():
            text = one_line(as_json(value.data), at_most=40)
            return text if value.problem is None else f"{text} (wrong shape)"
        case metadata_values.DagsterAssetMetadataValue():
            return value.asset_key.to_user_string()
        case metadata_values.NullMetadataValue():
            return "null"
        case _:
            plain = value.value
            return one_line(f"{plain:,}" if type(plain) is int else str(plain), at_most=60)


def timestamp(value: metadata_values.TimestampMetadataValue) -> str:
    try:
        return datetime.fromtimestamp(value.value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(value.value)


def metadata_line(
    metadata: Mapping[str, metadata_values.MetadataValue], *, at_most: int = 4, columns: int | None = None
) -> str:
    """The first entries of some metadata, ` · ` between them.

    Args:
        at_most: so many entries; how many are left out is said.
        columns: fewer entries where this width does not hold them, but one at least.
    """
    shown = [f"{one_line(name, at_most=40)} {briefly(value)}" for name, value in list(metadata.items())[:at_most]]
    while True:
        left_out = len(metadata) - len(shown)
        line = " · ".join([*shown, f"{left_out} more"] if left_out else shown)
        if columns is None or len(shown) <= 1 or cell_len(line) <= columns:
            return line
        shown.pop()


def key_of(result: results.MaterializeResult | results.AssetCheckResult | results.AssetObservation) -> str:
    return in_line(result.asset_key.to_user_string()) if result.asset_key is not None else "?"


def check_word(check: results.AssetCheckResult) -> str:
    """`passed`, `failed`, or `failed (warning)`."""
    if check.passed:
        return "passed"
    return "failed (warning)" if check.severity is results.AssetCheckSeverity.WARN else "failed"


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)
