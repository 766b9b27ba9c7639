"""The commands in this process; `gateway run` and SIGTERM also as a process of its own."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner, Result

import gateway
from gateway.cli import main
from gateway.cli.run import loader
from gateway.config.load import ConfigError
from gateway.config.overrides import Overrides
from gateway.config.records import Document, Listener
from gateway.config.schema.json_schema import schema
from gateway.core.address import Address
from gateway.core.version import EDITION

GOOD = """\
listen: 127.0.0.1:0
proxies:
  - {name: a, path: /a, upstream: "http://127.0.0.1:9", access_rule: "true", headers: {X-Key: "{env.SIDECAR_KEY}"}}
"""


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the environment of the tests must not decide them."""
    for name in ("CONFIG", "LISTEN", "ACCESS_LOG", "DRAIN_TIMEOUT", "WORKERS"):
        monkeypatch.delenv(f"GATEWAY_{name}", raising=False)
    monkeypatch.setenv("SIDECAR_KEY", "s3cret")


def call(*arguments: str | pathlib.Path, **env: str) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=env)


def test_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"gateway, version {gateway.__version__} ({EDITION})\n")


@pytest.mark.parametrize("command", ["run", "check", "schema", "demo"])
def test_every_command_explains_itself(command: str) -> None:
    assert command in call("--help").stdout
    assert call(command, "-h").stdout == call(command, "--help").stdout != ""


def test_check_of_a_good_file(config: pathlib.Path) -> None:
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{config}: ok (1 proxy)\n", "")


def test_check_counts_the_proxies(config: pathlib.Path) -> None:
    config.write_text("proxies: []")
    assert call("check", "--config", config).stdout == f"{config}: ok (0 proxies)\n"


def test_check_counts_connections_and_actions_of_both_forms(config: pathlib.Path) -> None:
    config.write_text('connections: {a: {base_url: "http://h"}}\nactions: {x: {connection: a}, y: {connection: a}}')
    assert call("check", "--config", config).stdout == f"{config}: ok (0 proxies, 1 connection, 2 actions)\n"
    config.write_text(
        'connectors: {http: {connections: {a: {base_url: "http://h"}, b: {base_url: "http://i"}},'
        " actions: {x: {connection: a}}}}"
    )
    assert call("check", "--config", config).stdout == f"{config}: ok (0 proxies, 2 connections, 1 action)\n"


def test_check_counts_front_doors(config: pathlib.Path) -> None:
    config.write_text("mcp: [{name: a, path: /a, access_rule: 'true'}, {name: b, path: /b, access_rule: 'true'}]")
    assert call("check", "--config", config).stdout == f"{config}: ok (0 proxies, 2 front doors for MCP)\n"


def test_check_of_a_proxy_that_names_its_upstream(config: pathlib.Path) -> None:
    config.write_text(
        'upstreams: [{name: ai, endpoints: [{url: "http://h"}]}]\nproxies: [{name: p, path: /, upstream: ai}]'
    )
    assert call("check", "--config", config).stdout == f"{config}: ok (1 proxy)\n"


def test_check_warns_of_nested_prefixes_with_different_rules(config: pathlib.Path) -> None:
    config.write_text(
        "proxies:\n"
        '  - {name: open, path: /, upstream: "http://127.0.0.1:9", access_rule: "true"}\n'
        '  - {name: closed, path: /admin, upstream: "http://127.0.0.1:9"}\n'
    )
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout) == (0, f"{config}: ok (2 proxies)\n")
    assert result.stderr.startswith(f"{config}: warning: proxy closed (/admin) lies within proxy open (/)")


def test_check_makes_no_database_and_does_not_need_one(config: pathlib.Path) -> None:
    for url, told in (
        (f"sqlite:///{config.parent}/none.db", ""),
        ("postgresql://u:s3cret@127.0.0.1:1/x", "warning: the proxies of the database were not checked: "),
    ):
        config.write_text(f"database: {url}\nproxies: []")
        result = call("check", "--config", config)
        assert (result.exit_code, result.stdout) == (0, f"{config}: ok (0 proxies)\n")
        assert told in result.stderr
        assert bool(told) == bool(result.stderr)
        assert "s3cret" not in result.stderr
    assert [path.name for path in config.parent.iterdir()] == [config.name]


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [("zz", 0o600, "own.db.key is malformed; restore"), ("22" * 32, 0o644, "own.db.key is open to others; run chmod")],
)
def test_check_names_a_key_file_that_cannot_be_used(config: pathlib.Path, text: str, mode: int, sentence: str) -> None:
    key = config.parent / "own.db.key"
    key.write_text(text)
    key.chmod(mode)
    config.write_text(f"database: sqlite:///{config.parent}/own.db\nproxies: []")
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout, sentence in result.stderr) == (1, "", True)


def test_check_names_a_master_key_that_is_malformed_or_missing(
    config: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("database: postgresql://u:s3cret@127.0.0.1:1/x\nproxies: []")
    result = call("check", "--config", config)
    assert (result.exit_code, "GATEWAY_MASTER_KEY is not set here" in result.stderr) == (0, True)
    monkeypatch.setenv("GATEWAY_MASTER_KEY", "abc")
    for url in ("postgresql://u:s3cret@127.0.0.1:1/x", f"sqlite:///{config.parent}/own.db"):
        config.write_text(f"database: {url}\nproxies: []")
        result = call("check", "--config", config)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "database: GATEWAY_MASTER_KEY is malformed" in result.stderr
        assert "abc" not in result.output
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_check_names_a_secret_that_no_database_holds(config: pathlib.Path) -> None:
    text = GOOD.replace("{env.SIDECAR_KEY}", "{secret.KEY}")
    config.write_text(f"database: sqlite:///{config.parent}/none.db\n{text}")
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout) == (0, f"{config}: ok (1 proxy)\n")
    assert result.stderr.startswith(
        f"{config}: warning: proxy a of the file names {{secret.KEY}}, and there is no such"
    )
    assert len(result.stderr.splitlines()) == 1


def test_check_names_places_that_the_machine_does_not_have(config: pathlib.Path) -> None:
    no = config.parent / "no"
    config.write_text(f"access_log: {{path: {no}/access.log}}\ndatabase: sqlite:///{no}/own.db\n{GOOD}")
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.partition(" cannot be written: ")[0] for line in result.stderr.splitlines()] == [
        f"{config}: access_log.path: {no}/access.log",
        f"{config}: database: {no}/own.db",
    ]


def test_check_names_a_database_that_is_none(config: pathlib.Path) -> None:
    database = config.parent / "own.db"
    database.write_text("this is no database" * 100)
    config.write_text(f"database: sqlite:///{database}\n{GOOD}")
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"database: {database} is a file that is no SQLite database; change database" in result.stderr
    database.with_name("own.db.key").write_text("22" * 32)  # it was one: the gateway serves what the file has
    database.with_name("own.db.key").chmod(0o600)
    result = call("check", "--config", config)
    assert result.exit_code == 0
    assert f"the proxies of the database {database} were not checked: " in result.stderr
    config.write_text(f"listen: 127.0.0.1:0\ndatabase: sqlite:///{database}\n")  # and here there is nothing to serve
    for key in ({}, {"GATEWAY_MASTER_KEY": "22" * 32}):
        result = call("check", "--config", config, **key)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"database: {database} is a file that is no SQLite database; change database" in result.stderr


def test_check_takes_the_file_from_the_environment(config: pathlib.Path) -> None:
    assert call("check", GATEWAY_CONFIG=str(config)).exit_code == 0


def test_the_command_line_goes_before_the_environment(config: pathlib.Path) -> None:
    assert call("check", "--config", config, GATEWAY_CONFIG="no.yaml").exit_code == 0


def test_check_tells_every_problem_on_standard_error(config: pathlib.Path) -> None:
    config.write_text("worker: 1\nproxies: 5\n")
    result = call("check", "--config", config)
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.removeprefix(str(config)).split(";")[0] for line in result.stderr.splitlines()] == [
        ":1: worker: unknown key",
        ":2: proxies: must be a list",
    ]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_file_is_a_bad_configuration(command: str) -> None:
    result = call(command, "--config", "no.yaml")
    assert (result.exit_code, result.stderr) == (2, "no.yaml: there is no such file; check the path\n")


@pytest.mark.parametrize("command", ["check", "run"])
def test_without_a_file_the_option_is_named(command: str) -> None:
    result = call(command)
    assert result.exit_code == 2
    assert "--config" in result.stderr
    assert "GATEWAY_CONFIG" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--listen", "8080", "write 127.0.0.1:8080"),
        ("--listen", "h:1,", "write 127.0.0.1:8080"),
        ("--drain-timeout", "-1", "must be a number of seconds from 0 to 86400"),
        ("--drain-timeout", "nan", "must be a number of seconds from 0 to 86400"),
        ("--drain-timeout", "inf", "must be a number of seconds from 0 to 86400"),
        ("--drain-timeout", "soon", "must be a number of seconds from 0 to 86400"),
        ("--drain-timeout", "30s", "without a unit"),
    ],
)
def test_a_bad_override_is_a_bad_command_line(config: pathlib.Path, option: str, value: str, hint: str) -> None:
    variable = "GATEWAY" + option.removeprefix("-").replace("-", "_").upper()
    for result in (
        call("run", "--config", config, option, value),
        call("run", "--config", config, **{variable: value}),
    ):
        assert result.exit_code == 2
        assert hint in result.stderr


def test_the_loader_reads_the_file_again_and_applies_the_overrides(config: pathlib.Path) -> None:
    load = loader(config, Overrides((Address("h", 1), Address("h", 2)), "off", 5.0))
    document = load().document
    assert (document.listen, document.access_log, document.drain_timeout) == (
        (Listener(Address("h", 1)), Listener(Address("h", 2))),
        None,
        5.0,
    )
    assert document.routes[0].headers[0].parts == ("s3cret",)
    config.write_text("proxies: []")
    assert load().document.routes == ()
    config.write_text("nonsense")
    with pytest.raises(ConfigError):
        load()


def test_without_overrides_the_file_decides() -> None:
    document = Document(listen=(Listener(Address("h", 1)),), access_log=None, drain_timeout=7)
    assert Overrides().apply(document) == document
    assert Overrides(access_log="-").apply(document).access_log == "-"


def test_schema_prints_the_schema() -> None:
    result = call("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == schema()


def test_demo_on_an_address_that_is_taken_is_a_failure_and_no_traceback() -> None:
    # As a process, because the demo writes what goes to standard error by a thread, past what replaces sys.stderr.
    # RFC 5737: an address that no machine has.
    command = [sys.executable, "-m", "gateway", "demo", "--listen", "192.0.2.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: cannot listen on 192.0.2.1:1")
    assert "Traceback" not in ended.stderr


class Running:
    """`python -m gateway run` as a process."""

    def __init__(self, *arguments: str | pathlib.Path) -> None:
        command = [sys.executable, "-m", "gateway", "run", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._patience = threading.Timer(20, self.process.kill)  # a process that says nothing ends the reading below
        self._patience.start()

    def read_until(self, text: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"ended with {self.process.wait()} before it said {text!r}")

    def close(self) -> None:
        self._patience.cancel()
        self.process.kill()
        self.process.communicate()


def test_run_serves_until_sigterm(config: pathlib.Path) -> None:
    running = Running("--config", config, "--listen", "127.0.0.1:0,127.0.0.2:0")
    try:
        greeting = running.read_until("serves")
        assert "http://127.0.0.2:" in greeting
        assert "http://127.0.0.1:" in greeting
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
    finally:
        running.close()


def test_run_with_a_bad_file_ends_with_2(config: pathlib.Path) -> None:
    config.write_text("worker: 1")
    running = Running("--config", config)
    try:
        assert "worker: unknown key; did you mean workers?" in running.read_until("worker")
        assert running.process.wait(20) == 2
    finally:
        running.close()


def test_run_on_an_address_that_no_machine_has_ends_with_1(config: pathlib.Path) -> None:
    running = Running("--config", config, "--listen", "192.0.2.1:1")
    try:
        assert running.process.wait(20) == 1
    finally:
        running.close()
