"""`gateway run | check | schema | demo`. Exit codes: 0; 1 when it cannot start or fails; 2 for a bad configuration."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from gateway import launch
from gateway.config import values
from gateway.config.errors import ConfigError
from gateway.config.overrides import Overrides
from gateway.core.address import Address
from gateway.core.text import counted

if TYPE_CHECKING:
    from gateway.config.schema.settings import Settings
    from gateway.config.watch import Loaded

CAN_NOT_START = 1
_LONGEST = 86400  # seconds, as drain_timeout of the file


def _addresses(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[Address, ...] | None:
    try:
        return None if text is None else tuple(values.address(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _seconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) <= _LONGEST:
            return seconds
    raise click.BadParameter(f"must be a number of seconds from 0 to {_LONGEST}; write it in digits, without a unit")


def loader(config: pathlib.Path, overrides: Overrides) -> Callable[[], Loaded]:
    """A function that reads ``config`` afresh at each call and raises `ConfigError`."""
    from gateway.config import installation
    from gateway.config.watch import FileProvider

    provider = FileProvider(config, os.environ)

    def load() -> Loaded:
        loaded = provider.load()
        return loaded._replace(document=installation.named(overrides.apply(loaded.document), config))

    return load


_config = click.option(
    "--config",
    type=click.Path(path_type=pathlib.Path),
    envvar="GATEWAY_CONFIG",
    show_envvar=True,
    required=True,
    help="The configuration file: .yaml, .yml, .json or .toml.",
)


def _workers(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdecimal() and int(text) <= launch.MOST_WORKERS:
        return int(text)
    raise click.BadParameter(f"must be a whole number from 0 to {launch.MOST_WORKERS}; 0 means one for each core")


@click.command()
@_config
@click.option(
    "--listen",
    callback=_addresses,
    envvar="GATEWAY_LISTEN",
    show_envvar=True,
    help="Addresses to listen on, with commas.",
)
@click.option(
    "--access-log",
    metavar="PATH",
    envvar="GATEWAY_ACCESS_LOG",
    show_envvar=True,
    help="Access log: a file; - is standard output, off is none.",
)
@click.option(
    "--drain-timeout",
    metavar="SECONDS",
    callback=_seconds,
    envvar="GATEWAY_DRAIN_TIMEOUT",
    show_envvar=True,
    help="Seconds to finish running requests on SIGTERM.",
)
@click.option(
    "--workers",
    metavar="NUMBER",
    callback=_workers,
    envvar="GATEWAY_WORKERS",
    show_envvar=True,
    help="Worker processes; 0 means one for each core.",
)
def run(
    config: pathlib.Path,
    listen: tuple[Address, ...] | None,
    access_log: str | None,
    drain_timeout: float | None,
    workers: int | None,
) -> None:
    """Serve until SIGTERM; SIGHUP or a change of the file reloads the configuration."""
    overrides = Overrides(listen, access_log, drain_timeout)
    sys.exit(_or_bad_configuration(lambda: _run(config, overrides, workers)))


def _run(config: pathlib.Path, overrides: Overrides, workers: int | None) -> int:
    """One process when the file is the whole configuration, else a supervised control process and workers."""
    from gateway.cli import exposure
    from gateway.config import installation, load, unmet
    from gateway.observe.process_log import begin_process_log

    settings = load.load_settings(config, os.environ)
    begin_process_log()
    for sentence in (*exposure.warnings(settings, os.geteuid()), *unmet.remarks(settings)):
        logging.getLogger("gateway").warning("%s", sentence)
    if settings.database is None:
        if workers not in (None, 1):
            raise click.BadParameter(
                "without a database the gateway is one process; write database: sqlite:///gateway.db into the file, "
                "or leave this option out",
                param_hint="--workers",
            )
        from gateway import process

        return process.run(loader(config, overrides), config)
    from gateway.control.options import Options
    from gateway.workers import roster, supervisor

    count = roster.count_of(settings.workers if workers is None else workers)
    listen = overrides.listen or [values.address(listener.address) for listener in settings.listen]
    options = Options(config, overrides, installation.pseudonym(config, listen))
    return supervisor.become(options.encode(), count, settings.worker_env)


@click.command()
@_config
def check(config: pathlib.Path) -> None:
    """Check whether the configuration file is usable, and show every problem in it.

    The exit code is 2 for a bad file, and 1 when the gateway could not start here: it could not write its access log
    or its database, or not use its keys. Where the database can be read, what the file keeps its proxies from doing is
    shown too, as warnings.
    """
    sys.exit(_or_bad_configuration(lambda: _check(config)))


def _check(config: pathlib.Path) -> int:
    from gateway.config import load, places, unmet
    from gateway.config.remarks import remarks

    settings = load.load_settings(config, os.environ)
    named = (*settings.upstreams, *(each.upstream for each in settings.named_calls().connections))
    warnings = [*remarks(settings.proxies, named), *unmet.remarks(settings)]
    obstacles = list(places.problems(settings, os.environ.get("GATEWAY_ACCESS_LOG", "")))
    if settings.database is not None and not obstacles:
        import asyncio

        from gateway.cli import stored

        obstacles += stored.problems(settings)
        warnings += [each for each in asyncio.run(stored.remarks(settings)) if each not in warnings]
    for remark in warnings:
        click.echo(f"{config}: warning: {remark}", err=True)
    if obstacles:
        for obstacle in obstacles:
            click.echo(obstacle.render(str(config)), err=True)
        return CAN_NOT_START
    click.echo(f"{config}: ok ({_counted(settings)})")
    return 0


def _counted(settings: Settings) -> str:
    """What the file has. Connections and actions are named only where there are some, because most files have none."""
    proxies, connections, actions = (
        len(settings.proxies),
        len(settings.every_connection()),
        len(settings.every_action()),
    )
    parts = [counted(proxies, "proxy", "proxies")]
    parts += [counted(connections, "connection")] * bool(connections)
    parts += [counted(actions, "action")] * bool(actions)
    doors = len(settings.mcp)
    parts += [f"{counted(doors, 'front door')} for MCP"] * bool(doors)
    return ", ".join(parts)


def _or_bad_configuration(command: Callable[[], int]) -> int:
    try:
        return command()
    except ConfigError as error:
        click.echo(str(error), err=True)
        return launch.BAD_CONFIGURATION


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from gateway.config.schema.json_schema import schema as schema_of_the_file

    click.echo(json.dumps(schema_of_the_file(), indent=2))


@click.command()
@click.option(
    "--listen",
    callback=_addresses,
    envvar="GATEWAY_LISTEN",
    show_envvar=True,
    default="127.0.0.1:8080",
    show_default=True,
    help="Where the gateway of the demo listens.",
)
@click.option(
    "--admin",
    callback=_addresses,
    default="127.0.0.1:8081",
    show_default=True,
    help="Where the admin API of the demo listens.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=pathlib.Path, file_okay=False),
    default=".demo",
    show_default=True,
    help="Where the demo keeps its database.",
)
def demo(listen: tuple[Address, ...], admin: tuple[Address, ...], folder: pathlib.Path) -> None:
    """Start a fragile sidecar with a gateway in front of it, and print what to try."""
    from gateway.demo import run as demonstration
    from gateway.observe.process_log import begin_process_log

    here, there = (str(address) for address in (listen[0], admin[0]))
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        begin_process_log()  # the tour is written from the event loop too
        sys.exit(demonstration.run(here, there, folder.resolve(), sys.stdout))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {here} and {there}: {error}") from None
