"""The access tokens of connections, encrypted, and the authorizations that a person has begun.

``holder`` and ``leased_until``: the process that gets the next token; no lock is held meanwhile. They are no
configuration, so that a change counts as no revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "grants",
        sa.Column("connection", sa.String, sa.CheckConstraint("length(connection) <= 400"), primary_key=True),
        sa.Column("binding", sa.String, nullable=False),
        sa.Column("access", sa.LargeBinary, sa.CheckConstraint("length(access) <= 70000"), nullable=False),
        sa.Column("refresh", sa.LargeBinary, sa.CheckConstraint("length(refresh) <= 70000")),
        sa.Column("issued", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("leased_until", sa.Float, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "authorizations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False, unique=True),
        sa.Column("connection", sa.String, sa.CheckConstraint("length(connection) <= 400"), nullable=False),
        sa.Column("binding", sa.String, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("credential", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("poll_seconds", sa.Float, nullable=False),
        sa.Column("next_poll", sa.Float, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("message", sa.String, sa.CheckConstraint("length(message) <= 500"), nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("authorizations", if_exists=True)
    op.drop_table("grants", if_exists=True)
