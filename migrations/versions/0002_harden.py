"""The limit, the circuit breaker and the timeouts of a proxy. NULL: the defaults.

May meet a database that has some of the columns: it adds only what is missing, and going down removes all three.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = {
    "max_concurrent": "INTEGER CHECK (max_concurrent BETWEEN 0 AND 10000)",
    "circuit_breaker": "JSON CHECK (length(CAST(circuit_breaker AS TEXT)) <= 1000)",
    "timeout_config": "JSON CHECK (length(CAST(timeout_config AS TEXT)) <= 1000)",
}


def _present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("proxies")}


def upgrade() -> None:
    present = _present()
    for name, definition in COLUMNS.items():
        if name not in present:
            op.execute(f"ALTER TABLE proxies ADD COLUMN {name} {definition}")


def downgrade() -> None:
    present = _present()
    for name in COLUMNS:
        if name in present:
            op.execute(f"ALTER TABLE proxies DROP COLUMN {name}")
