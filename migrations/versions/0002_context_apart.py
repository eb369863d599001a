"""The context in a table of its own, so that an append does not write it anew with the invocation's row.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invocation_context",
        sa.Column("invocation_pk", sa.BigInteger(), nullable=False),
        sa.Column("context", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_pk"], ["invocation.pk"], name=op.f("fk_invocation_context_invocation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_pk", name=op.f("pk_invocation_context")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # It is compressed already.
        op.execute("ALTER TABLE invocation_context ALTER COLUMN context SET STORAGE EXTERNAL")
    op.execute("INSERT INTO invocation_context (invocation_pk, context) SELECT pk, context FROM invocation")
    # By ALTER TABLE on SQLite too: a copy of the table would cascade to everything that refers to it.
    op.drop_column("invocation", "context")
