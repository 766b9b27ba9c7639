"""The origins that a secret may be sent to, and the key sets of token issuers, which outlive a restart.

NULL: the secret is bound to no origin.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ORIGINS = "JSON CHECK (length(CAST(origins AS TEXT)) <= 10000)"


def _present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("secrets")}


def upgrade() -> None:
    if "origins" not in _present():
        op.execute(f"ALTER TABLE secrets ADD COLUMN origins {ORIGINS}")
    op.create_table(
        "key_sets",
        sa.Column("url", sa.String, sa.CheckConstraint("length(url) <= 2000"), primary_key=True),
        sa.Column("key_set", sa.String, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("key_sets", if_exists=True)
    if "origins" in _present():
        op.execute("ALTER TABLE secrets DROP COLUMN origins")
