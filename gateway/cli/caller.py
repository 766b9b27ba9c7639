"""Where a command acts: on the database here, or on a gateway far away. Both speak the routes of the REST API.

Exit codes: 0; 1 failed; 2 bad input; 3 conflict; 4 not found; 5 not logged in, or not allowed.
"""

from __future__ import annotations

import asyncio
import functools
import os
import pathlib
import sys
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import click
import orjson

Json = Any
_EXIT_CODES: Final = {400: 2, 401: 5, 403: 5, 404: 4, 409: 3, 413: 2, 415: 2, 428: 3}


class Caller(Protocol):
    """``path`` is below ``/api/gateway``."""

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **query: object) -> Json:
        """The body of the answer. Raises `AdminError`."""
        ...


class Target:
    """What the options of a command say about where it acts and how it answers."""

    def __init__(
        self,
        config: pathlib.Path | None,
        database: str | None,
        server: str | None,
        token: str | None,
        token_file: pathlib.Path | None,
        json: bool,
    ) -> None:
        self.config = config
        self.database = database
        self.server = server
        self._token = token
        self._token_file = token_file
        self.json = json

    def run(self, work: Callable[[Caller], Awaitable[None]]) -> None:
        """Do ``work`` there; what is refused ends the program with a sentence and its exit code."""
        from gateway.admin.problem import AdminError
        from gateway.store.problem import StoreError

        try:
            asyncio.run(self._run(work))
        except AdminError as error:
            self._fail(error)
        except (StoreError, OSError) as error:
            raise click.ClickException(str(error)) from None

    def show(self, value: Json, text: Callable[[], str]) -> None:
        """``value`` as JSON where that is asked for, else ``text()``."""
        if self.json:
            click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        else:
            click.echo(text())

    def token(self) -> str:
        if self._token_file is not None:
            try:
                return self._token_file.read_text().strip()
            except OSError as error:
                raise click.ClickException(f"{self._token_file}: {error.strerror}") from None
        if self._token:
            return self._token
        raise click.UsageError("--server needs a token: --token-file FILE, or the variable GATEWAY_TOKEN")

    def database_url(self) -> str:
        """From --database, else from the configuration file."""
        if self.database is not None:
            return self.database
        if self.config is not None:
            from gateway.config import parse

            try:
                settings = parse.load_settings(self.config, os.environ)
            except parse.ConfigError as error:
                raise click.ClickException(str(error)) from None
            if settings.database is not None:
                return settings.database
            raise click.UsageError(f"{self.config} names no database; add `database: sqlite:///gateway.db`")
        raise click.UsageError("say where: --database URL, --config FILE, or --server URL")

    async def _run(self, work: Callable[[Caller], Awaitable[None]]) -> None:
        if self.server is not None:
            from gateway.cli.remote import RemoteCaller

            async with RemoteCaller(self.server, self.token()) as remote:
                await work(remote)
            return
        from gateway.cli.local import local_caller

        async with local_caller(self.database_url(), self.config) as local:
            await work(local)

    def _fail(self, error: Any) -> None:
        if self.json:
            click.echo(orjson.dumps(error.body(), option=orjson.OPT_INDENT_2).decode())
        else:
            click.echo(f"Error: {error.details}", err=True)
        sys.exit(_EXIT_CODES.get(error.status, 1))


_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(path_type=pathlib.Path),
        envvar="GATEWAY_CONFIG",
        help="Act on the database that this configuration file names.",
    ),
    click.option("--database", metavar="URL", envvar="GATEWAY_DATABASE", help="Act on this database."),
    click.option(
        "--server", metavar="URL", envvar="GATEWAY_SERVER", help="Act on the gateway whose admin API is here."
    ),
    click.option(
        "--token",
        metavar="TOKEN",
        envvar="GATEWAY_TOKEN",
        help="Token for --server. Others see it in the list of processes: better use the variable or --token-file.",
    ),
    click.option("--token-file", type=click.Path(path_type=pathlib.Path), help="File with the token for --server."),
    click.option("--json", "json_", is_flag=True, help="Answer in JSON."),
)


def acts(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where to act; the command gets them as its first argument, a `Target`."""

    @functools.wraps(command)
    def with_target(
        config: pathlib.Path | None,
        database: str | None,
        server: str | None,
        token: str | None,
        token_file: pathlib.Path | None,
        json_: bool,
        **rest: object,
    ) -> None:
        command(Target(config, database, server, token, token_file, json_), **rest)

    for option in reversed(_OPTIONS):
        with_target = option(with_target)
    return with_target


def table(rows: list[list[str]], titles: list[str]) -> str:
    """Aligned columns under their titles."""
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [titles, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return urllib.parse.quote(name, safe="")
