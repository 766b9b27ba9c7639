"""Connections and actions, as proxies are stored: unique values in columns, all others as one JSON value.

Secrets are not in it: `sealed` has them, encrypted. An action has no foreign key, because its connection may stand in
the configuration file. Going down removes both tables with all in them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

JSON = sa.JSON(none_as_null=True)


def _columns(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("trn", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.UniqueConstraint("trn", name=f"{table}_trn_key"),
        sa.UniqueConstraint("tenant", "name", name=f"{table}_name_key"),
        sa.CheckConstraint("length(trn) <= 300", name=f"{table}_trn"),
        sa.CheckConstraint("length(tenant) BETWEEN 1 AND 64", name=f"{table}_tenant"),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 80", name=f"{table}_name"),
        sa.CheckConstraint("version >= 1", name=f"{table}_version"),
        sa.CheckConstraint("length(CAST(settings AS TEXT)) <= 2000000", name=f"{table}_settings"),
        sa.CheckConstraint("sealed IS NULL OR length(sealed) <= 2000000", name=f"{table}_sealed"),
    ]


def upgrade() -> None:
    op.create_table("connections", *_columns("connections"), if_not_exists=True)
    op.create_table(
        "actions", *_columns("actions"), sa.Column("connection", sa.String, nullable=False), if_not_exists=True
    )
    op.create_index("idx_actions_connection", "actions", ["tenant", "connection"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("actions", if_exists=True)
    op.drop_table("connections", if_exists=True)
