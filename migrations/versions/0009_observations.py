"""Observations of assets are found across invocations.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "observation",
        sa.Column("pk", key, nullable=False),
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("asset_pk", sa.BigInteger(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=True),
        sa.Column("data_version", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["asset_pk"], ["asset.pk"], name=op.f("fk_observation_asset_pk")),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_observation_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_observation")),
    )
    op.create_index(op.f("ix_observation_asset_pk_pk"), "observation", ["asset_pk", "pk"])
    op.create_index(op.f("ix_observation_invocation_pk"), "observation", ["invocation_pk"])
