"""The endpoints that an operator has drained. A table of their own, because those of the file have no other row."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "drained_endpoints",
        sa.Column("upstream", sa.String, sa.CheckConstraint("length(upstream) <= 100"), primary_key=True),
        sa.Column("origin", sa.String, sa.CheckConstraint("length(origin) <= 2000"), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("drained_endpoints", if_exists=True)
