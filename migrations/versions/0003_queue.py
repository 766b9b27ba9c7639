"""The queue in front of a proxy's limit. NULL: none."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if "queue" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("proxies")}:
        op.execute("ALTER TABLE proxies ADD COLUMN queue JSON CHECK (length(CAST(queue AS TEXT)) <= 1000)")


def downgrade() -> None:
    op.execute("ALTER TABLE proxies DROP COLUMN queue")
