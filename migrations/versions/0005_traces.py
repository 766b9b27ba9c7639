"""Who made a token and from where a login came; what an audit entry changed, from where and with which credential.

NULL: it was not noted yet. Tokens that are there stay as they are: their maker is not known, and those without an end
keep none. A superuser's token has its maker's id as its owner from now on, as a login has: it ends with that superuser.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

COLUMNS = {
    "tokens": {"maker": "VARCHAR", "client": "VARCHAR"},
    "audit": {"client": "VARCHAR", "credential": "VARCHAR", "before": "JSON", "after": "JSON"},
}


def _present(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        present = _present(table)
        for name, definition in columns.items():
            if name not in present:
                op.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" {definition}')
    op.create_index("idx_audit_at", "audit", ["at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("idx_audit_at", "audit", if_exists=True)
    for table, columns in COLUMNS.items():
        present = _present(table)
        for name in columns:
            if name in present:
                op.execute(f'ALTER TABLE {table} DROP COLUMN "{name}"')
