"""The databases that the connector `sql` speaks to, each with a new and empty one for a test."""

from __future__ import annotations

import sqlite3
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.mariadb import MariaDb
from harness.postgres import Postgres

MILLION = {
    "postgresql": "SELECT n, CAST('abcdefghij' AS text) AS word FROM generate_series(1, 1000000) AS n",
    "mariadb": "SELECT seq AS n, 'abcdefghij' AS word FROM seq_1_to_1000000",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000000) "
    "SELECT n, 'abcdefghij' AS word FROM s",
}


@dataclass
class Database:
    kind: str
    connection: str
    server: Any

    def file(self, actions: str, **keys: object) -> str:
        """``actions``: lines of YAML."""
        more = "".join(f", {key}: {value}" for key, value in keys.items())
        return (
            f"connections: {{db: {{kind: sql, retry: once, {self.connection}{more}}}}}\nactions:\n"
            + textwrap.indent(textwrap.dedent(actions).strip("\n"), "  ")
        )


def database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Database:
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres_server")
        name, _, folder_of_socket = server.database().removeprefix("postgresql://postgres:@/").partition("?host=")
        return Database(kind, f"url: 'postgresql://postgres@localhost/{name}', socket: {folder_of_socket}", server)
    if kind == "mariadb":
        maria: MariaDb = request.getfixturevalue("mariadb_server")
        return Database(kind, f"url: '{maria.database()}'", maria)
    path = folder / "shop.db"
    sqlite3.connect(path).close()
    return Database(kind, f"url: 'sqlite:///{path}'", None)
