"""Numbers in metadata are taken when somebody looks at their asset, and not when they come.

Those that were taken before are dropped: each asset begins anew when it is looked at.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM metadata_number")
    op.drop_index(op.f("ix_metadata_number_invocation_pk"), table_name="metadata_number")
    places = ["invocation_pk", "position"]
    op.create_index(op.f("ix_metadata_number_invocation_pk_position"), "metadata_number", places)
    # Through which rows of reports they were taken.
    for column in ("numbered_materialization", "numbered_asset_check"):
        op.add_column("asset", sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
