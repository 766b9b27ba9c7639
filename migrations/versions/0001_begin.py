"""Proxies, superusers, tokens, secrets, the audit trail and the count of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "proxies",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("hosts", sa.JSON, nullable=False),
        sa.Column("hosts_key", sa.String, nullable=False),
        sa.Column("upstream", sa.String, nullable=False),
        sa.Column("strip_path", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("preserve_host", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("access_rule", sa.String, nullable=False, server_default=""),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("timeout", sa.Float),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 64", name="proxies_name"),
        sa.CheckConstraint("path LIKE '/%' AND length(path) <= 500", name="proxies_path"),
        sa.CheckConstraint("length(upstream) BETWEEN 8 AND 2000", name="proxies_upstream"),
        sa.CheckConstraint("length(access_rule) <= 2000", name="proxies_access_rule"),
        sa.CheckConstraint("length(CAST(headers AS TEXT)) <= 10000", name="proxies_headers"),
        sa.CheckConstraint("timeout IS NULL OR timeout BETWEEN 0 AND 86400", name="proxies_timeout"),
        sa.CheckConstraint("version >= 1", name="proxies_version"),
    )
    # The path is unique for the same hosts: "" stands for every host.
    op.create_index("idx_proxies_path", "proxies", ["path", "hosts_key"], unique=True)
    op.create_index("idx_proxies_active", "proxies", ["active"])
    op.create_table(
        "superusers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("email", sa.String, nullable=False, unique=True),
        sa.Column("password_hash", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.CheckConstraint("email = lower(email) AND length(email) BETWEEN 3 AND 254", name="superusers_email"),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("superuser", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String, sa.ForeignKey("superusers.id", ondelete="CASCADE")),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("last_used", sa.Float),
        sa.Column("claims", sa.JSON, nullable=False),
        sa.CheckConstraint("length(digest) = 64", name="tokens_digest"),
        sa.CheckConstraint("kind IN ('token', 'superuser')", name="tokens_kind"),
        sa.CheckConstraint("length(CAST(claims AS TEXT)) <= 10000", name="tokens_claims"),
    )
    op.create_table(
        "secrets",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("masked", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False, server_default=""),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.CheckConstraint("length(key) BETWEEN 1 AND 256", name="secrets_key"),
        sa.CheckConstraint("length(value) <= 5000", name="secrets_value"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    revision_table = op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name="revision_one_row"),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])


def downgrade() -> None:
    for table in ("revision", "audit", "secrets", "tokens", "superusers", "proxies"):
        op.drop_table(table)
