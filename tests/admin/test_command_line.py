"""The command line: the same results on the database here and over the API far away."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from admin.conftest import EMAIL, PASSWORD, Api
from click.testing import CliRunner, Result

from gateway.cli import main

SECRET = "sk-live-abcdefgh-5678"


class Shell:
    """Runs a command here (``remote`` False) or over the API."""

    def __init__(self, api: Api, folder: Path, *, remote: bool) -> None:
        self.remote = remote
        self._api = api
        self._folder = folder

    async def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        token = self._folder / "token"
        token.write_text(self._api.token + "\n")
        far = ["--server", self._api.base, "--token-file", str(token)]
        near = ["--database", f"sqlite:///{self._folder}/gateway.db"]
        command = [*arguments, *(far if self.remote else near)]
        env = {"GATEWAY_MASTER_KEY": "11" * 32, "SET": "x"}
        result: Result = await asyncio.to_thread(CliRunner().invoke, main, command, input=stdin, env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert SECRET not in result.output
        return result

    async def json(self, *arguments: str, stdin: str | None = None) -> Any:
        result = await self(*arguments, "--json", stdin=stdin)
        return json.loads(result.stdout) if result.stdout.strip() else None


@pytest.fixture(params=["local", "remote"])
def shell(api: Api, tmp_path: Path, request: pytest.FixtureRequest) -> Shell:
    return Shell(api, tmp_path, remote=request.param == "remote")


async def test_the_life_of_a_proxy(shell: Shell) -> None:
    made = await shell("proxy", "set", "web", "path=/web", "upstream=http://127.0.0.1:9", "access_rule=true")
    assert made.exit_code == 0, made.stderr
    assert made.stdout.splitlines() == [
        "proxy web has version 1",
        "  route */web: added",
        "  web: breaker none, limiter none, pool made, 0 live",
    ]
    changed = await shell.json("proxy", "set", "web", "circuit_breaker.enabled=true", "max_concurrent=5")
    assert (changed["version"], changed["circuit_breaker"]["enabled"], changed["max_concurrent"]) == (2, True, 5)
    dry = await shell("proxy", "set", "web", "max_concurrent=7", "--dry-run")
    assert "would be changed" in dry.stdout
    shown = await shell.json("proxy", "get", "web")
    assert (shown["max_concurrent"], shown["access_rule"]) == (5, "true")
    listed = await shell("proxy", "list")
    assert listed.stdout.splitlines()[0].split() == [
        "NAME",
        "PATH",
        "UPSTREAM",
        "ACTIVE",
        "IN",
        "FLIGHT",
        "BREAKER",
        "SOURCE",
    ]
    assert listed.stdout.splitlines()[1].split()[:3] == ["web", "/web", "http://127.0.0.1:9"]
    assert (await shell("proxy", "delete", "web", "--version", "1")).exit_code == 3
    assert (await shell("proxy", "delete", "web")).exit_code == 0
    gone = await shell("proxy", "get", "web")
    assert (gone.exit_code, gone.stderr) == (4, "Error: there is no proxy web\n")


async def test_a_proxy_from_a_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("path: /web\nupstream: http://127.0.0.1:9\nheaders: {X-Set: here}\nmax_concurrent: 3\n")
    assert (await shell("proxy", "set", "web", "--file", str(file))).exit_code == 0
    file.write_text("path: /web\nupstream: http://127.0.0.1:9\n")
    assert (await shell.json("proxy", "set", "web", "--file", str(file)))["max_concurrent"] == 0
    file.write_text("path: [")
    assert (await shell("proxy", "set", "web", "--file", str(file))).exit_code == 2


async def test_a_variable_needs_the_file_that_lists_it(shell: Shell, tmp_path: Path) -> None:
    """Without the configuration file a command cannot know what `template_env` lists."""
    settings = ("path=/web", "upstream=http://127.0.0.1:9", "headers.X-Set={env.SET}")
    made = await shell("proxy", "set", "web", *settings)
    assert (made.exit_code, "add SET to template_env" in made.stderr) == ((0, False) if shell.remote else (2, True))
    for name in ("GATEWAY_MASTER_KEY", "PGPASSWORD"):
        refused = await shell("proxy", "set", "two", "path=/two", settings[1], f"headers.X-Set={{env.{name}}}")
        assert refused.exit_code == 2, refused.stdout
        assert f"{{env.{name}}}" in refused.stderr
    config = tmp_path / "gateway.yaml"
    config.write_text(f"database: sqlite:///{tmp_path}/gateway.db\ntemplate_env: [SET]\n")
    near = ("proxy", "set", "three", "path=/three", *settings[1:], "--config", str(config))
    env = {"GATEWAY_MASTER_KEY": "11" * 32, "SET": "x"}
    assert (await asyncio.to_thread(CliRunner().invoke, main, near, env=env)).exit_code == 0


async def test_the_audit_says_from_where_a_change_came(shell: Shell, api: Api) -> None:
    await shell("proxy", "set", "web", "path=/web", "upstream=http://127.0.0.1:9")
    row = (await api.call("GET", "/audit")).body["items"][0]
    assert row["subject"] == "web"
    assert (row["actor"], row["client"]) == (("token:t", "127.0.0.1") if shell.remote else ("cli", "local"))


@pytest.mark.parametrize(
    ("assignments", "hint"),
    [
        (("path=web", "upstream=http://h"), "path: must begin with a slash"),
        (("path=/web",), "upstream: is required"),
        (("path=/web", "upstream=http://h", "colour=red"), "colour: unknown key"),
        (("path",), "is no KEY=VALUE"),
        (("path=/x", "path.y=1"), "has a value of its own"),
    ],
)
async def test_bad_input(shell: Shell, assignments: tuple[str, ...], hint: str) -> None:
    result = await shell("proxy", "set", "web", *assignments)
    assert (result.exit_code, hint in result.stderr) == (2, True), result.stderr


async def test_secrets(shell: Shell) -> None:
    stored = await shell("secret", "set", "KEY", "--value-stdin", "--description", "upstream", stdin=SECRET + "\n")
    assert stored.stdout == "secret KEY is stored, ****5678\n"
    listed = await shell("secret", "list")
    assert listed.stdout.splitlines()[1].split() == ["KEY", "****5678", "1", "any", "upstream"]
    asked = await shell("secret", "set", "KEY", stdin=SECRET + "\n")
    assert (asked.exit_code, "****5678" in asked.output) == (0, True)
    assert (await shell("secret", "delete", "KEY")).exit_code == 0
    assert (await shell("secret", "delete", "KEY")).exit_code == 4


async def test_superusers(shell: Shell) -> None:
    asked = await shell("superuser", "create", "two@example.org", stdin="another password\nanother password\n")
    assert (asked.exit_code, "another" in asked.output) == (0, False)
    weak = await shell("superuser", "create", "three@example.org", "--password-stdin", stdin="short")
    assert (weak.exit_code, "at least 10" in weak.stderr) == (2, True)
    again = await shell("superuser", "create", "two@example.org", "--password-stdin", stdin="another password")
    assert again.exit_code == 3
    assert [s["email"] for s in (await shell.json("superuser", "list"))["items"]] == [
        "root@example.org",
        "two@example.org",
    ]
    assert (await shell("superuser", "delete", "TWO@example.org")).exit_code == 0
    assert (await shell("superuser", "delete", "two@example.org")).exit_code == 4


async def test_tokens(shell: Shell, api: Api) -> None:
    made = await shell(
        "token", "create", "ci", "--superuser", "--expires", "1h", "--claim", "role=admin", "--claim", "n=3"
    )
    token = made.stdout.strip()
    assert (await api.call("GET", "/proxies", token=token)).status == 200
    listed = (await shell.json("token", "list"))["items"]
    shown = next(t for t in listed if t["name"] == "ci")
    assert shown["claims"] == {"role": "admin", "n": 3}
    assert token not in (await shell("token", "list")).stdout
    assert (await shell("token", "revoke", shown["id"])).exit_code == 0
    assert (await api.call("GET", "/proxies", token=token)).status == 401
    for wrong in (("--expires", "soon"), ("--claim", "x")):
        assert (await shell("token", "create", "ci", *wrong)).exit_code == 2


async def test_a_token_in_a_file_is_its_owners_alone_and_is_not_shown(shell: Shell, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "new.token"
    before = os.umask(0)
    try:
        made = await shell("token", "create", "ci", "--superuser", "--to", str(file))
    finally:
        os.umask(before)
    assert (made.exit_code, made.stdout) == (0, f"token ci is in {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert (await api.call("GET", "/proxies", token=token)).status == 200
    other = tmp_path / "other.token"
    shown = await shell.json("token", "create", "ci", "--to", str(other))
    assert "token" not in shown
    assert shown["expires_at"] is None


async def test_nothing_that_is_there_is_written_over_or_followed(shell: Shell, tmp_path: Path) -> None:
    there, target, linked, dangling = (tmp_path / name for name in ("there", "target", "linked", "dangling"))
    there.write_text("precious")
    target.write_text("precious")
    linked.symlink_to(target)
    dangling.symlink_to(tmp_path / "not there")
    os.mkfifo(tmp_path / "pipe")
    for path in (there, linked, dangling, tmp_path / "pipe"):
        result = await shell("token", "create", "ci", "--to", str(path))
        assert (result.exit_code, "is there already" in result.stderr) == (1, True), result.stderr
    assert (there.read_text(), target.read_text()) == ("precious", "precious")
    assert not (tmp_path / "not there").exists()
    nowhere = await shell("token", "create", "ci", "--to", str(tmp_path / "no" / "folder"))
    assert (nowhere.exit_code, "No such file" in nowhere.stderr) == (1, True)
    assert [t["name"] for t in (await shell.json("token", "list"))["items"]] == ["t"], "no token without a holder"


async def test_a_token_that_is_refused_leaves_no_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "new.token"
    result = await shell("token", "create", "ci", "--metrics", "--superuser", "--to", str(file))
    assert (result.exit_code, file.exists()) == (2, False)


async def test_how_long_tokens_are_good_for(shell: Shell) -> None:
    for name, options in (("a", ()), ("b", ("--expires", "never")), ("c", ("--expires", "1h"))):
        await shell("token", "create", name, "--superuser", *options)
    ends = {t["name"]: t["expires_at"] for t in (await shell.json("token", "list"))["items"]}
    assert (ends["a"] is None, ends["b"] is None, ends["c"] is None) == (False, True, False)
    rows = {line.split()[1]: line.split() for line in (await shell("token", "list")).stdout.splitlines()[1:]}
    assert ("never" in rows["b"], "never" in rows["a"]) == (True, False)
    assert rows["a"][-1] == ("token:t" if shell.remote else "cli")


async def test_passwords_and_logins(shell: Shell, api: Api) -> None:
    session = await api.call("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD}, token="")
    listed = await shell("session", "list")
    assert listed.stdout.splitlines()[1].split()[1:3] == [EMAIL, "127.0.0.1"]
    assert session.body["token"] not in listed.stdout
    id_ = (await shell.json("session", "list"))["items"][0]["id"]
    assert (await shell("session", "end", id_)).exit_code == 0
    assert (await shell("session", "end", id_)).exit_code == 4
    assert (await api.call("GET", "/proxies", token=session.body["token"])).status == 401
    changed = await shell("superuser", "password", EMAIL, "--password-stdin", stdin="a newer password")
    assert (changed.exit_code, changed.stdout) == (0, f"superuser {EMAIL} has a new password\n")
    asked = await shell("superuser", "password", EMAIL, stdin="the newest password\nthe newest password\n")
    assert (asked.exit_code, "newest" in asked.output) == (0, False)
    weak = await shell("superuser", "password", EMAIL, "--password-stdin", stdin="short")
    assert (weak.exit_code, "at least 10" in weak.stderr) == (2, True)
    assert (
        await shell("superuser", "password", "nobody@x.org", "--password-stdin", stdin="long enough")
    ).exit_code == 4
    for password, status in ((PASSWORD, 401), ("the newest password", 200)):
        answer = await api.call("POST", "/auth/login", {"email": EMAIL, "password": password}, token="")
        assert answer.status == status


async def test_export_and_import(shell: Shell, tmp_path: Path) -> None:
    for name in ("a", "b"):
        await shell("proxy", "set", name, f"path=/{name}", "upstream=http://127.0.0.1:9")
    file = tmp_path / "out.yaml"
    assert (await shell("export", str(file))).stdout == f"{file}: 2 proxies\n"
    assert (await shell.json("import", str(file)))["unchanged"] == ["a", "b"]
    await shell("proxy", "delete", "a")
    await shell("proxy", "set", "b", "max_concurrent=9")
    conflict = await shell("import", str(file))
    assert (conflict.exit_code, "! b: differs" in conflict.stdout) == (3, True)
    assert (await shell("proxy", "get", "a")).exit_code == 4
    skipped = await shell.json("import", str(file), "--on-conflict", "skip")
    assert (skipped["created"], skipped["skipped"]) == (["a"], ["b"])
    dry = await shell("sync", str(file), "--on-conflict", "overwrite", "--dry-run")
    assert "~ b: max_concurrent" in dry.stdout
    assert (await shell.json("proxy", "get", "b"))["max_concurrent"] == 9
    await shell("proxy", "set", "c", "path=/c", "upstream=http://127.0.0.1:9")
    synced = await shell.json("sync", str(file), "--on-conflict", "overwrite", "--prune")
    assert (synced["changed"], synced["deleted"], synced["unchanged"]) == (["b"], ["c"], ["a"])
    assert (await shell("sync", str(file), "--prune")).stdout == "= a\n= b\n"


async def test_secrets_leave_only_where_the_database_is(shell: Shell, tmp_path: Path) -> None:
    await shell("secret", "set", "KEY", "--value-stdin", stdin=SECRET)
    file = tmp_path / "out.json"
    result = await shell("export", str(file), "--secrets")
    if shell.remote:
        assert (result.exit_code, "secrets never leave" in result.stderr) == (2, True)
        return
    assert json.loads(file.read_text())["secrets"] == {"KEY": SECRET}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await shell("secret", "delete", "KEY")
    await shell("import", str(file))
    assert (await shell.json("secret", "list"))["items"] == []
    await shell("import", str(file), "--secrets")
    assert (await shell.json("secret", "list"))["items"][0]["masked_value"] == "****5678"


async def test_a_server_that_is_away_or_no_gateway(api: Api) -> None:
    for arguments, code, hint in (
        (["--server", "http://127.0.0.1:1", "--token", "x"], 1, "cannot be reached"),
        (["--server", api.base, "--token", "bwt_x"], 5, "The token is not valid"),
        (["--server", api.base], 2, "needs a token"),
        ([], 2, "say where"),
        (["--database", "sqlite:////nowhere/x.db"], 1, "cannot be"),
    ):
        result: Result = await asyncio.to_thread(CliRunner().invoke, main, ["proxy", "list", *arguments])
        assert (result.exit_code, hint in result.stderr) == (code, True), result.stderr


async def test_waiting_needs_a_gateway(shell: Shell, api: Api) -> None:
    command = ("proxy", "set", "web", "path=/web", "upstream=http://127.0.0.1:9", "--wait")
    if not shell.remote:
        assert (await shell(*command)).exit_code == 2
        return
    api.plane.error = "the worker cannot be reached"
    result = await shell(*command)
    assert (result.exit_code, "not applied: the worker cannot be reached" in result.stderr) == (1, True)
    api.plane.error = ""
    assert (await shell(*command)).exit_code == 0


async def test_a_change_that_is_stored_and_not_applied_fails_its_command(
    shell: Shell, api: Api, tmp_path: Path
) -> None:
    api.plane.error = "worker 1 cannot listen"
    file = tmp_path / "proxies.yaml"
    file.write_text("proxies: [{name: other, path: /other, upstream: 'http://127.0.0.1:9'}]")
    for command, stdin in (
        (("proxy", "set", "web", "path=/web", "upstream=http://127.0.0.1:9"), None),
        (("secret", "set", "KEY", "--value-stdin"), SECRET),
        (("secret", "bind", "KEY", "https://api.example.org"), None),
        (("secret", "delete", "KEY"), None),
        (("import", str(file)), None),
        (("proxy", "delete", "web"), None),
    ):
        result = await shell(*command, stdin=stdin)
        # What acts on the database alone cannot know: a gateway that runs follows within a second.
        assert result.exit_code == (1 if shell.remote else 0), command
        assert ("Error: stored, but not applied: worker 1 cannot listen" in result.stderr) == shell.remote
    dry = await shell("proxy", "set", "web", "path=/web", "upstream=http://127.0.0.1:9", "--dry-run")
    assert dry.exit_code == 0


def test_the_schema_by_hand(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/g.db"

    def db(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["db", *arguments, "--database", url])

    assert "the database is empty; pending: 0001, " in db("status").stdout
    assert json.loads(db("upgrade", "--json").stdout)["pending"] == []
    assert "pending: 0002, 0003" in db("downgrade", "0001").stdout
    behind = CliRunner().invoke(main, ["proxy", "list", "--database", url])
    assert (behind.exit_code, "run: gateway db upgrade" in behind.stderr) == (1, True)
    for wrong in (
        ("upgrade", "--to", "9999"),
        ("upgrade", "--to", "base"),
        ("downgrade", "nope"),
        ("downgrade", "0002"),
    ):
        assert db(*wrong).exit_code == 2, wrong
    assert db("upgrade").exit_code == 0
    assert Path(db("backup").stdout.strip()).is_file()
    assert db("backup", "--to", str(tmp_path / "g.db")).exit_code == 1
    assert db("rekey").stdout == "0 secrets were encrypted again\n"


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion(shell_name: str) -> None:
    assert "_GATEWAY_COMPLETE" in CliRunner().invoke(main, ["completion", shell_name]).stdout


async def test_check_sees_proxies_of_the_database_within_those_of_the_file(shell: Shell, tmp_path: Path) -> None:
    assert (await shell("proxy", "set", "closed", "path=/admin", "upstream=http://127.0.0.1:9")).exit_code == 0
    config = tmp_path / "gateway.yaml"
    open_to_all = '{name: open, path: /, upstream: "http://127.0.0.1:9", access_rule: "true"}'
    config.write_text(f"database: sqlite:///{tmp_path}/gateway.db\nproxies: [{open_to_all}]\n")
    told = await asyncio.to_thread(CliRunner().invoke, main, ("check", "--config", str(config)))
    assert told.exit_code == 0
    assert "warning: proxy closed (/admin) lies within proxy open (/)" in told.stderr


async def test_check_looks_for_connections_in_the_database(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    hub = "{name: hub, path: /hub, upstream: connection/shop}"
    config.write_text(f"database: sqlite:///{tmp_path}/gateway.db\nproxies: [{hub}]\n")
    for known in (False, True):
        told = await asyncio.to_thread(CliRunner().invoke, main, ("check", "--config", str(config)))
        assert told.exit_code == 0
        assert ("proxy hub of the file names connection/shop, which is neither" in told.stderr) is not known
        assert (await shell("connection", "create", "shop", "base_url=http://h")).exit_code == (3 if known else 0)


async def test_a_template_in_a_variable_of_a_file_is_stored_as_text(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text('name: web\npath: /web\nupstream: http://127.0.0.1:9\nheaders: {X-Set: "a ${SET}"}\n')
    token = tmp_path / "token"
    where = (
        ["--server", shell._api.base, "--token-file", str(token)]
        if shell.remote
        else ["--database", f"sqlite:///{tmp_path}/gateway.db"]
    )
    token.write_text(shell._api.token)
    command = ["proxy", "set", "web", "--file", str(file), *where]
    env = {"GATEWAY_MASTER_KEY": "11" * 32, "SET": "{env.PGPASSWORD}"}
    made = await asyncio.to_thread(CliRunner().invoke, main, command, env=env)
    assert made.exit_code == 0, made.stderr
    assert (await shell.json("proxy", "get", "web"))["headers"] == {"X-Set": "a {char.brace}env.PGPASSWORD}"}


async def test_a_secret_is_bound_to_origins(shell: Shell) -> None:
    made = await shell("secret", "set", "KEY", "--value-stdin", "--origin", "https://a.example.org", stdin="v")
    assert made.exit_code == 0, made.stderr
    listed = await shell("secret", "list")
    assert listed.stdout.splitlines()[1].split() == ["KEY", "****", "1", "https://a.example.org"]
    refused = await shell(
        "proxy", "set", "web", "path=/web", "upstream=http://b", "headers.Authorization=Bearer {secret.KEY}"
    )
    assert (refused.exit_code, "may be sent to https://a.example.org alone" in refused.stderr) == (2, True)
    bound = await shell("secret", "bind", "KEY", "https://a.example.org", "http://b:80/")
    assert bound.stdout == "secret KEY may be sent to http://b, https://a.example.org\n"
    assert (await shell("secret", "bind", "KEY", "--any")).stdout == "secret KEY may be sent to every origin\n"
    for wrong in (("secret", "bind", "KEY"), ("secret", "bind", "KEY", "--any", "http://b")):
        assert (await shell(*wrong)).exit_code == 2


async def test_an_import_brings_bindings_along(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(
        "proxies: [{name: web, path: /web, upstream: 'https://a.example.org', headers: {X-Key: '{secret.KEY}'}}]\n"
        "secrets: {KEY: {value: v1, origins: ['https://a.example.org']}, OTHER: v2}\n"
    )
    for _ in range(2):
        done = await shell("sync", str(file), "--secrets", "--on-conflict", "overwrite")
        assert done.exit_code == 0, done.stderr
    listed = {item["key"]: item["origins"] for item in (await shell.json("secret", "list"))["items"]}
    assert listed == {"KEY": ["https://a.example.org"], "OTHER": []}
    if not shell.remote:
        out = tmp_path / "out.yaml"
        assert (await shell("export", str(out), "--secrets")).exit_code == 0
        assert "value: v1" in out.read_text() or 'value: "v1"' in out.read_text()
        assert "https://a.example.org" in out.read_text().split("secrets:")[1]


async def test_endpoints_are_listed_drained_and_undrained(shell: Shell, api: Api) -> None:
    body = {"name": "web", "path": "/web", "upstream": "http://127.0.0.1:9", "endpoints": [{"url": "http://b.test"}]}
    assert (await api.call("POST", "/proxies", body)).status == 201
    told = {"url": "http://b.test", "weight": 1, "standing": "drained", "in_flight": 2}
    api.plane.explanations = {"web": {"group": {"endpoints": [told]}}}
    done = await shell("endpoint", "drain", "web", "http://B.test/x")
    head, titles, one, two = done.stdout.splitlines()
    assert (done.exit_code, head) == (0, "http://B.test/x of web is drained")
    assert titles.split() == ["URL", "WEIGHT", "DRAINED", "STANDING", "IN", "FLIGHT"]
    assert one.split() == ["http://127.0.0.1:9", "1", "no", "-", "-"]
    actor = "token:t" if shell.remote else "cli"
    assert two.split()[:5] == ["http://b.test", "1", "by", actor, "at"]
    assert two.split()[6:] == (["drained", "2"] if shell.remote else ["-", "-"])
    last = await shell("endpoint", "drain", "web", "http://127.0.0.1:9")
    assert (last.exit_code, "is the last endpoint of web" in last.stderr) == (3, True)
    assert (await shell("endpoint", "drain", "web", "http://127.0.0.1:9", "--force")).exit_code == 0
    listed = await shell.json("endpoint", "list", "web")
    assert [each["drain"] for each in listed["items"]] == [True, True]
    assert (await shell("endpoint", "undrain", "web", "http://127.0.0.1:9")).exit_code == 0
    unknown = await shell("endpoint", "undrain", "web", "http://c.test")
    assert unknown.exit_code == 2
    assert unknown.stderr == "Error: web has no endpoint http://c.test; it has http://127.0.0.1:9, http://b.test\n"
    assert (await api.call("DELETE", "/proxies/web")).status == 200
    assert "stale: no endpoint" in (await shell("endpoint", "list", "web")).stdout
    gone = await shell("endpoint", "undrain", "web", "http://b.test")
    assert (gone.exit_code, gone.stdout) == (0, "no operator drains http://b.test of web any more\n")
    none = await shell("endpoint", "list", "web")
    assert (none.exit_code, "there is no proxy and no upstream web" in none.stderr) == (4, True)
    assert ("without a configuration file" in none.stderr) is not shell.remote


async def test_endpoints_of_the_file_need_it(tmp_path: Path, api: Api) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"database: sqlite:///{tmp_path}/gateway.db\n"
        "upstreams: [{name: ai, endpoints: [{url: http://a.test}, {url: http://b.test, drain: true}]}]\n"
    )
    command = ("endpoint", "drain", "ai", "http://a.test", "--force", "--config", str(config))
    done = await asyncio.to_thread(CliRunner().invoke, main, command, env={"GATEWAY_MASTER_KEY": "11" * 32})
    assert done.exit_code == 0, done.output
    assert "http://b.test  1       in the settings" in done.stdout
    (drained,) = await api.store.drains.list()
    assert (drained.upstream, drained.origin, drained.actor) == ("upstream ai", "http://a.test", "cli")
