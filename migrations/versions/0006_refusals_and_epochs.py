"""Refused requests are counted, and each server's writers number their commits.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refusals",
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("standing", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_refusals_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_pk", name=op.f("pk_refusals")),
    )
    op.create_table(
        "server_writer",
        sa.Column("server_id", sa.String(length=40), nullable=False),
        sa.Column("writer", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", "writer", name=op.f("pk_server_writer")),
    )
