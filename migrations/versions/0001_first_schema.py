"""The first schema: invocations, producers, segments and the projections that are searched across invocations.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("asset_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_asset")),
        sa.UniqueConstraint("asset_key", name=op.f("uq_asset_asset_key")),
    )
    op.create_table(
        "invocation",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("context", sa.LargeBinary(), nullable=False),
        sa.Column("asset_keys", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("launcher", sa.Text(), nullable=True),
        sa.Column("retry_of", sa.String(length=40), nullable=True),
        sa.Column("job_name", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("partition_key", sa.Text(), nullable=True),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("last_event_at", sa.BigInteger(), nullable=True),
        sa.Column("open_within", sa.Float(), nullable=False),
        sa.Column("settle", sa.Float(), nullable=False),
        sa.Column("lease_seconds", sa.Float(), nullable=False),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_lost", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested_at", sa.BigInteger(), nullable=True),
        sa.Column("finish", sa.Text(), nullable=True),
        sa.Column("producers_opened", sa.Integer(), nullable=False),
        sa.Column("producers_open", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_invocation")),
        sa.UniqueConstraint("id", name=op.f("uq_invocation_id")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_invocation_idempotency_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_invocation_created_at"), "invocation", ["created_at"], unique=False)
    op.create_index(
        "ix_invocation_due",
        "invocation",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_invocation_job_name_pk"), "invocation", ["job_name", "pk"], unique=False)
    op.create_index(op.f("ix_invocation_partition_key_pk"), "invocation", ["partition_key", "pk"], unique=False)
    op.create_index(op.f("ix_invocation_retry_of"), "invocation", ["retry_of"], unique=False)
    op.create_index(op.f("ix_invocation_run_id_pk"), "invocation", ["run_id", "pk"], unique=False)
    op.create_index(op.f("ix_invocation_status_pk"), "invocation", ["status", "pk"], unique=False)
    op.create_index(op.f("ix_invocation_verdict_pk"), "invocation", ["verdict", "pk"], unique=False)
    op.create_table(
        "append_key",
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_append_key_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_pk", "key", name=op.f("pk_append_key")),
    )
    op.create_table(
        "asset_check",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("asset_pk", sa.BigInteger(), nullable=False),
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(length=5), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["asset_pk"], ["asset.pk"], name=op.f("fk_asset_check_asset_pk")),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_asset_check_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_asset_check")),
    )
    op.create_index(
        op.f("ix_asset_check_asset_pk_check_name_pk"), "asset_check", ["asset_pk", "check_name", "pk"], unique=False
    )
    op.create_index(op.f("ix_asset_check_asset_pk_pk"), "asset_check", ["asset_pk", "pk"], unique=False)
    op.create_index(op.f("ix_asset_check_invocation_pk"), "asset_check", ["invocation_pk"], unique=False)
    op.create_table(
        "first_error",
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_first_error_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_pk", "kind", name=op.f("pk_first_error")),
    )
    op.create_index(op.f("ix_first_error_received_at"), "first_error", ["received_at"], unique=False)
    op.create_table(
        "history",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_history_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_history")),
    )
    op.create_index(op.f("ix_history_invocation_pk_pk"), "history", ["invocation_pk", "pk"], unique=False)
    op.create_table(
        "invocation_asset",
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("asset_pk", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["asset_pk"], ["asset.pk"], name=op.f("fk_invocation_asset_asset_pk")),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_invocation_asset_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_pk", "asset_pk", name=op.f("pk_invocation_asset")),
    )
    op.create_index(
        op.f("ix_invocation_asset_asset_pk_invocation_pk"),
        "invocation_asset",
        ["asset_pk", "invocation_pk"],
        unique=False,
    )
    op.create_table(
        "invocation_tag",
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_invocation_tag_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_pk", "name", name=op.f("pk_invocation_tag")),
    )
    op.create_index(
        op.f("ix_invocation_tag_name_value_invocation_pk"),
        "invocation_tag",
        ["name", "value", "invocation_pk"],
        unique=False,
    )
    op.create_table(
        "invocation_token",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_invocation_token_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_invocation_token")),
    )
    op.create_index(op.f("ix_invocation_token_invocation_pk"), "invocation_token", ["invocation_pk"], unique=False)
    op.create_table(
        "materialization",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("asset_pk", sa.BigInteger(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=True),
        sa.Column("data_version", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["asset_pk"], ["asset.pk"], name=op.f("fk_materialization_asset_pk")),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_materialization_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_materialization")),
        sa.UniqueConstraint("invocation_pk", "asset_pk", name=op.f("uq_materialization_invocation_pk_asset_pk")),
    )
    op.create_index(
        "ix_materialization_partition",
        "materialization",
        ["asset_pk", "partition_key", "pk"],
        unique=False,
        sqlite_where=sa.text("partition_key IS NOT NULL"),
        postgresql_where=sa.text("partition_key IS NOT NULL"),
    )
    op.create_index(op.f("ix_materialization_asset_pk_pk"), "materialization", ["asset_pk", "pk"], unique=False)
    op.create_table(
        "producer",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("numbered", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("rejected_counts", sa.Text(), nullable=False),
        sa.Column("ledger", sa.Text(), nullable=True),
        sa.Column("exception", sa.Text(), nullable=True),
        sa.Column("first_rejection", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_producer_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_producer")),
        sa.UniqueConstraint("invocation_pk", "name", name=op.f("uq_producer_invocation_pk_name")),
    )
    op.create_table(
        "segment",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("first_position", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("producer_pk", sa.BigInteger(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("methods", sa.SmallInteger(), nullable=False),
        sa.Column("encoding", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("runs", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_segment_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_segment")),
    )
    op.create_index(
        "ix_segment_problems",
        "segment",
        ["invocation_pk"],
        unique=False,
        sqlite_where=sa.text("problems IS NOT NULL"),
        postgresql_where=sa.text("problems IS NOT NULL"),
    )
    op.create_index("uq_segment_position", "segment", ["invocation_pk", "first_position"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        # These are compressed before they are stored; PostgreSQL need not try again.
        op.execute("ALTER TABLE segment ALTER COLUMN body SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE invocation ALTER COLUMN context SET STORAGE EXTERNAL")
