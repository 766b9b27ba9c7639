"""The command line: `gateway run | check | schema | demo`.

Settings come from the command line, else from the environment (``GATEWAY_*``), else from the file. Exit codes: 0; 1
when the gateway can not start or fails while it runs; 2 for a bad configuration or a bad command line. Heavy rooms are
imported inside the commands that need them, so that ``check`` and ``schema`` stay fast.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Callable

import click

import gateway
from gateway.config import values
from gateway.config.document import Address, Document
from gateway.config.problem import ConfigError

BAD_CONFIGURATION = 2


def _addresses(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[Address, ...] | None:
    try:
        return None if text is None else tuple(values.address(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _finite(_ctx: click.Context, _param: click.Parameter, seconds: float | None) -> float | None:
    if seconds is not None and math.isnan(seconds):
        raise click.BadParameter("must be a number of seconds")
    return seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line and the environment say; None leaves the file's setting. ``access_log`` off: none."""

    listen: tuple[Address, ...] | None = None
    access_log: str | None = None
    drain_timeout: float | None = None

    def apply(self, document: Document) -> Document:
        if self.listen is not None:
            document = dataclasses.replace(document, listen=self.listen)
        if self.access_log is not None:
            document = dataclasses.replace(document, access_log=None if self.access_log == "off" else self.access_log)
        if self.drain_timeout is not None:
            document = dataclasses.replace(document, drain_timeout=self.drain_timeout)
        return document


def loader(config: pathlib.Path, overrides: Overrides) -> Callable[[], Document]:
    """A function that reads ``config`` afresh at each call and raises `ConfigError`."""
    from gateway.config.provider import FileProvider

    provider = FileProvider(config, os.environ)
    return lambda: overrides.apply(provider.load())


_config = click.option(
    "--config",
    type=click.Path(path_type=pathlib.Path),
    envvar="GATEWAY_CONFIG",
    show_envvar=True,
    required=True,
    help="The configuration file: .yaml, .yml, .json or .toml.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gateway.__version__, prog_name="gateway")
def main() -> None:
    """Breakwater: a reverse proxy gateway for back ends that break easily."""


@main.command()
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
    type=click.FloatRange(0, 86400),
    callback=_finite,
    envvar="GATEWAY_DRAIN_TIMEOUT",
    show_envvar=True,
    help="Seconds to finish running requests on SIGTERM.",
)
def run(
    config: pathlib.Path, listen: tuple[Address, ...] | None, access_log: str | None, drain_timeout: float | None
) -> None:
    """Serve until SIGTERM; SIGHUP or a change of the file reloads the configuration."""
    from gateway import process

    load = loader(config, Overrides(listen, access_log, drain_timeout))
    sys.exit(_or_bad_configuration(lambda: process.run(load, config)))


@main.command()
@_config
def check(config: pathlib.Path) -> None:
    """Tell whether the configuration file is usable, and every problem in it."""
    sys.exit(_or_bad_configuration(lambda: _check(config)))


def _check(config: pathlib.Path) -> int:
    count = len(loader(config, Overrides())().proxies)
    click.echo(f"{config}: ok ({count} {'proxy' if count == 1 else 'proxies'})")
    return 0


def _or_bad_configuration(command: Callable[[], int]) -> int:
    try:
        return command()
    except ConfigError as error:
        click.echo(str(error), err=True)
        return BAD_CONFIGURATION


@main.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from gateway.config.schema import schema as schema_of_the_file

    click.echo(json.dumps(schema_of_the_file(), indent=2))


@main.command()
@click.option(
    "--listen",
    callback=_addresses,
    envvar="GATEWAY_LISTEN",
    show_envvar=True,
    default="127.0.0.1:8080",
    show_default=True,
    help="Where the gateway of the demo listens.",
)
def demo(listen: tuple[Address, ...]) -> None:
    """Start a fragile sidecar with a gateway in front of it, and print what to try."""
    from gateway.demo import run as demonstration

    first = listen[0]
    host = f"[{first.host}]" if ":" in first.host else first.host
    try:
        demonstration.run(f"{host}:{first.port}", sys.stdout)
    except OSError as error:
        raise click.ClickException(f"can not listen on {host}:{first.port}: {error}") from None
