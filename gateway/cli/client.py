"""Where a command acts: on the database here, or on a remote gateway. Both speak the routes of the REST API.

Exit codes: 0; 1 failed; 2 bad input; 3 conflict; 4 not found; 5 not logged in, or not allowed.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import pathlib
import re
import sys
import urllib.parse
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

import click
import orjson

from gateway.cli.downloads import Download
from gateway.cli.types import Json

if TYPE_CHECKING:
    import ssl

    from gateway.cli.remote import RemoteCaller

Result = TypeVar("Result")
_PER_PAGE: Final = 1000
_EXIT_CODES: Final = {400: 2, 401: 5, 403: 5, 404: 4, 409: 3, 413: 2, 415: 2, 422: 2, 428: 3}


class BadFile(click.ClickException):
    """A file that a command reads is wrong: each problem on a line that begins with the file."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=True)


class Caller(Protocol):
    """``path`` is below ``/api/gateway``."""

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **query: object) -> Json:
        """The body of the response. Raises `AdminError`."""
        ...

    async def download(self, path: str, body: Mapping[str, object], **query: object) -> Download:
        """The response of a third party to a POST of ``body``, as it came. Raises `AdminError`."""
        ...


@dataclass(frozen=True, slots=True)
class Remote:
    """A gateway elsewhere, as the options name it."""

    server: str
    """URL of its admin API, or ``unix:`` and a path."""
    _token: str | None = field(repr=False)
    _token_file: pathlib.Path | None
    _ca: pathlib.Path | None
    _cert: pathlib.Path | None

    def caller(self) -> RemoteCaller:
        """Raises `click.ClickException` for an option that cannot be used."""
        from gateway.cli.remote import RemoteCaller

        server = _checked_server(self.server)
        return RemoteCaller(server, self._read_token(), self._tls(server))

    def _read_token(self) -> str:
        if self._token_file is not None:
            try:
                return self._token_file.read_text().strip()
            except OSError as error:
                raise click.ClickException(f"{self._token_file}: {error.strerror}") from None
        if self._token:
            return self._token
        raise click.UsageError("--server needs a token: --token-file FILE, or the variable GATEWAY_TOKEN")

    def _tls(self, server: str) -> ssl.SSLContext | None:
        """None: no TLS. The variables GATEWAY_CA and GATEWAY_CERT may be set although this server has none."""
        if not server.startswith("https:"):
            return None
        from gateway.config import certificate_files, tls_context

        try:
            ca = "" if self._ca is None else certificate_files.read_authorities("--ca", str(self._ca)).pem
            if self._cert is None:
                return tls_context.client_context(ca=ca)
            shown = certificate_files.read_certificate(str(self._cert), str(self._cert), ("--cert", "--cert"))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        return tls_context.client_context(ca=ca, chain=shown.chain, key=shown.key)


class Target:
    """What the options of a command say about where it acts and how it shows its result."""

    def __init__(
        self,
        config: pathlib.Path | None,
        database: str | None,
        remote: Remote | None,
        json: bool,
    ) -> None:
        self.config = config
        self.database = database
        self.remote = remote
        self.json = json

    def run(self, work: Callable[[Caller], Awaitable[None]]) -> None:
        """Do ``work`` there; an error ends the program with a sentence and its exit code."""
        self.finish(self._run(work))

    def run_calls(self, work: Callable[[Caller], Awaitable[None]]) -> None:
        """As `run`, for the routes of connections and actions: on a remote gateway, or on the configuration file."""
        if self.remote is not None:
            self.run(work)
            return
        if self.config is None:
            raise click.UsageError("say where: --config FILE, or --server URL")
        from gateway.process import run_alone

        self.finish(self._run_calls(work, self.config), run_alone)

    async def _run_calls(self, work: Callable[[Caller], Awaitable[None]], config: pathlib.Path) -> None:
        from gateway.cli.local_actions import local_actions

        async with local_actions(config) as local:
            await work(local)

    def finish(
        self, work: Coroutine[Any, Any, Result], run: Callable[[Coroutine[Any, Any, Result]], Result] = asyncio.run
    ) -> Result:
        """The result of ``work``; what is refused ends the program with a sentence and its exit code."""
        from gateway.admin.errors import AdminError, unavailable
        from gateway.config.errors import ConfigError
        from gateway.store.errors import StoreError, WrongRevision

        try:
            return run(work)
        except AdminError as error:
            self._fail(error)
        except WrongRevision as error:
            raise click.UsageError(str(error)) from None
        except StoreError as error:
            self._fail(unavailable(str(error)))
        except ConfigError as error:
            raise BadFile(str(error)) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from None

    def show(self, value: Json, text: Callable[[], str]) -> None:
        """``value`` as JSON where that is asked for, else ``text()``."""
        if self.json:
            click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        else:
            click.echo(text())

    def check_applied(self, answers: Iterable[Json]) -> None:
        """End the program with exit code 1 when the gateway has stored one of these changes and cannot serve it.

        The response of a gateway comes when all of its workers serve the change. A change of the database on this
        machine has no such response: a gateway that runs finds it within a second.
        """
        errors = dict.fromkeys(answer["applied"]["error"] for answer in answers if answer and "applied" in answer)
        if reasons := [error for error in errors if error]:
            click.echo(f"Error: stored, but not applied: {'; '.join(reasons)}", err=True)
            sys.exit(1)

    def database_url(self, *, there: bool = True) -> str:
        """From --database, else from the configuration file. ``there``: it must exist."""
        url = self._url()
        try:
            # Opening a missing SQLite file creates it: readable by all, and with a key of its own.
            file = pathlib.Path(_checked_database(url).removeprefix("sqlite:///"))
        except ValueError as error:
            raise click.UsageError(f"the database URL {error}") from None
        if there and url.startswith("sqlite:") and not file.is_file():
            from gateway.admin.errors import unavailable

            where = f"--config {self.config}" if self.database is None else f"--database {url}"
            sentence = f"the database {file} cannot be found; check the path, or run: gateway db upgrade {where}"
            self._fail(unavailable(sentence))
        return url

    def _url(self) -> str:
        if self.database is not None:
            return self.database
        if self.config is None:
            raise click.UsageError("say where: --database URL, --config FILE, or --server URL")
        from gateway.config import load

        try:
            settings = load.load_settings(self.config, os.environ)
        except load.ConfigError as error:
            raise BadFile(str(error)) from None
        if settings.database is None:
            raise click.UsageError(f"{self.config} names no database; add `database: sqlite:///gateway.db`")
        return settings.database

    async def _run(self, work: Callable[[Caller], Awaitable[None]]) -> None:
        if self.remote is not None:
            async with self.remote.caller() as remote:
                await work(remote)
            return
        from gateway.cli.local import local_caller

        async with local_caller(self.database_url(), self.config) as local:
            await work(local)

    def _fail(self, error: Any) -> NoReturn:
        if self.json:
            click.echo(orjson.dumps(error.body(), option=orjson.OPT_INDENT_2).decode())
        else:
            click.echo(f"Error: {error.details}", err=True)
            for path, message in error.fields:
                # A bad setting has them in its sentence already, the input of a call has not.
                if message not in error.details:
                    click.echo(f"  {path}: {message}", err=True)
        sys.exit(_EXIT_CODES.get(error.status, 1))


def _checked_database(url: str) -> str:
    from gateway.config import values

    try:
        urllib.parse.urlsplit(url).port  # noqa: B018 - raises
    except ValueError:
        raise ValueError("has no such port; write postgresql://USER@HOST:5432/NAME") from None
    return values.database_url(url)


def _checked_server(url: str) -> str:
    """Never quotes it: it may hold a password."""
    if url.startswith("unix:/"):
        return url
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise click.UsageError(
            "--server is no address of an admin API; write http://127.0.0.1:8081, https://HOST:8081 or "
            "unix:/run/gateway/admin.sock"
        )
    return url


async def every_page(caller: Caller, path: str, **query: object) -> Json:
    """All pages of a list as one."""
    answer = await caller.call("GET", path, None, page=1, per_page=_PER_PAGE, **query)
    items, page = list(answer["items"]), 1
    while page * _PER_PAGE < answer["total"]:
        page += 1
        items += (await caller.call("GET", path, None, page=page, per_page=_PER_PAGE, **query))["items"]
    return {**answer, "items": items, "per_page": max(_PER_PAGE, len(items))}


def hidden_input(title: str, *, piped: bool) -> str:
    """A value that is not to be shown: all of standard input when ``piped`` or when that is no terminal.

    Else it is asked for. The terminal is not asked while standard input is a pipe, because
    the value in the pipe would be lost.
    """
    if piped or not sys.stdin.isatty():
        return standard_input()
    return str(click.prompt(title, hide_input=True))


def new_password(*, piped: bool) -> str:
    """All of standard input when ``piped``; else it is asked for twice. Raises `click.UsageError`."""
    if piped:
        return standard_input()
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would be asked for in the clear, and read anywhere
        try:
            return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
        except getpass.GetPassWarning:
            raise click.UsageError("there is no terminal to type the password in; use --password-stdin") from None


def standard_input() -> str:
    """All of it, without its last line break."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8; write it in this encoding") from None
    return re.sub(r"\r?\n\Z", "", text)


def table(rows: list[list[str]], titles: list[str]) -> str:
    """Aligned columns under their titles."""
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [titles, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return urllib.parse.quote(name, safe="")
