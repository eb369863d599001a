"""The values that describe tables: records, schema, columns, constraints and column lineage.

They hold and compare; what is checked is their shape on the way to the wire, by `standpipe_protocol.metadata`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_protocol.json_text import JsonValue


@dataclass(frozen=True, slots=True)
class TableRecord:
    """One row: column name -> string, number, boolean or None."""

    data: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class TableConstraints:
    """Constraints on a whole table, as texts."""

    other: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "other", list(self.other))


@dataclass(frozen=True, slots=True)
class TableColumnConstraints:
    """Constraints on one column; those without a field of their own are texts in `other`."""

    nullable: bool = True
    unique: bool = False
    other: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "other", list(self.other))


@dataclass(frozen=True, slots=True)
class TableColumn:
    name: str
    type: str
    description: str | None
    constraints: TableColumnConstraints
    tags: Mapping[str, str]

    def __init__(
        self,
        name: str,
        type: str = "string",
        description: str | None = None,
        constraints: TableColumnConstraints | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "constraints", constraints or TableColumnConstraints())
        object.__setattr__(self, "tags", dict(tags or {}))

    def to_wire(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "tags": dict(self.tags),
            "constraints": {
                "nullable": self.constraints.nullable,
                "unique": self.constraints.unique,
                "other": list(self.constraints.other),
            },
        }


@dataclass(frozen=True, slots=True)
class TableSchema:
    columns: Sequence[TableColumn]
    constraints: TableConstraints

    def __init__(self, columns: Sequence[TableColumn], constraints: TableConstraints | None = None) -> None:
        object.__setattr__(self, "columns", list(columns))
        object.__setattr__(self, "constraints", constraints or TableConstraints())

    def to_wire(self) -> dict[str, JsonValue]:
        return {
            "columns": [column.to_wire() for column in self.columns],
            "constraints": {"other": list(self.constraints.other)},
        }

    @classmethod
    def from_name_type_dict(cls, name_type_dict: Mapping[str, str]) -> TableSchema:
        """A schema of columns that have a name and a type, and nothing more."""
        return cls(columns=[TableColumn(name=name, type=kind) for name, kind in name_type_dict.items()])


@dataclass(frozen=True, slots=True)
class TableColumnDep:
    """A column of an upstream asset."""

    asset_key: AssetKey
    column_name: str

    def __init__(self, asset_key: CoercibleToAssetKey, column_name: str) -> None:
        object.__setattr__(self, "asset_key", AssetKey.from_coercible(asset_key))
        object.__setattr__(self, "column_name", column_name)


@dataclass(frozen=True, slots=True)
class TableColumnLineage:
    """For each column the upstream columns it is made from, in the order of their keys and names."""

    deps_by_column: Mapping[str, Sequence[TableColumnDep]]

    def __post_init__(self) -> None:
        ordered = {
            column: sorted(deps, key=lambda dep: (dep.asset_key, dep.column_name))
            for column, deps in self.deps_by_column.items()
        }
        object.__setattr__(self, "deps_by_column", ordered)

    def to_wire(self) -> dict[str, JsonValue]:
        deps_by_column: dict[str, JsonValue] = {
            column: [{"asset_key": dep.asset_key.path, "column_name": dep.column_name} for dep in deps]  # pyright: ignore[reportAssignmentType]  list[str] is JSON, list is invariant
            for column, deps in self.deps_by_column.items()
        }
        return {"deps_by_column": deps_by_column}
