"""Metadata values as orchestration code sees them: Dagster's classes, made from the protocol's one normal form.

`metadata_conversion` makes them from what was reported and from plain Python values; what `to_wire` writes, it reads
back to an equal value.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Generic, TypeVar, cast

from standpipe_orchestrator.errors import InvalidMetadata
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_orchestrator.values.tables import TableColumn, TableColumnLineage, TableRecord, TableSchema
from standpipe_protocol.json_text import JsonObject, JsonValue, encode_json
from standpipe_protocol.metadata import float_to_raw

T_co = TypeVar("T_co", covariant=True)
_NONE = type(None)


class MetadataConstructors(type):
    """`MetadataValue.url(...)` and its like, one for each type.

    They live in the metaclass, so that `MetadataValue.text("x")` makes a value while `value.text` of a made one is its
    text: Dagster has both under the same names.
    """

    def __new__(
        mcs, name: builtins.str, bases: tuple[type, ...], members: dict[builtins.str, object], **options: object
    ) -> MetadataConstructors:
        return super().__new__(mcs, name, bases, {"__slots__": (), **members}, **options)

    def text(cls, text: builtins.str | None) -> TextMetadataValue:
        return TextMetadataValue(text)

    def url(cls, url: builtins.str | None) -> UrlMetadataValue:
        return UrlMetadataValue(url)

    def path(cls, path: builtins.str | os.PathLike[builtins.str] | None) -> PathMetadataValue:
        return PathMetadataValue(path)

    def notebook(cls, path: builtins.str | os.PathLike[builtins.str] | None) -> NotebookMetadataValue:
        return NotebookMetadataValue(path)

    def json(cls, data: object) -> JsonMetadataValue:
        return JsonMetadataValue(data)

    def md(cls, data: builtins.str | None) -> MarkdownMetadataValue:
        return MarkdownMetadataValue(data)

    def float(cls, value: builtins.float | None) -> FloatMetadataValue:
        return FloatMetadataValue(value)

    def int(cls, value: builtins.int | None) -> IntMetadataValue:
        return IntMetadataValue(value)

    def bool(cls, value: builtins.bool | None) -> BoolMetadataValue:
        return BoolMetadataValue(value)

    def timestamp(cls, value: builtins.float | datetime) -> TimestampMetadataValue:
        """Seconds since the epoch, or a datetime that knows its zone."""
        return TimestampMetadataValue(value)

    def dagster_run(cls, run_id: builtins.str) -> DagsterRunMetadataValue:
        return DagsterRunMetadataValue(run_id)

    def asset(cls, asset_key: CoercibleToAssetKey) -> DagsterAssetMetadataValue:
        return DagsterAssetMetadataValue(asset_key)

    def table(cls, records: Sequence[TableRecord], schema: TableSchema | None = None) -> TableMetadataValue:
        return TableMetadataValue(records, schema)

    def table_schema(cls, schema: TableSchema) -> TableSchemaMetadataValue:
        return TableSchemaMetadataValue(schema)

    def column_lineage(cls, lineage: TableColumnLineage) -> TableColumnLineageMetadataValue:
        return TableColumnLineageMetadataValue(lineage)

    def null(cls) -> NullMetadataValue:
        return NullMetadataValue()


class MetadataValue(metaclass=MetadataConstructors):
    """A typed metadata value; `value` is the plain Python value. `MetadataValue.url(...)` and its like make them."""

    __slots__ = ("_value",)
    metadata_type: ClassVar[str] = ""
    _field: ClassVar[str] = "value"
    _accepted: ClassVar[tuple[type, ...]] = (object,)

    def __init_subclass__(
        cls, type: str | None = None, field: str | None = None, accepts: tuple[type, ...] | None = None
    ) -> None:
        """What is not given is the parent's.

        Args:
            type: the protocol's name of the type.
            field: the name of the value in Dagster's class.
            accepts: the Python types of the value.
        """
        super().__init_subclass__()
        if type is not None:
            cls.metadata_type = type
        if field is not None:
            cls._field = field
        if accepts is not None:
            cls._accepted = accepts

    def __init__(self, value: object) -> None:
        if not isinstance(value, self._accepted):
            expected = " or ".join("None" if kind is _NONE else kind.__name__ for kind in self._accepted)
            raise InvalidMetadata(
                f"{type(self).__name__} was given {value!r} ({type(value).__name__}); expected {expected}."
            )
        self._value = value

    def __setstate__(self, state: tuple[None, dict[builtins.str, object]]) -> None:
        """Of a pickle; older versions called the slot `_held`."""
        for name, value in state[1].items():
            setattr(self, "_value" if name == "_held" else name, value)

    @property
    def value(self) -> object:
        return self._value

    def to_wire(self) -> JsonObject:
        """`{"type": ..., "raw_value": ...}` in the protocol's normal form, non-finite numbers as their names."""
        return {"type": self.metadata_type, "raw_value": self._raw()}

    def _raw(self) -> JsonValue:
        return cast("JsonValue", self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, MetadataValue) and type(other) is type(self) else False

    def __hash__(self) -> int:
        return hash((type(self).__name__, repr(self._value)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._field}={self._value!r})"


class _Typed(MetadataValue, Generic[T_co]):
    """A metadata value with a typed `value`."""

    _value: T_co

    def __init__(self, value: T_co) -> None:
        super().__init__(value)

    @property
    def value(self) -> T_co:
        return self._value


class TextMetadataValue(_Typed[str], type="text", field="text", accepts=(str,)):
    """A text; None is the empty text, as in Dagster."""

    def __init__(self, text: str | None) -> None:
        super().__init__("" if text is None else text)

    @property
    def text(self) -> str:
        return self._value


class UrlMetadataValue(_Typed[str], type="url", field="url", accepts=(str,)):
    """An address; None is the empty one, as in Dagster."""

    def __init__(self, url: str | None) -> None:
        super().__init__("" if url is None else url)

    @property
    def url(self) -> str:
        return self._value


class PathMetadataValue(_Typed[str], type="path", field="path", accepts=(str,)):
    """A path; None is the empty path, as in Dagster."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        super().__init__("" if path is None else _path_text(path))

    @property
    def path(self) -> str:
        return self._value


class NotebookMetadataValue(_Typed[str], type="notebook", field="path", accepts=(str,)):
    """A notebook's path; None is the empty path, as in Dagster."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        super().__init__("" if path is None else _path_text(path))

    @property
    def path(self) -> str:
        return self._value


class JsonMetadataValue(_Typed[JsonValue], type="json", field="data"):
    """JSON data. What JSON cannot carry is refused here, where it is written.

    Attributes:
        problem: of a value that was reported as another type and did not fit it: why it is kept as JSON.
    """

    __slots__ = ("problem",)

    def __init__(self, data: object, *, problem: str | None = None) -> None:
        self.problem = problem
        try:
            encode_json(data)
        except (TypeError, ValueError) as error:
            raise InvalidMetadata(f"JsonMetadataValue was given a {type(data).__name__}: {error}.") from None
        super().__init__(cast("JsonValue", data))

    def __setstate__(self, state: tuple[None, dict[builtins.str, object]]) -> None:
        # The first versions had no `problem`.
        super().__setstate__((None, {"problem": None, **state[1]}))

    @property
    def data(self) -> JsonValue:
        return self._value

    def to_wire(self) -> JsonObject:
        wire = super().to_wire()
        return wire if self.problem is None else {**wire, "problem": self.problem}


class MarkdownMetadataValue(_Typed[str], type="md", field="md_str", accepts=(str,)):
    """Markdown text; None is the empty text, as in Dagster."""

    def __init__(self, md_str: str | None) -> None:
        super().__init__("" if md_str is None else md_str)

    @property
    def md_str(self) -> str:
        return self._value


class FloatMetadataValue(_Typed["float | None"], type="float", accepts=(float, _NONE)):
    def __init__(self, value: float | None) -> None:
        super().__init__(float(value) if isinstance(value, int) else value)

    def _raw(self) -> JsonValue:
        return None if self._value is None else float_to_raw(self._value)


class IntMetadataValue(_Typed["int | None"], type="int", accepts=(int, _NONE)):
    pass


class BoolMetadataValue(_Typed["bool | None"], type="bool", accepts=(bool, _NONE)):
    pass


class TimestampMetadataValue(_Typed[float], type="timestamp", accepts=(float,)):
    """Seconds since the epoch. A datetime must know its zone."""

    def __init__(self, value: float | datetime) -> None:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise InvalidMetadata(
                    f"TimestampMetadataValue was given {value!r}, which has no time zone. "
                    "Give it one, for example with value.replace(tzinfo=timezone.utc)."
                )
            value = value.timestamp()
        super().__init__(float(value) if isinstance(value, int) else value)

    def _raw(self) -> JsonValue:
        return float_to_raw(self._value)


class DagsterRunMetadataValue(_Typed[str], type="dagster_run", field="run_id", accepts=(str,)):
    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)

    @property
    def run_id(self) -> str:
        return self._value


class DagsterAssetMetadataValue(_Typed[AssetKey], type="asset", field="asset_key"):
    def __init__(self, asset_key: CoercibleToAssetKey) -> None:
        super().__init__(AssetKey.from_coercible(asset_key))

    @property
    def asset_key(self) -> AssetKey:
        return self._value

    def _raw(self) -> JsonValue:
        return list[JsonValue](self._value.path)


class NullMetadataValue(_Typed[None], type="null"):
    def __init__(self) -> None:
        super().__init__(None)

    def __repr__(self) -> str:
        return "NullMetadataValue()"


class TableSchemaMetadataValue(_Typed[TableSchema], type="table_schema", field="schema"):
    def __init__(self, schema: TableSchema) -> None:
        super().__init__(schema)

    @property
    def schema(self) -> TableSchema:
        return self._value

    def _raw(self) -> JsonValue:
        return self._value.to_wire()


class TableColumnLineageMetadataValue(_Typed[TableColumnLineage], type="table_column_lineage", field="column_lineage"):
    def __init__(self, column_lineage: TableColumnLineage) -> None:
        super().__init__(column_lineage)

    @property
    def column_lineage(self) -> TableColumnLineage:
        return self._value

    def _raw(self) -> JsonValue:
        return self._value.to_wire()


class TableMetadataValue(MetadataValue, type="table"):
    """Rows and their schema; a schema that is not given is inferred from the first row. `value` is the value itself."""

    _value: tuple[list[TableRecord], TableSchema]

    def __init__(self, records: Sequence[TableRecord], schema: TableSchema | None = None) -> None:
        super().__init__((list(records), schema or _schema_of(records)))

    @property
    def value(self) -> TableMetadataValue:
        return self

    @property
    def records(self) -> list[TableRecord]:
        return self._value[0]

    @property
    def schema(self) -> TableSchema:
        return self._value[1]

    def _raw(self) -> JsonValue:
        return {"records": [dict(record.data) for record in self.records], "schema": self.schema.to_wire()}

    def __repr__(self) -> str:
        return f"TableMetadataValue(records={self.records!r}, schema={self.schema!r})"


def _path_text(path: str | os.PathLike[str]) -> str:
    return os.fspath(path) if isinstance(path, os.PathLike) else path


def _schema_of(records: Sequence[TableRecord]) -> TableSchema:
    kinds: dict[type, str] = {bool: "bool", int: "int", float: "float"}
    columns = records[0].data.items() if records else ()
    return TableSchema(columns=[TableColumn(name, kinds.get(type(value), "string")) for name, value in columns])
