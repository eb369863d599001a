"""Numbers in metadata that are not finite are kept by their names, and more than a hundred of one message.

What was taken out of reports before is dropped: each asset begins anew when it is looked at.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM metadata_number")
    with op.batch_alter_table("metadata_number") as table:
        table.alter_column("value", existing_type=sa.Float(), nullable=True)
        table.add_column(sa.Column("not_finite", sa.String(length=9), nullable=True))
    op.execute("UPDATE asset SET numbered_materialization = 0, numbered_asset_check = 0")
