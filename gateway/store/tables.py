"""The tables as SQLAlchemy Core sees them. `migrations/` makes them; a test compares the two. Times: epoch seconds."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table

HEAD: Final = "0011"
"""The newest revision in `migrations/`; the one that this code works with."""

METADATA = MetaData()

PROXIES = Table(
    "proxies",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("path", String, nullable=False),
    Column("hosts_key", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("settings", JSON, nullable=False),
)

SUPERUSERS = Table(
    "superusers",
    METADATA,
    Column("id", String, primary_key=True),
    Column("email", String, nullable=False),
    Column("password_hash", String, nullable=False),
    Column("created", Float, nullable=False),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("superuser", Boolean, nullable=False),
    Column("owner", String),
    Column("created", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("last_used", Float),
    Column("claims", JSON, nullable=False),
    Column("scope", String),
    Column("maker", String),
    Column("client", String),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("key", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("masked", String, nullable=False),
    Column("description", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("origins", JSON(none_as_null=True)),
)

KEY_SETS = Table(
    "key_sets",
    METADATA,
    Column("url", String, primary_key=True),
    Column("key_set", String, nullable=False),
    Column("updated", Float, nullable=False),
)

DRAINED_ENDPOINTS = Table(
    "drained_endpoints",
    METADATA,
    Column("upstream", String, primary_key=True),
    Column("origin", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
)

CONNECTIONS = Table(
    "connections",
    METADATA,
    Column("id", String, primary_key=True),
    Column("trn", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("sealed", LargeBinary),
)

ACTIONS = Table(
    "actions",
    METADATA,
    Column("id", String, primary_key=True),
    Column("trn", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("sealed", LargeBinary),
    Column("connection", String, nullable=False),
)

GRANTS = Table(
    "grants",
    METADATA,
    Column("connection", String, primary_key=True),
    Column("binding", String, nullable=False),
    Column("access", LargeBinary, nullable=False),
    Column("refresh", LargeBinary),
    Column("issued", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Column("holder", String, nullable=False),
    Column("leased_until", Float, nullable=False),
    Column("error", String, nullable=False),
    Column("author", String, nullable=False),
)

AUTHORIZATIONS = Table(
    "authorizations",
    METADATA,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False, unique=True),
    Column("connection", String, nullable=False),
    Column("binding", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("actor", String, nullable=False),
    Column("credential", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("poll_seconds", Float, nullable=False),
    Column("next_poll", Float, nullable=False),
    Column("status", String, nullable=False),
    Column("message", String, nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("client", String),
    Column("credential", String),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
)

REVISION = Table(
    "revision", METADATA, Column("id", Integer, primary_key=True), Column("value", Integer, nullable=False)
)
