"""How a proxy's limit is applied, whether its answers tell where the time went, and tokens that may only read metrics.

NULL: the defaults. Going down deletes the tokens that have a scope: without it they would be good for everything.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = {
    "proxies": {
        "limiter": "JSON CHECK (length(CAST(limiter AS TEXT)) <= 1000)",
        "server_timing": "BOOLEAN",
    },
    "tokens": {"scope": "VARCHAR CHECK (scope IN ('metrics'))"},
}


def _present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        present = _present(table)
        for name, definition in columns.items():
            if name not in present:
                op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        present = _present(table)
        if "scope" in present:
            op.execute("DELETE FROM tokens WHERE scope IS NOT NULL")
        for name in columns:
            if name in present:
                op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
