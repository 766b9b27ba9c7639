"""Whether a proxy rewrites the locations of its upstream, and what its own responses tell browsers.

NULL: the defaults.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = {
    "rewrite_location": "BOOLEAN",
    "cors": "JSON CHECK (length(CAST(cors AS TEXT)) <= 20000)",
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
