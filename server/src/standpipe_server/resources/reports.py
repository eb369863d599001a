"""What was reported, as the API answers it: events, and by asset materializations, checks, numbers, schemas, and the
differences of several invocations.

Events are cut together from stored bytes; what a program sent (`params`, `details`, `ledger`, `raw`) is any JSON here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from standpipe_protocol.invocation import Status, VerdictName
from standpipe_protocol.metadata import INFER, METADATA_TYPES
from standpipe_server.broker.outcome.badge import Badge
from standpipe_server.resources.invocations import Note, Time, page_of
from standpipe_server.resources.service import Control, Problem

NotFinite = Literal["NaN", "Infinity", "-Infinity"]


class MetadataEntry(Struct, frozen=True):
    """One metadata entry in normal form; docs/reference/metadata-types.md has the shape of each type's value."""

    type: Annotated[str, Meta(extra_json_schema={"enum": sorted(METADATA_TYPES - {INFER})})]
    raw_value: Raw
    problem: Annotated[str, Meta(description="Why it was kept as JSON instead of what it said it was.")] | UnsetType = (
        UNSET
    )


class StoredMessage(Struct, frozen=True, kw_only=True):
    """A message with its position, producer, number and times."""

    position: int
    producer: str
    seq: int
    sent_at: Annotated[Raw, Meta(description="A time as the sender wrote it, or null.")]
    received_at: Time
    method: Annotated[Raw, Meta(description="A name; of a rejected message what stood in its place, or null.")]
    params: Raw
    details: Raw | UnsetType = UNSET
    ledger: Raw | UnsetType = UNSET
    raw: Annotated[Raw, Meta(description="An element that was no object.")] | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET
    notes: list[Note] | UnsetType = UNSET


class Event(StoredMessage, frozen=True, kw_only=True):
    """A stored message."""

    metadata: (
        Annotated[dict[str, MetadataEntry], Meta(description="Of a report, where the normal form was asked for.")]
        | UnsetType
    ) = UNSET
    description: (
        Annotated[str, Meta(description="Of a process's end, in words, where the normal form was asked for.")]
        | UnsetType
    ) = UNSET


class EventPage(Struct, frozen=True):
    items: list[Event]
    next_after: int
    ended: bool
    last_position: int
    control: Control | UnsetType = UNSET


class EarlierEventPage(Struct, frozen=True):
    """A page that was read backwards."""

    items: list[Event]
    next_before: int | None
    ended: bool
    last_position: int
    control: Control | UnsetType = UNSET


class Materialization(StoredMessage, frozen=True, kw_only=True):
    """The event of a materialization, and what is known of it beside."""

    invocation_id: str
    asset_key: str
    partition_key: str | None
    data_version: str | None
    metadata: dict[str, MetadataEntry]


class Observation(Materialization, frozen=True, kw_only=True):
    """The event of an observation, and what is known of it beside; `partition_key` is the one that it names, if it
    names one."""


class CheckResult(StoredMessage, frozen=True, kw_only=True):
    """The event of a check, and what is known of it beside."""

    invocation_id: str
    asset_key: str
    partition_key: str | None
    check_name: str
    passed: bool
    severity: Literal["WARN", "ERROR"]
    metadata: dict[str, MetadataEntry]


class CheckState(Struct, frozen=True):
    """The last reports of an asset's checks, counted."""

    passed: int
    failed: int
    warned: int


class Asset(Struct, frozen=True):
    asset_key: str
    last_materialization: Materialization | None
    last_observation: Observation | None
    last_check: CheckResult | None
    check_state: CheckState
    checks: list[CheckResult] | UnsetType = UNSET
    numeric_labels: list[str] | UnsetType = UNSET


PointValue = Annotated[
    float | NotFinite | None, Meta(description="Not finite: its name. Null: an int or float without a value.")
]


class Point(Struct, frozen=True):
    """A number over time. Of a bin: its last one, with the least, the greatest and how many there were."""

    at: Time
    value: PointValue
    invocation_id: str
    position: int
    partition_key: str | None
    min: PointValue
    max: PointValue
    count: int


class Label(Struct, frozen=True):
    label: str
    last: Point


class LabelPage(Struct, frozen=True):
    items: list[Label]
    next_cursor: str | None
    left_out: int


class Series(Struct, frozen=True):
    asset_key: str
    label: str
    points: list[Point]
    binned: bool


class ColumnConstraints(Struct, frozen=True):
    nullable: bool
    unique: bool
    other: list[str]


class Column(Struct, frozen=True):
    name: str
    type: str
    description: str | None
    tags: dict[str, str]
    constraints: ColumnConstraints


class TableConstraints(Struct, frozen=True):
    other: list[str]


class TableSchema(Struct, frozen=True):
    """The value of `table_schema`, and the schema of a `table`."""

    columns: list[Column]
    constraints: TableConstraints


class Table(Struct, frozen=True):
    """The value of `table`."""

    records: list[dict[str, str | int | float | bool | None]]
    schema: TableSchema


class UpstreamColumn(Struct, frozen=True):
    asset_key: list[str]
    column_name: str


class ColumnLineage(Struct, frozen=True):
    """The value of `table_column_lineage`: upstream columns by column."""

    deps_by_column: dict[str, list[UpstreamColumn]]


# The values of metadata in normal form by type. What is accepted for each is wider.
METADATA_VALUES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("text", "url", "path", "notebook", "md", "dagster_run"), str),
    "json": Raw,
    "float": float | NotFinite | None,
    "int": int | bool | None,
    "bool": bool | None,
    "asset": Annotated[list[str], Meta(min_length=1, description="The parts of the asset's key.")],
    "null": None,
    "table": Table,
    "table_schema": TableSchema,
    "table_column_lineage": ColumnLineage,
    "timestamp": Annotated[float | NotFinite, Meta(description="Seconds since the epoch, UTC.")],
}


class ChangedColumn(Struct, frozen=True):
    name: str
    before: Column
    after: Column


class ReportPlace(Struct, frozen=True):
    invocation_id: str
    position: int
    received_at: Time


class SchemaChange(Struct, frozen=True):
    """How a table schema changed from one materialization to the next."""

    invocation_id: str
    position: int
    received_at: Time
    partition_key: str | None
    label: str
    added: list[Column]
    removed: list[Column]
    changed: list[ChangedColumn]
    previous: ReportPlace


class DifferentLeaf(Struct, frozen=True):
    """A place in JSON at which not all are the same."""

    path: str
    values: list[Raw]
    absent: list[bool]
    masked: bool


class ComparedInvocation(Struct, frozen=True):
    id: str
    status: Status
    verdict: VerdictName | None
    job_name: str | None
    partition_key: str | None
    run_id: str | None
    badge: Badge
    judged_by: Literal["launcher"] | None
    judge: str | None
    exit_code: int | None
    created_at: Time
    duration_seconds: float | None
    events: int


class DifferentField(Struct, frozen=True):
    name: str
    values: list[Raw]


class DataVersion(Struct, frozen=True):
    data_version: str | None


class DifferentMaterialization(Struct, frozen=True):
    asset_key: str
    values: list[DataVersion | None]


class DifferentMetadata(Struct, frozen=True, kw_only=True):
    asset_key: str
    label: str
    values: list[MetadataEntry | None]
    parts: list[DifferentLeaf]


class DifferentCheckMetadata(DifferentMetadata, frozen=True, kw_only=True):
    check_name: str


class CheckOutcome(Struct, frozen=True):
    passed: bool
    severity: Literal["WARN", "ERROR"]


class DifferentCheck(Struct, frozen=True):
    asset_key: str
    check_name: str
    values: list[CheckOutcome | None]


class DifferentLines(Struct, frozen=True):
    """A kind of log line that not all have."""

    template: str
    level: str
    counts: list[int]
    positions: list[int | None]


AssetPage = page_of(Asset)
MaterializationPage = page_of(Materialization)
ObservationPage = page_of(Observation)
CheckPage = page_of(CheckResult, name="CheckPage")
SchemaChangePage = page_of(SchemaChange)


class Comparison(Struct, frozen=True):
    """What is not the same in several invocations; values are in the order of `items`."""

    items: list[ComparedInvocation]
    outcome: list[DifferentLeaf]
    context: list[DifferentField]
    extras: list[DifferentLeaf]
    tags: list[DifferentLeaf]
    expected: list[DifferentLeaf]
    launcher: list[DifferentLeaf]
    materializations: list[DifferentMaterialization]
    metadata: list[DifferentMetadata]
    checks: list[DifferentCheck]
    check_metadata: list[DifferentCheckMetadata]
    custom_messages: list[DifferentLeaf]
    counts: list[DifferentLeaf]
    logs: list[DifferentLines]
    logs_complete: list[bool]
    values_complete: list[bool]
