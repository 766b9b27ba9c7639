"""Where a command acts: what is written on the command line wins over the environment as a whole."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway.cli.client import Target
from gateway.cli.options import acts, acts_here

FAR, NEAR, FILE = "http://far:1", "sqlite:///near.db", "near.yaml"


@click.command()
@acts
def anywhere(target: Target) -> None:
    click.echo(f"{target.remote and target.remote.server} {target.database} {target.config}")


@click.command()
@acts_here
def here(target: Target) -> None:
    click.echo(f"{target.remote and target.remote.server} {target.database} {target.config}")


def call(command: click.Command, *arguments: str, **env: str) -> Result:
    given = {"GATEWAY_SERVER": None, "GATEWAY_DATABASE": None, "GATEWAY_CONFIG": None, **env}
    return CliRunner().invoke(command, arguments, env=given)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("http://exported:1", "sqlite:///exported.db", "exported.yaml")),
        (("--server", FAR), (FAR, None, None)),
        (("--database", NEAR), (None, NEAR, None)),
        (("--config", FILE), (None, None, FILE)),
        (("--database", NEAR, "--config", FILE), (None, NEAR, FILE)),
        (("--json",), ("http://exported:1", "sqlite:///exported.db", "exported.yaml")),
    ],
)
def test_what_is_written_wins_over_every_variable(
    arguments: tuple[str, ...], expected: tuple[str | None, str | None, str | None]
) -> None:
    result = call(
        anywhere,
        *arguments,
        GATEWAY_SERVER="http://exported:1",
        GATEWAY_DATABASE="sqlite:///exported.db",
        GATEWAY_CONFIG="exported.yaml",
    )
    assert result.stdout == " ".join(map(str, expected)) + "\n"


@pytest.mark.parametrize("other", [("--database", NEAR), ("--config", FILE)])
def test_two_places_are_one_too_many(other: tuple[str, str]) -> None:
    result = call(anywhere, "--server", FAR, *other)
    assert (result.exit_code, "say one place" in result.stderr) == (2, True)


def test_what_no_api_can_do_takes_no_server() -> None:
    assert call(here, "--server", FAR).exit_code == 2
    assert call(here, GATEWAY_SERVER=FAR, GATEWAY_DATABASE=NEAR).stdout == f"None {NEAR} None\n"


def test_a_written_database_is_never_led_astray(tmp_path: Path) -> None:
    """The whole way: a server that is away would fail the command."""
    from gateway.cli import main

    url = f"sqlite:///{tmp_path}/g.db"
    env = {"GATEWAY_SERVER": "http://127.0.0.1:1", "GATEWAY_TOKEN": "x", "GATEWAY_MASTER_KEY": "11" * 32}
    assert CliRunner().invoke(main, ["db", "upgrade", "--database", url], env=env).exit_code == 0
    result = CliRunner().invoke(main, ["proxy", "list", "--database", url], env=env)
    assert (result.exit_code, result.stdout.split()[0]) == (0, "NAME")
