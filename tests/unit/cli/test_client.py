"""What a command says when the place where it acts is wrong, or refuses."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.cli.client import every_page, quoted, table

ENV = dict.fromkeys(("GATEWAY_SERVER", "GATEWAY_DATABASE", "GATEWAY_CONFIG", "GATEWAY_TOKEN"))


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments], env={**ENV, "GATEWAY_MASTER_KEY": "11" * 32})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("command", [("proxy", "list"), ("db", "status"), ("db", "upgrade"), ("db", "rekey")])
@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:s3cret@h/x", "postgresql://u:s3cret@h:port/x", "postgresql://u:s3cret@h:99999/x"]
)
def test_a_url_that_is_no_database_is_bad_input_and_is_not_quoted(command: tuple[str, str], url: str) -> None:
    result = call(*command, "--database", url)
    assert (result.exit_code, "the database URL" in result.stderr, "s3cret" in result.output) == (2, True, False)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8081", "ftp://h", "http://", "http://u:s3cret@h", "http://h:port", "http://h/?token=s3cret"]
)
def test_a_url_that_is_no_server_is_bad_input_and_is_not_quoted(url: str) -> None:
    result = call("proxy", "list", "--server", url, "--token", "x")
    assert (result.exit_code, "no address of an admin API" in result.stderr, "s3cret" in result.output) == (
        2,
        True,
        False,
    )


@pytest.mark.parametrize(
    "command", [("proxy", "get"), ("proxy", "delete"), ("secret", "delete"), ("token", "revoke"), ("action", "show")]
)
@pytest.mark.parametrize(
    ("name", "sentence"), [("", "the name is empty"), (".", "no URL has . as"), ("..", "no URL has .. as")]
)
def test_a_name_that_would_lead_to_another_route_is_not_sent(
    command: tuple[str, str], name: str, sentence: str
) -> None:
    result = call(*command, name, "--server", "http://127.0.0.1:1", "--token", "x")
    assert (result.exit_code, sentence in result.stderr) == (4, True), result.stderr


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        ("http://127.0.0.1:1", "(Connection refused); see whether the gateway runs"),
        ("http://no.such.name.invalid", "(its name cannot be resolved: "),
        ("unix:/nowhere", "(No such file or directory); see whether the gateway runs"),
    ],
)
def test_a_server_that_is_away_is_named_once_with_the_remedy(server: str, sentence: str) -> None:
    result = call("proxy", "list", "--server", server, "--token", "x")
    assert (result.exit_code, f" cannot be reached {sentence}" in result.stderr) == (1, True), result.stderr
    assert result.stderr.count("127.0.0.1:1") <= 1


def test_a_server_without_tls_is_to_be_named_by_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            with server.accept()[0] as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=respond).start()
        result = call("proxy", "list", "--server", f"https://127.0.0.1:{server.getsockname()[1]}", "--token", "x")
    assert (result.exit_code, "write http:// where it has no TLS" in result.stderr) == (1, True), result.stderr


@pytest.mark.parametrize("time", ["0d", "0s", "00d", "-1d", "1y", "1.5d", "\u0661d", ""])
def test_a_time_that_is_none_makes_no_token(time: str, tmp_path: Path) -> None:
    """0 days would be a token that never expires."""
    result = call("token", "create", "t", "--expires", time, "--database", f"sqlite:///{tmp_path}/no.db")
    assert (result.exit_code, "--expires must be a number above 0" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", [("proxy", "list"), ("db", "downgrade", "0001"), ("db", "rekey"), ("db", "backup")])
def test_a_database_that_is_not_there_is_not_made(command: tuple[str, ...], tmp_path: Path) -> None:
    """Neither the file, which would be for all to read, nor a key."""
    url = f"sqlite:///{tmp_path}/typo.db"
    result = call(*command, "--database", url)
    assert (result.exit_code, "typo.db cannot be found" in result.stderr) == (1, True)
    assert f"run: gateway db upgrade --database {url}" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("proxy", "list"), ("db", "rekey"), ("export", "x.yaml")])
def test_no_key_is_made_beside_a_file_that_is_no_database(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mistyped")
    result = CliRunner().invoke(main, [*command, "--database", f"sqlite:///{tmp_path}/notes.txt"], env=ENV)
    assert (result.exit_code, "notes.txt is a file that is no SQLite database" in result.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_errors_of_the_database_are_json_where_that_is_asked_for(tmp_path: Path) -> None:
    result = call("proxy", "list", "--json", "--database", f"sqlite:///{tmp_path}/typo.db")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["code"], "cannot be found" in told["details"]) == (1, "unavailable", True)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("database: [", "gateway.yaml:1:12: not valid YAML"),
        ("proxies: [{name: x}]\ndatabase: sqlite:///g.db", "gateway.yaml:1: proxies.0.path: is required"),
        ("proxies: []", "names no database"),
    ],
)
def test_a_bad_configuration_is_bad_input(text: str, hint: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    result = call("proxy", "list", "--config", file)
    assert (result.exit_code, hint in result.stderr) == (2, True), result.stderr


def test_a_bad_configuration_beside_a_database_is_bad_input(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/g.db"
    assert call("db", "upgrade", "--database", url).exit_code == 0
    result = call("proxy", "list", "--database", url, "--config", tmp_path / "no.yaml")
    assert (result.exit_code, "there is no such file" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("proxy", "get", "\udcff"),
        ("proxy", "set", "web", "path=/\udcff", "upstream=http://h"),
        ("secret", "set", "K", "--description", "\udcff", "--value-stdin"),
        ("token", "create", "\udcff"),
        ("token", "create", "t", "--claim", "k=\udcff"),
    ],
)
def test_arguments_that_are_not_utf8_are_bad_input(arguments: tuple[str, ...], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/g.db"
    assert call("db", "upgrade", "--database", url).exit_code == 0
    result = CliRunner().invoke(
        main, [*arguments, "--database", url], env={**ENV, "GATEWAY_MASTER_KEY": "11" * 32}, input="value"
    )
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (2, True), result.exception


class Pages:
    """Stands for a gateway with ``total`` proxies."""

    def __init__(self, total: int) -> None:
        self.names = [f"p{number}" for number in range(total)]
        self.asked: list[tuple[object, object]] = []

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **query: Any) -> Any:
        self.asked.append((query["page"], query["search"]))
        start = (query["page"] - 1) * query["per_page"]
        items = self.names[start : start + query["per_page"]]
        return {"items": items, "page": query["page"], "per_page": query["per_page"], "total": len(self.names)}


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1000, 1), (1001, 2), (2500, 3)])
async def test_every_page_is_asked_for(total: int, pages: int) -> None:
    server = Pages(total)
    found = await every_page(server, "/proxies", search="web")
    assert (found["items"], found["total"], found["page"]) == (server.names, total, 1)
    assert server.asked == [(number + 1, "web") for number in range(pages)]


def test_each_place_of_a_bad_input_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    parameters = "[{name: id, type: integer, required: true}, {name: to, required: true}]"
    file.write_text(
        'connections: {c: {base_url: "http://127.0.0.1:9"}}\n'
        f"actions: {{a: {{connection: c, parameters: {parameters}}}}}"
    )
    result = call("action", "call", "a", "--config", file, "--input", "id=s3cret")
    assert result.exit_code == 2
    first, *places = result.stderr.splitlines()
    assert first == "Error: the input does not fit the schema of the action; change these fields"
    assert sorted(places) == [
        """  id: a value is not of type "integer"; key=value is text, so write --input '{"id": ...}'""",
        '  input: "to" is a required property',
    ]
    result = call("action", "call", "a", "--config", file, "--input", '{"id": "s3cret", "to": "x"}')
    assert result.stderr.splitlines()[1:] == ['  id: a value is not of type "integer"']
    result = call("action", "call", "b", "--config", file)
    assert (result.exit_code, result.stderr) == (
        4,
        "Error: there is no action b; gateway action list shows them\n",
    )


def test_a_table_is_aligned() -> None:
    assert table([["a", "long"], ["bbbbb", ""]], ["ONE", "TWO"]).splitlines() == ["ONE    TWO", "a      long", "bbbbb"]


def test_a_name_is_one_segment() -> None:
    assert quoted("a/b?c#d") == "a%2Fb%3Fc%23d"


def test_the_command_line_is_light() -> None:
    """`--help` and completion load nothing that only some commands need."""
    heavy = "{'aiohttp', 'alembic', 'argon2', 'cryptography', 'joserfc', 'pydantic', 'sqlalchemy', 'uvloop', 'yaml'}"
    script = f"import sys, gateway.cli; print(sorted({heavy} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert run.stdout == "[]\n"


def test_a_pipe_is_read_without_a_word(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/g.db"
    assert call("db", "upgrade", "--database", url).exit_code == 0
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "secret", "set", "KEY", "--database", url],
        input="sk-correct-horse-1234567890\n",
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,  # without a terminal
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "secret KEY is stored, ****7890\n", "")


@pytest.mark.parametrize("command", ["create", "password"])
def test_a_password_is_asked_for_on_a_terminal_alone(command: str) -> None:
    """Where there is none it would be read from anywhere, and shown."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "superuser", command, "a@example.org", "--database", "sqlite:///no.db"],
        input="correct horse battery\n" * 2,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,  # without a terminal
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no terminal to type the password in; use --password-stdin" in done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("command", [("secret", "set", "K", "--value-stdin"), ("superuser", "create", "a@example.org")])
def test_standard_input_that_is_not_utf8_is_bad_input(command: tuple[str, ...], tmp_path: Path) -> None:
    more = ["--password-stdin"] if command[0] == "superuser" else []
    given = [*command, *more, "--database", f"sqlite:///{tmp_path}/g.db"]
    result = CliRunner().invoke(main, given, env=ENV, input=b"s3cret\xff")
    assert (result.exit_code, "not UTF-8" in result.stderr, "s3cret" in result.output) == (2, True, False)
