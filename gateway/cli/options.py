"""The options that say where a command acts.

What is written on the command line wins over the environment as a whole: a variable that was exported for one gateway
must never lead a change that names a database, or another gateway, astray.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping

import click
from click.core import ParameterSource

from gateway.cli.client import Remote, Target

_HERE = (
    click.option(
        "--config",
        type=click.Path(path_type=pathlib.Path),
        envvar="GATEWAY_CONFIG",
        help="Act on the database that this configuration file names.",
    ),
    click.option("--database", metavar="URL", envvar="GATEWAY_DATABASE", help="Act on this database."),
)
_JSON = click.option("--json", "json_", is_flag=True, help="Print JSON.")
_FAR_AWAY = (
    click.option(
        "--server",
        metavar="URL",
        envvar="GATEWAY_SERVER",
        help="Act on the gateway whose admin API is here: http://, https:// or unix:/path.",
    ),
    click.option(
        "--token",
        metavar="TOKEN",
        envvar="GATEWAY_TOKEN",
        help="Token for --server. Others see it in the list of processes: better use the variable or --token-file.",
    ),
    click.option(
        "--ca",
        type=click.Path(path_type=pathlib.Path),
        envvar="GATEWAY_CA",
        help="Authorities, in PEM, for the certificate of an https:// --server; without it those of the system.",
    ),
    click.option(
        "--cert",
        type=click.Path(path_type=pathlib.Path),
        envvar="GATEWAY_CERT",
        help="Certificate with its key, in PEM, for a --server that requires one.",
    ),
    click.option("--token-file", type=click.Path(path_type=pathlib.Path), help="File with the token for --server."),
)


def acts(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where to act; the command gets them as its first argument, a `Target`."""
    return _with_options(command, (*_HERE, *_FAR_AWAY, _JSON))


def acts_here(command: Callable[..., None]) -> Callable[..., None]:
    """As `acts`, for commands without a route of the API."""
    return _with_options(command, (*_HERE, _JSON))


_FILE = click.option(
    "--config",
    type=click.Path(path_type=pathlib.Path),
    envvar="GATEWAY_CONFIG",
    help="Act on this configuration file, without a gateway.",
)


def calls(command: Callable[..., None]) -> Callable[..., None]:
    """As `acts`, for commands about actions: they need no database."""
    return _with_options(command, (_FILE, *_FAR_AWAY, _JSON))


def _with_options(
    command: Callable[..., None], options: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...]
) -> Callable[..., None]:
    @functools.wraps(command)
    def with_target(
        config: pathlib.Path | None,
        json_: bool,
        database: str | None = None,
        server: str | None = None,
        token: str | None = None,
        token_file: pathlib.Path | None = None,
        ca: pathlib.Path | None = None,
        cert: pathlib.Path | None = None,
        **rest: object,
    ) -> None:
        _check_encoding(rest)
        written = _written()
        if "server" in written:
            if written & {"config", "database"}:
                raise click.UsageError("--server goes without --database and --config: say one place")
            config = database = None
        elif written & {"config", "database"}:
            server = None
            config = config if "config" in written else None
            database = database if "database" in written else None
        remote = None if server is None else Remote(server, token, token_file, ca, cert)
        command(Target(config, database, remote, json_), **rest)

    for option in reversed(options):
        with_target = option(with_target)
    return with_target


def _check_encoding(parameters: Mapping[str, object]) -> None:
    """Bytes of the command line that are no UTF-8 come as surrogates, which neither JSON nor a database takes."""
    for value in parameters.values():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise click.UsageError("an argument is not UTF-8; write it in this encoding") from None


def _written() -> set[str]:
    """The parameters from the command line, without those from the environment."""
    context = click.get_current_context()
    return {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
