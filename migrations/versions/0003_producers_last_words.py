"""When a producer spoke last, the ledger it told, and which process it said it is.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("producer", sa.Column("heard_at", sa.BigInteger(), nullable=True))
    op.add_column("producer", sa.Column("told", sa.Text(), nullable=True))
    op.add_column("producer", sa.Column("process", sa.Text(), nullable=True))
