"""What reading history needs: lists by time of registration, text and numbers found across invocations, pins.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import hashlib
import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AT_A_TIME = 500
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
    places = ["invocation_pk", "position"]
    op.create_index(op.f("ix_metadata_number_invocation_pk_position"), "metadata_number", places)
    # Filled when somebody looks at an asset.
    for column in ("numbered_materialization", "numbered_asset_check"):
        op.add_column("asset", sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))


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
