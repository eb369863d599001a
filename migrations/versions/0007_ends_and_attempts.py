"""What launchers say of the end and on the way, the attempts of an invocation, and who is superseded.

No verdict is computed again: what has ended keeps the end it had.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("invocation", sa.Column("pipes_optional", sa.Boolean(), nullable=False, server_default=sa.false()))
    for column in ("platform", "attempts", "notes"):
        op.add_column("invocation", sa.Column(column, sa.Text(), nullable=True))
    op.add_column("invocation", sa.Column("judged_by", sa.String(length=12), nullable=True))
    op.add_column("producer", sa.Column("attempt", sa.Text(), nullable=True))
    op.add_column("producer", sa.Column("superseded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("producer", sa.Column("lineage", sa.Text(), nullable=True))
