"""What reading history needs: lists by time of registration, text and numbers found across invocations, pins.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any, cast

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AT_A_TIME = 500
# The method whose messages have rows in the table.
_REPORTS = {"report_asset_materialization": "materialization", "report_asset_check": "asset_check"}
_MOST_NUMBERS = 100
_ALONE = ("status", "verdict", "job_name", "run_id", "partition_key")


def upgrade() -> None:
    op.add_column("invocation", sa.Column("family", sa.BigInteger(), nullable=True))
    op.add_column("invocation", sa.Column("pinned_at", sa.BigInteger(), nullable=True))
    _create_text()
    _create_numbers()
    _fill()
    op.drop_column("invocation", "search")
    _create_indexes()


def _owner(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_invocation_pk")
    return sa.ForeignKeyConstraint(["invocation_pk"], ["invocation.pk"], name=name, ondelete="CASCADE")


def _create_text() -> None:
    op.create_table(
        "invocation_text",
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _owner("invocation_text"),
        sa.PrimaryKeyConstraint("created_at", "invocation_pk", "kind", name=op.f("pk_invocation_text")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_invocation_text_invocation_pk"), "invocation_text", ["invocation_pk"])


def _create_numbers() -> None:
    op.create_table(
        "metadata_number",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("asset_pk", sa.BigInteger(), nullable=False),
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["asset_pk"], ["asset.pk"], name=op.f("fk_metadata_number_asset_pk")),
        _owner("metadata_number"),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_metadata_number")),
    )
    columns = ["asset_pk", "check_name", "label", "received_at", "pk"]
    op.create_index("ix_metadata_number_series", "metadata_number", columns)
    op.create_index(op.f("ix_metadata_number_invocation_pk"), "metadata_number", ["invocation_pk"])


def _create_indexes() -> None:
    for column in _ALONE:
        op.drop_index(f"ix_invocation_{column}_pk", "invocation")
        op.create_index(op.f(f"ix_invocation_{column}_created_at_pk"), "invocation", [column, "created_at", "pk"])
    op.drop_index("ix_invocation_created_at", "invocation")
    op.create_index("ix_invocation_created", "invocation", ["created_at", "pk", "status", "verdict"])
    good, pinned = sa.text("verdict = 'succeeded'"), sa.text("pinned_at IS NOT NULL")
    for name, columns, where in (
        ("ix_invocation_good", ["family", "created_at", "pk"], good),
        ("ix_invocation_good_partition", ["family", "partition_key", "created_at", "pk"], good),
        ("ix_invocation_pinned", ["created_at", "pk"], pinned),
    ):
        op.create_index(name, "invocation", columns, sqlite_where=where, postgresql_where=where)
    op.create_index(
        "ix_asset_check_failed",
        "asset_check",
        ["invocation_pk", "severity"],
        sqlite_where=sa.text("passed = 0"),
        postgresql_where=sa.text("NOT passed"),
    )


# What is stored already. Nothing of the server's is used here: it will go on changing, this must not.


def _fill() -> None:
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "INSERT INTO invocation_text (created_at, invocation_pk, kind, text)"
            " SELECT created_at, pk, 'names', search FROM invocation"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO invocation_text (created_at, invocation_pk, kind, text)"
            " SELECT invocation.created_at, invocation_pk, kind, lower(summary) FROM first_error"
            " JOIN invocation ON invocation.pk = invocation_pk"
        )
    )
    families = sa.text("UPDATE invocation SET family = :family WHERE pk = :pk")
    texts = sa.text(
        "INSERT INTO invocation_text (created_at, invocation_pk, kind, text)"
        " VALUES (:created_at, :pk, 'reasons', :text)"
    )
    after = 0
    query = sa.text(
        "SELECT pk, created_at, job_name, asset_keys, reasons FROM invocation WHERE pk > :after"
        " ORDER BY pk LIMIT :limit"
    )
    while rows := connection.execute(query, {"after": after, "limit": _AT_A_TIME}).all():
        after = rows[-1].pk
        connection.execute(families, [{"pk": row.pk, "family": _family(row.job_name, row.asset_keys)} for row in rows])
        reasons = [
            {"pk": row.pk, "created_at": row.created_at, "text": text}
            for row in rows
            if (text := _reasons(row.reasons))
        ]
        if reasons:
            connection.execute(texts, reasons)
    for method, table in _REPORTS.items():
        _fill_numbers(connection, method, table)


def _family(job_name: str | None, asset_keys: str) -> int | None:
    if job_name is None and asset_keys == "[]":
        return None
    digest = hashlib.sha256(json.dumps([job_name, asset_keys]).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _reasons(text: str) -> str:
    details = [str(reason.get("detail", "")) for reason in json.loads(text)]
    return _carried(" ".join(details).lower()[:8192])


def _carried(text: str) -> str:
    return re.sub("[\x00\x01\ud800-\udfff]", lambda found: f"\x01{ord(found.group()):x}\x01", text)


def _fill_numbers(connection: sa.Connection, method: str, table: str) -> None:
    """One row of reports after another; the message of each is cut out of the segment that holds it."""
    name = "check_name" if table == "asset_check" else "'' AS check_name"
    query = sa.text(
        f"SELECT pk, invocation_pk, position, asset_pk, {name}, partition_key, received_at FROM {table}"  # noqa: S608
        " WHERE pk > :after ORDER BY pk LIMIT :limit"
    )
    insert = sa.text(
        "INSERT INTO metadata_number (invocation_pk, position, asset_pk, check_name, label, value, partition_key,"
        " received_at) VALUES (:invocation_pk, :position, :asset_pk, :check_name, :label, :value, :partition_key,"
        " :received_at)"
    )
    after = 0
    kept: tuple[int, int, list[Any]] = (0, 0, [])
    while rows := connection.execute(query, {"after": after, "limit": _AT_A_TIME}).mappings().all():
        after = rows[-1]["pk"]
        found: list[dict[str, Any]] = []
        for row in rows:
            pk, first, messages = kept
            if pk != row["invocation_pk"] or not first <= row["position"] < first + len(messages):
                kept = pk, first, messages = _segment(connection, row["invocation_pk"], row["position"])
            if not first <= row["position"] < first + len(messages):
                continue
            message = _members(messages[row["position"] - first])
            if message.get("method") == method:
                found += [{**row, "label": label, "value": value} for label, value in _numbers(message)]
        if found:
            connection.execute(insert, found)


def _segment(connection: sa.Connection, pk: int, position: int) -> tuple[int, int, list[Any]]:
    query = sa.text(
        "SELECT first_position, encoding, body FROM segment WHERE invocation_pk = :pk AND first_position <= :position"
        " ORDER BY first_position DESC LIMIT 1"
    )
    row = connection.execute(query, {"pk": pk, "position": position}).first()
    if row is None:
        return pk, 0, []
    body = zstandard.ZstdDecompressor().decompress(row.body) if row.encoding else bytes(row.body)
    # A whole number of any length is a float here: plots have no use for its last digits, and Python has a limit.
    return pk, row.first_position, json.loads(body, parse_int=float)


def _numbers(message: dict[str, Any]) -> Iterator[tuple[str, float]]:
    given = 0
    for label, entry in _members(_members(message.get("params")).get("metadata")).items():
        value: object = entry
        if typed := _members(entry):
            value = typed.get("raw_value") if typed.get("type") in ("int", "float", "__infer__") else None
        if isinstance(value, float) and math.isfinite(value) and len(label) <= 512 and given < _MOST_NUMBERS:
            given += 1
            yield _carried(label), value


def _members(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
