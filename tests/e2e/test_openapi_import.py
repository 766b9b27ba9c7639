"""A description of an API becomes actions that call it: what the third party gets for each of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from harness.answers import json_answer
from harness.upstream import Upstream

from gateway.actions.multipart import TYPE, encode
from gateway.config.load import load
from gateway.ipc.calls import Asked
from gateway.workers.local_plane import LocalPlane

pytestmark = pytest.mark.timeout(120)

LIBRARY = Path(__file__).parents[1] / "data" / "library.yaml"
ENV = {"LIB_KEY": "k-1", "LIB_BOTH_USERNAME": "me", "LIB_BOTH_PASSWORD": "pass", "LIB_FLOW": "t-1"}
BOOK = {"title": "T", "sequel": {"title": "U", "price": None}, "author": {"name": "A"}}
FILES = {"cover": {"base64": "iVBORw==", "filename": "c.png"}, "inside": [{"text": "1"}, {"text": "2"}], "back": None}
CALLS = (
    ("listBooks", {"limit": 5, "ids": [1, 2], "filter_title": "a&b", "tags": "x,y", "X-Tenant": "t"}),
    ("listBooks", {"limit": 5}),
    ("add-a-book", {"body": BOOK}),
    ("put-books-book.id-part", {"book_id": "a/b", "part": 2, "part_2": True, "body": {"a": None}}),
    ("put-books-book.id-part", {"book_id": "b", "part": 2}),
    ("login", {"user": "me", "scope": ["a", "b"]}),
    ("note", {"body": "# A note {with} braces"}),
    ("export", {"ticket": "77"}),
    ("clear", {}),
    ("replace-covers", {"of": "b-1", **FILES}),
)
SENT = (
    (
        b"GET /v1/books?filter%5Btitle%5D=a%26b&ids%5B%5D=1&ids%5B%5D=2&limit=5&tags=x%2Cy",
        {"x-key": "k-1", "x-tenant": "t"},
        b"",
    ),
    (b"GET /v1/books?limit=5", {"x-key": "k-1"}, b""),
    (
        b"POST /v1/books",
        {"x-key": "k-1", "content-type": "application/json"},
        json.dumps(BOOK, separators=(",", ":")).encode(),
    ),
    (b"PUT /v1/books/a%2Fb/2?part=true", {"content-type": "application/merge-patch+json"}, b'{"a":null}'),
    (b"PUT /v1/books/b/2", {}, b""),
    (b"POST /v1/login", {"content-type": "application/x-www-form-urlencoded"}, b"user=me&scope%5B%5D=a&scope%5B%5D=b"),
    (
        b"POST /apart/notes",
        {"x-key": "k-1", "authorization": "Basic bWU6cGFzcw==", "content-type": "text/markdown"},
        b"# A note {with} braces",
    ),
    (b"GET /v1/export", {"authorization": "Bearer t-1", "cookie": "ticket=77"}, b""),
    (b"DELETE /v1/covers", {}, b""),
    (
        b"PUT /v1/covers",
        {"content-type": TYPE},
        encode({**FILES, "of": "b-1"}),
    ),
)
REJECTED = (
    ("listBooks", {"limit": 0}),
    ("listBooks", {}),
    ("add-a-book", {"body": {"title": "T", "sequel": {"price": 1}}}),
    ("add-a-book", {"body": {"title": "T", "kind": "poem"}}),
    ("add-a-book", {"body": {"title": "T"}, "more": 1}),
    ("put-books-book.id-part", {"book_id": "b", "part": "x"}),
    ("login", {"scope": []}),
    ("replace-covers", {"of": "b"}),
    ("replace-covers", {"of": "b", "cover": "text"}),
    ("replace-covers", {"of": "b", "cover": {"text": "a"}, "back": {"text": "a", "base64": "YQ=="}}),
    ("replace-covers", {"of": "b", "cover": {"filename": "no content"}}),
    ("replace-covers", {"of": "b", "cover": {"text": "a"}, "inside": ["text"]}),
)
"""Inputs that do not fit the schemas of the description, also inside of what refers to itself."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENV}, check=False)


@pytest.mark.covers("ACT-33", "ACT-38")
async def test_imported_actions_call_the_api_that_is_described(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = json_answer()
    described = LIBRARY.read_text().replace('"{scheme}://library.test/{base}"', f'"{upstream.url}/{{base}}"')
    described = described.replace("https://notes.library.test", f"{upstream.url}/apart")
    (tmp_path / "library.yaml").write_text(described)
    config = tmp_path / "gateway.yaml"
    done = await asyncio.to_thread(
        run, "action", "import-openapi", str(tmp_path / "library.yaml"), "--connection", "lib", "--output", str(config)
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith(f"4 connections, 8 actions; set {', '.join(ENV)}\n")
    checked = await asyncio.to_thread(run, "check", "--config", str(config))
    assert (checked.returncode, "4 connections, 8 actions" in checked.stdout) == (0, True)
    plane = LocalPlane()
    try:
        await plane.apply(replace(load(config, ENV), listen=(), access_log=None))
        for action, given in CALLS:
            called = await plane.call(Asked("default", action, given))
            assert (called["failure"], called["status"]) == (None, 200), action
        for action, given in REJECTED:
            failure = (await plane.call(Asked("default", action, given)))["failure"]
            assert failure is not None, (action, given)
            assert failure["code"] == "validation.invalid_input"
    finally:
        await plane.aclose()
    seen = {message.method + b" " + message.target: message for message in upstream.requests}
    assert seen.keys() == {line for line, _, _ in SENT}
    for line, fields, body in SENT:
        assert seen[line].body == body
        for name, value in fields.items():
            assert seen[line].get(name) == value.encode(), (line, name)
        assert seen[line].get("authorization") is None or "authorization" in fields
    covers = seen[b"PUT /v1/covers"].body
    assert (covers.count(b'filename="file"'), b'name="back"' in covers) == (2, False), "files are files without a name"
    # What needs no credential gets none.
    assert seen[b"POST /v1/login"].get("x-key") is seen[b"DELETE /v1/covers"].get("x-key") is None


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    cases = {
        "openapi: 3.1.0": "no operation can be called",
        "openapi: 3.1.0\nservers: [{url: /v1}]\npaths: {/a: {get: {}}}": "give --base-url",
        "openapi: 3.1.0\npaths: {/a: {$ref: 'http://127.0.0.1:9/x'}}": "leads out of the file",
        "swagger: '2.0'": "convert it to OpenAPI 3.0 or 3.1",
        "a: [": "not valid YAML",
    }
    for text, says in cases.items():
        file.write_text(text)
        done = run("action", "import-openapi", str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
    done = run("action", "import-openapi", str(tmp_path / "none.yaml"))
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)
    file.write_text("openapi: 3.1.0\npaths: {/a: {get: {}}, /b: {get: {}}, /c: {post: {operationId: make}}}")
    done = run("action", "import-openapi", str(file), "--base-url", "https://h", "--only", "/a", "--only", "ma*")
    assert done.returncode == 0
    assert ("get-a:" in done.stdout, "get-b:" in done.stdout, "make:" in done.stdout) == (True, False, True)
    done = run("action", "import-openapi", str(file), "--base-url", "https://h", "--connection", "a b")
    assert (done.returncode, "--connection must be" in done.stderr) == (2, True)
