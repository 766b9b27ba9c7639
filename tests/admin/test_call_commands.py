"""Connections and actions by commands: the same results on the database here and over the API far away."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from admin.conftest import Api
from admin.test_command_line import Shell, shell

from gateway.config import single_call

__all__ = ["shell"]

TOKEN, OTHER, KEY = "s3cret-token-of-the-shop", "s3cret-2-of-the-shop", "s3cret-key-of-find"
SHOP = "trn:openact:default:connection/http/shop@v1"
FIND = "trn:openact:default:action/http/find@v1"
FLAT = f"""\
connections:
  shop:
    base_url: http://h.example/v1
    auth: {{type: bearer, token: {TOKEN}}}
    headers: {{X-Tenant: "{{id}}", Accept: text/plain}}
actions:
  find: {{connection: shop, path: "/orders/{{id}}"}}
  find@v2: {{connection: shop, path: "/new/{{id}}", query: {{api_key: {KEY}}}}}
"""
GROUPED = f"""\
connectors:
  http:
    connections:
      shop:
        base_url: http://h.example/v1
        auth: {{type: bearer, token: {TOKEN}}}
        headers: {{X-Tenant: "{{id}}", Accept: text/plain}}
    actions:
      find: {{connection: shop, path: "/orders/{{id}}"}}
      find@v2: {{connection: shop, path: "/new/{{id}}", query: {{api_key: {KEY}}}}}
"""


async def token_of(api: Api) -> str:
    (record,) = [each for each in await api.store.connections.list() if each.name == SHOP]
    return record.value.definition.record("shop").auth.secret  # type: ignore[union-attr]


@pytest.mark.covers("ACT-01", "ACT-02")
async def test_the_life_of_a_connection_and_its_action(shell: Shell, api: Api) -> None:
    values = ("base_url=http://h.example", "auth.type=bearer", "--value-stdin", "auth.token")
    made = await shell("connection", "create", "shop", *values, stdin=f"{TOKEN}\n")
    assert (made.exit_code, made.stdout) == (0, f"connection {SHOP} created\n"), made.stderr
    assert await token_of(api) == TOKEN
    again = await shell("connection", "create", "shop", "base_url=http://h.example")
    assert again.exit_code == 3
    action = await shell("action", "create", "find", "connection=shop", "path=/orders/{id}", "query.page=1")
    assert (action.exit_code, action.stdout) == (0, f"action {FIND} created\n"), action.stderr
    (stored,) = await api.store.actions.list()
    assert stored.settings["query"] == {"page": "1"}, "a value of a query is text"
    dry = await shell("connection", "update", "shop", "merge=strict", "--dry-run")
    assert dry.stdout == f"connection {SHOP} would change: merge\n"
    changed = await shell.json("connection", "update", "shop", "merge=strict", "max_concurrent=5")
    assert (changed["record"]["version"], changed["record"]["settings"]["max_concurrent"]) == (2, 5)
    limited = await shell.json("connection", "update", "shop", 'rate_limits=[{"rate": 100, "per": 60}]')
    assert limited["record"]["settings"]["rate_limits"] == [{"rate": 100.0, "per": 60.0}]
    assert await token_of(api) == TOKEN
    same = await shell("connection", "update", "shop", "merge=strict", "--dry-run")
    assert same.stdout == f"connection {SHOP} would change nothing\n"
    stale = await shell("connection", "update", "shop", "merge=layered", "--version", "1")
    assert stale.exit_code == 3
    assert (await shell("connection", "delete", "shop", "--dry-run")).stdout.endswith(f"would be deleted with {FIND}\n")
    gone = await shell("connection", "delete", "shop")
    assert gone.stdout.splitlines() == [f"connection {SHOP} deleted", f"  with {FIND}"]
    gone = await shell("connection", "delete", "shop")
    assert (gone.exit_code, gone.stderr) == (
        4,
        "Error: there is no connection shop; gateway connection list shows them\n",
    )


async def test_what_a_command_says_of_bad_input(shell: Shell) -> None:
    nothing = await shell("connection", "create", "shop")
    assert (nothing.exit_code, "say what to set" in nothing.stderr) == (2, True)
    wrong = await shell("connection", "create", "shop", "base_url=ftp://h", "color=1")
    assert wrong.exit_code == 2
    assert "base_url: must begin with http://" in wrong.stderr
    assert "color: unknown key" in wrong.stderr
    lost = await shell("action", "create", "find", "connection=none")
    assert (lost.exit_code, "there is no connection none; create it first" in lost.stderr) == (2, True)


async def test_a_record_from_a_file(shell: Shell, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text('base_url: http://h.example\nheaders: {X-Set: "${SET}"}\n')
    assert (await shell("connection", "create", "shop", "--file", str(file))).exit_code == 0
    file.write_text("base_url: http://h.example\ndescription: new\n")
    changed = await shell.json("connection", "update", "shop", "--file", str(file))
    assert "headers" not in changed["record"]["settings"], "the file has all of it"


@pytest.mark.covers("ACT-33")
@pytest.mark.parametrize("text", [FLAT, GROUPED])
async def test_a_file_becomes_records_and_a_file_again(shell: Shell, api: Api, tmp_path: Path, text: str) -> None:
    file, out = tmp_path / "calls.yaml", tmp_path / "out.yaml"
    file.write_text(text)
    dry = await shell("connection", "import", str(file), "--dry-run")
    second = FIND.replace("v1", "v2")
    assert dry.stdout.splitlines() == [f"+ {SHOP}", f"+ {FIND}", f"+ {second}"], dry.stderr
    assert await api.store.connections.list() == ()
    assert (await shell("connection", "import", str(file))).exit_code == 0
    assert await token_of(api) == TOKEN
    again = await shell("connection", "import", str(file))
    assert again.stdout.splitlines() == [f"= {SHOP}", f"= {FIND}", f"= {second}"], "the gateway compares secrets too"
    form = "grouped" if text == GROUPED else "flat"
    written = await shell("connection", "export", str(out), "--form", form)
    assert written.stdout == f"{out}: 1 connection, 2 actions\n"
    exported = out.read_text()
    assert ("connectors:" in exported) is (text == GROUPED)
    assert TOKEN not in exported
    assert KEY not in exported
    kept = await shell("connection", "sync", str(out))
    assert {line[0] for line in kept.stdout.splitlines()} == {"="}, "redacted secrets stay"
    if not shell.remote:
        assert (await shell("connection", "export", str(out), "--form", form, "--secrets")).exit_code == 0
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        assert TOKEN in out.read_text()
        assert KEY in out.read_text()
        await api.store.connections.delete_with_actions(SHOP, None, "t")
        assert (await shell("connection", "import", str(out))).exit_code == 0
        assert await token_of(api) == TOKEN
    else:
        assert (await shell("connection", "export", str(out), "--secrets")).exit_code == 2


CONNECTORS = f"""\
connections:
  cache: {{kind: redis, url: "redis://:{TOKEN}@cache.internal"}}
  db:
    kind: sql
    url: postgresql://db.internal/shop
    auth: {{type: basic, username: reader, password: {OTHER}}}
actions:
  find: {{connection: db, statement: "SELECT :id"}}
  user: {{connection: cache, command: [GET, "user:{{id}}"]}}
"""
CONNECTORS_GROUPED = f"""\
connectors:
  redis:
    connections:
      cache: {{url: "redis://:{TOKEN}@cache.internal"}}
    actions:
      user: {{connection: cache, command: [GET, "user:{{id}}"]}}
  sql:
    connections:
      db:
        url: postgresql://db.internal/shop
        auth: {{type: basic, username: reader, password: {OTHER}}}
    actions:
      find: {{connection: db, statement: "SELECT :id"}}
"""


@pytest.mark.covers("ACT-33")
@pytest.mark.parametrize("text", [CONNECTORS, CONNECTORS_GROUPED])
async def test_a_file_of_connectors_becomes_records_and_a_file_again(
    shell: Shell, api: Api, tmp_path: Path, text: str
) -> None:
    file, out = tmp_path / "calls.yaml", tmp_path / "out.yaml"
    file.write_text(text)
    trns = {f"trn:openact:default:{each}@v1" for each in ("connection/redis/cache", "connection/sql/db")}
    trns |= {f"trn:openact:default:{each}@v1" for each in ("action/redis/user", "action/sql/find")}
    made = await shell("connection", "import", str(file))
    assert (made.exit_code, set(made.stdout.split()) - {"+"}) == (0, trns), made.stderr
    form = "grouped" if text == CONNECTORS_GROUPED else "flat"
    assert (await shell("connection", "export", str(out), "--form", form)).exit_code == 0
    exported = out.read_text()
    assert TOKEN not in exported
    assert OTHER not in exported
    for each in (file, out):
        kept = await shell("connection", "sync", str(each))
        assert {line[0] for line in kept.stdout.splitlines()} == {"="}, kept.stderr
    actions = tmp_path / "actions.yaml"
    assert (await shell("action", "export", str(actions))).exit_code == 0
    assert (await shell("action", "sync", str(actions))).exit_code == 0, (
        "an action says its kind without its connection"
    )
    urls = [each.value.definition.secrets() for each in await api.store.connections.list()]  # type: ignore[union-attr]
    assert urls == [(TOKEN,), (OTHER,)]
    changed = await shell("connection", "update", "db", "max_concurrent=5")
    assert changed.exit_code == 0, changed.stderr
    moved = await shell("connection", "update", "db", "url=postgresql://evil.example/shop")
    assert (moved.exit_code, "send them again: auth.password" in moved.stderr) == (2, True)


LIBRARY = Path(__file__).parents[1] / "data" / "library.yaml"
IMPORT = ("action", "import-openapi", str(LIBRARY), "--base-url", "https://lib.example", "--connection", "lib")
VARIABLES = {"LIB_KEY": TOKEN, "LIB_BOTH_USERNAME": "me", "LIB_BOTH_PASSWORD": OTHER, "LIB_FLOW": KEY}


@pytest.mark.covers("ACT-33")
async def test_a_description_becomes_records_all_or_none(
    shell: Shell, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = await shell(*IMPORT, "--create")
    assert (unset.exit_code, "${LIB_KEY} is not set" in unset.stderr) == (2, True)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    dry = await shell(*IMPORT, "--create", "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    assert "+ trn:openact:default:action/http/listBooks@v1" in dry.stdout
    assert await api.store.connections.list() == ()
    taken = single_call.connection({"name": "mine", "base_url": "http://h.example"})
    await api.store.connections.create(taken, "t")
    action = single_call.action({"name": "listBooks", "connection": "mine"})
    await api.store.actions.create(action, "t")
    refused = await shell(*IMPORT, "--create")
    assert (refused.exit_code, "listBooks@v1 already, so that nothing was changed" in refused.stderr) == (3, True)
    assert len(await api.store.connections.list()) == 1
    await api.store.connections.delete_with_actions(taken.trn, None, "t")
    done = await shell(*IMPORT, "--create")
    assert (done.exit_code, done.stdout) == (0, dry.stdout), done.stderr
    stored = {each.name for each in (*await api.store.connections.list(), *await api.store.actions.list())}
    assert stored == {line.removeprefix("+ ") for line in done.stdout.splitlines()}
    (lib,) = [each.value for each in await api.store.connections.list() if "/lib@" in each.name]
    assert lib.definition.auth.value == TOKEN  # type: ignore[union-attr]
    assert not [secret for secret in (TOKEN, OTHER, KEY) if secret in done.output]
    theirs = await shell(*IMPORT, "--create", "--tenant", "acme")
    assert theirs.stdout == dry.stdout.replace(":default:", ":acme:"), theirs.stderr
    for wrong in (("--create", "--output", "x.yaml"), ("--dry-run",), ("--tenant", "acme")):
        assert (await shell(*IMPORT, *wrong)).exit_code == 2


@pytest.mark.covers("ACT-33")
async def test_sync_makes_the_database_say_what_the_file_says(shell: Shell, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "calls.yaml"
    file.write_text(FLAT)
    await shell("connection", "import", str(file))
    await shell("connection", "create", "other", "base_url=http://other.example")
    file.write_text(FLAT.replace(TOKEN, OTHER).replace("  find:", "  list:").replace("merge", "merge"))
    differs = await shell("connection", "import", str(file))
    assert (differs.exit_code, f"! {SHOP}: differs, left as it is" in differs.stdout) == (3, True)
    other = SHOP.replace("shop", "other")
    expected = [f"~ {SHOP}: auth", f"- {other}", f"+ {FIND.replace('find', 'list')}", f"- {FIND}"]
    expected.append(f"= {FIND.replace('v1', 'v2')}")
    for options in (["--dry-run"], []):
        done = await shell("connection", "sync", str(file), *options)
        assert (done.exit_code, done.stdout.splitlines()) == (0, expected), done.stderr
    assert await token_of(api) == OTHER
    assert [each.name for each in await api.store.connections.list()] == [SHOP]
    synced = await shell.json("connection", "sync", str(file))
    assert synced["connections"]["unchanged"] == [SHOP]
    assert synced["dry_run"] is False


async def test_an_action_moves_before_its_old_connection_goes(shell: Shell, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "calls.yaml"
    file.write_text(FLAT)
    await shell("connection", "import", str(file))
    moved = 'connections: {new: {base_url: "http://new.example"}}\nactions: {find: {connection: new}}\n'
    file.write_text(moved)
    done = await shell("connection", "sync", str(file))
    assert done.exit_code == 0, done.stderr
    (left,) = await api.store.actions.list()
    assert (left.name, left.settings["connection"], left.version) == (FIND, "new", 2)


async def test_what_is_no_file_of_calls_deletes_nothing(shell: Shell, api: Api, tmp_path: Path) -> None:
    await shell("connection", "create", "shop", "base_url=http://h.example")
    file = tmp_path / "calls.yaml"
    for text, says in (
        ("conections: {}", "has none of the keys"),
        ("connections: []", "connections: must be a mapping of names"),
        ("connections: {shop: 5}", "connections.shop: must be a mapping of keys"),
        ("connections: {shop: {color: 1}}", "connections.shop: color: unknown key"),
        (f"{FLAT}{GROUPED}", "the same name stands below connections"),
        ("connectors: []", "must be a mapping of connectors"),
    ):
        file.write_text(text)
        refused = await shell("connection", "sync", str(file))
        assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr
    assert len(await api.store.connections.list()) == 1
    file.write_text("connections: {}")
    assert (await shell("connection", "sync", str(file))).exit_code == 0
    assert await api.store.connections.list() == ()


@pytest.mark.covers("ACT-04")
async def test_each_command_is_about_one_tenant(shell: Shell, api: Api, tmp_path: Path) -> None:
    file, out = tmp_path / "calls.yaml", tmp_path / "out.json"
    file.write_text(FLAT.replace("  shop:\n", "  shop:\n    tenant: acme\n"))
    await shell("connection", "create", "mine", "base_url=http://h.example")
    done = await shell("connection", "sync", str(file), "--tenant", "acme")
    assert done.exit_code == 0, done.stderr
    names = [each.name for each in await api.store.connections.list()]
    assert names == [SHOP.replace("default", "acme"), SHOP.replace("shop", "mine")], "those of another tenant stay"
    await shell("connection", "export", str(out), "--tenant", "acme")
    exported = json.loads(out.read_text())
    assert exported["connections"]["shop"]["tenant"] == "acme"
    assert exported["actions"].keys() == {"find", "find@v2"}
    assert "tenant" not in exported["actions"]["find"]


async def test_actions_alone(shell: Shell, api: Api, tmp_path: Path) -> None:
    file, out = tmp_path / "calls.yaml", tmp_path / "out.yaml"
    file.write_text(FLAT)
    await shell("connection", "import", str(file))
    await shell("action", "export", str(out))
    assert "connections" not in out.read_text()
    several = await shell("action", "delete", "find")
    assert (several.exit_code, len(await api.store.actions.list())) == (3, 2), "a name of two versions is a conflict"
    assert (await shell("action", "delete", "find@v2")).exit_code == 0
    done = await shell("action", "import", str(file), "--on-conflict", "overwrite")
    assert done.stdout.splitlines() == [f"+ {FIND.replace('v1', 'v2')}", f"= {FIND}"], done.stderr
    file.write_text("actions: {}")
    assert (await shell("action", "sync", str(file))).exit_code == 0
    assert (len(await api.store.connections.list()), len(await api.store.actions.list())) == (1, 0)


def test_migrate_upgrades_the_schema(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from gateway.cli import main
    from gateway.store.tables import HEAD

    url = f"sqlite:///{tmp_path}/new.db"
    done = CliRunner().invoke(main, ["migrate", "--database", url, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["current"]) == (0, HEAD)
