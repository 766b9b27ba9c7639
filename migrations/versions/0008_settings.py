"""The settings of a proxy as one JSON value, as they would stand in the file. A new setting needs no column any more.

Name, path and hosts_key stay columns, because the database keeps them unique. A column that was NULL becomes a key that
is left out, and `timeout` becomes `timeout_config.total`. Going down moves all of it back. Settings for which there is
no column, because they are newer, stay in a nullable column `settings`. Going up finds them there, unless the proxy was
changed meanwhile: then it has what it was changed to and nothing else. Headers of more than 10000 characters, CORS of
more than 20000, upstreams of more than 2000 and other sections of more than 1000 are too long for the columns: going
down then names the proxies and changes nothing.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

JSON: Final = sa.JSON(none_as_null=True)
SETTINGS_CHECK: Final = "length(CAST(settings AS TEXT)) <= 2000000"

PLAIN: Final[Mapping[str, tuple[sa.types.TypeEngine[object], object, object]]] = {
    "hosts": (sa.JSON(), [], None),
    "upstream": (sa.String(), None, None),
    "strip_path": (sa.Boolean(), True, sa.true()),
    "preserve_host": (sa.Boolean(), False, sa.false()),
    "access_rule": (sa.String(), "", ""),
    "headers": (sa.JSON(), {}, None),
    "active": (sa.Boolean(), True, sa.true()),
}
"""Columns of revision 0001 that are never NULL: type, value of a key that is left out, default on the server."""
CHECKS: Final = {
    "proxies_upstream": "length(upstream) BETWEEN 8 AND 2000",
    "proxies_access_rule": "length(access_rule) <= 2000",
    "proxies_headers": "length(CAST(headers AS TEXT)) <= 10000",
    "proxies_timeout": "timeout IS NULL OR timeout BETWEEN 0 AND 86400",
}
KEPT_CHECKS: Final = {
    "proxies_name": "length(name) BETWEEN 1 AND 64",
    "proxies_path": "path LIKE '/%' AND length(path) <= 500",
    "proxies_version": "version >= 1",
}
OPTIONAL: Final[Mapping[str, tuple[sa.types.TypeEngine[object], str]]] = {
    "max_concurrent": (sa.Integer(), "INTEGER CHECK (max_concurrent BETWEEN 0 AND 10000)"),
    "circuit_breaker": (JSON, "JSON CHECK (length(CAST(circuit_breaker AS TEXT)) <= 1000)"),
    "timeout_config": (JSON, "JSON CHECK (length(CAST(timeout_config AS TEXT)) <= 1000)"),
    "queue": (JSON, "JSON CHECK (length(CAST(queue AS TEXT)) <= 1000)"),
    "limiter": (JSON, "JSON CHECK (length(CAST(limiter AS TEXT)) <= 1000)"),
    "server_timing": (sa.Boolean(), "BOOLEAN"),
    "rewrite_location": (sa.Boolean(), "BOOLEAN"),
    "cors": (JSON, "JSON CHECK (length(CAST(cors AS TEXT)) <= 20000)"),
}
"""Columns of later revisions, NULL for the default: type, and the definition that their revision gave them."""
LONGEST: Final = {
    "upstream": 2000,
    "headers": 10000,
    "cors": 20000,
    **dict.fromkeys(("circuit_breaker", "timeout_config", "queue", "limiter"), 1000),
}
"""Characters that the columns of revision 0007 hold, of text or of JSON."""
WITHOUT_COLUMN: Final = {"websocket": False, "clear_text_proxy": False}
"""Settings of a gateway of revision 0007 that had no column, and so always their defaults."""

TYPES: Final[Mapping[str, sa.types.TypeEngine[object]]] = {
    **{name: kind for name, (kind, _, _) in PLAIN.items()},
    "timeout": sa.Float(),
    **{name: kind for name, (kind, _) in OPTIONAL.items()},
}


def upgrade() -> None:
    present = _present()
    old = [name for name in TYPES if name in present]
    if not old:
        return
    if "settings" not in present:
        op.add_column("proxies", sa.Column("settings", JSON))
    table = _table("id", "name", "path", "version", "settings", *old)
    for row in op.get_bind().execute(sa.select(table)).mappings().all():
        _fill(table, row["id"], {"settings": _settings(row, old)})
    op.drop_index("idx_proxies_active", "proxies", if_exists=True)
    checks = {**KEPT_CHECKS, "proxies_settings": SETTINGS_CHECK}
    with op.batch_alter_table("proxies", table_args=_restated(checks)) as batch:
        for name in _checks() - (KEPT_CHECKS.keys() if _alters() else set()):
            batch.drop_constraint(name, type_="check")
        batch.alter_column("settings", existing_type=JSON, nullable=False)
        for name in old:
            batch.drop_column(name)
        if _alters():
            batch.create_check_constraint("proxies_settings", SETTINGS_CHECK)


def downgrade() -> None:
    if "upstream" in _present():
        return
    rows = op.get_bind().execute(sa.select(_table("id", "name", "version", "settings"))).mappings().all()
    if too_long := [text for row in rows for text in _too_long(row)]:
        raise ValueError("; ".join(too_long))
    rest = {row["id"]: dict(_without_column(row["settings"])) for row in rows}
    _back_to_0001(rows, keep=any(rest.values()))
    for name, (_, definition) in OPTIONAL.items():
        op.execute(f"ALTER TABLE proxies ADD COLUMN {name} {definition}")
    for row in rows:
        _fill(_table("id", *OPTIONAL), row["id"], _optional(row["settings"]))
        if any(rest.values()):
            kept = {"version": row["version"], "settings": rest[row["id"]]} if rest[row["id"]] else None
            _fill(_table("id", "settings"), row["id"], {"settings": kept})
    op.create_index("idx_proxies_active", "proxies", ["active"])


def _back_to_0001(rows: list[sa.RowMapping], *, keep: bool) -> None:
    """The columns of revision 0001, with their values. ``keep``: the column `settings` stays too, and may be NULL.

    They come first, because SQLite makes the table again for the checks, and would make the checks of single columns
    to checks of the table, which keep a column from being dropped.
    """
    for name in (*PLAIN, "timeout"):
        op.add_column("proxies", sa.Column(name, TYPES[name]))
    for row in rows:
        _fill(_table("id", *PLAIN, "timeout"), row["id"], _plain(row["settings"]))
    with op.batch_alter_table("proxies", table_args=_restated({**KEPT_CHECKS, **CHECKS})) as batch:
        for name in _checks() - (KEPT_CHECKS.keys() if _alters() else set()):
            batch.drop_constraint(name, type_="check")
        for name, (kind, _, default) in PLAIN.items():
            batch.alter_column(name, existing_type=kind, nullable=False, server_default=default)
        if keep:
            batch.alter_column("settings", existing_type=JSON, nullable=True)
        else:
            batch.drop_column("settings")
        if _alters():
            for name, rule in CHECKS.items():
                batch.create_check_constraint(name, rule)


def _settings(row: sa.RowMapping, old: list[str]) -> dict[str, object]:
    """The row as it would stand in the file. What is kept in `settings` had no column, and is older than a change."""
    kept = row["settings"] or {}
    newer = kept.get("settings", {}) if kept.get("version") == row["version"] else {}
    values = {name: row[name] for name in old if name not in ("timeout", "timeout_config") and row[name] is not None}
    timeouts = dict(row.get("timeout_config") or {})
    if row.get("timeout"):
        timeouts["total"] = row["timeout"]
    timeout_config = {"timeout_config": timeouts} if timeouts else {}
    return {**newer, "name": row["name"], "path": row["path"], **values, **timeout_config}


def _too_long(row: sa.RowMapping) -> Iterator[str]:
    """What of the proxy does not fit into the columns."""
    for key, most in LONGEST.items():
        value = row["settings"].get(key)
        text = value if isinstance(value, str) else json.dumps(value)
        if value is not None and len(text) > most:
            yield f"{key} of proxy {row['name']} has more than {most} characters; shorten it"


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    values = {name: settings.get(name, default) for name, (_, default, _) in PLAIN.items()}
    return {**values, "timeout": _timeouts(settings).get("total") or None}


def _optional(settings: Mapping[str, object]) -> dict[str, object]:
    timeouts = {name: value for name, value in _timeouts(settings).items() if name != "total"}
    return {**{name: settings.get(name) for name in OPTIONAL}, "timeout_config": timeouts or None}


def _timeouts(settings: Mapping[str, object]) -> Mapping[str, object]:
    found = settings.get("timeout_config")
    return found if isinstance(found, Mapping) else {}


def _without_column(settings: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if name not in ("name", "path", *TYPES) and not (name in WITHOUT_COLUMN and value == WITHOUT_COLUMN[name]):
            yield name, value


def _present() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("proxies")}


def _checks() -> set[str]:
    """The checks of the table that have a name of ours."""
    ours = {*KEPT_CHECKS, *CHECKS, "proxies_settings"}
    found = (check["name"] for check in sa.inspect(op.get_bind()).get_check_constraints("proxies"))
    return {name for name in found if name in ours}


def _alters() -> bool:
    """Whether the database changes a table in place. SQLite makes it again, and its checks have to be restated."""
    return op.get_bind().dialect.name != "sqlite"


def _restated(checks: Mapping[str, str]) -> list[sa.CheckConstraint]:
    return [] if _alters() else [sa.CheckConstraint(rule, name=name) for name, rule in checks.items()]


def _table(*columns: str) -> sa.TableClause:
    kinds = {
        "id": sa.String(),
        "name": sa.String(),
        "path": sa.String(),
        "version": sa.Integer(),
        "settings": JSON,
        **TYPES,
    }
    return sa.table("proxies", *(sa.column(name, kinds[name]) for name in columns))


def _fill(table: sa.TableClause, id_: str, values: Mapping[str, object]) -> None:
    op.get_bind().execute(sa.update(table).where(table.c.id == id_).values(**values))
