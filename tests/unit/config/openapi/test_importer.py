"""Whole descriptions: names, servers, connections, and a file that can be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.api.openapi import document
from gateway.api.table import ROUTES
from gateway.cli import files
from gateway.cli.imports import variables
from gateway.config.load import parse
from gateway.config.openapi.importer import Imported, imported, plain_name
from gateway.config.openapi.source import InvalidDescriptionError, Source, read

LIBRARY = Path(__file__).parents[3] / "data" / "library.yaml"
GET = {"get": {"operationId": "a"}}


def made(paths: Any, base_url: str = "", **more: Any) -> Imported:
    root = {"openapi": "3.1.0", "info": {"title": "My API"}, "servers": [{"url": "https://h"}], "paths": paths, **more}
    return imported(Source(root), base_url=base_url)


def test_a_library_with_everything_in_it() -> None:
    found = imported(read(LIBRARY.read_text(), "f"), name="lib")
    assert list(found.connections) == ["lib", "lib-public", "lib-both-key", "lib-flow"]
    assert list(found.actions) == [
        "listBooks",
        "add-a-book",
        "put-books-book.id-part",
        "login",
        "note",
        "export",
        "replace-covers",
        "clear",
    ]
    text = files.text_of(Path("x.yaml"), {"connections": found.connections, "actions": found.actions})
    needed = variables(text)
    assert needed == ["LIB_KEY", "LIB_BOTH_USERNAME", "LIB_BOTH_PASSWORD", "LIB_FLOW"]
    served = parse(text, "yaml", "f", {name: f"value of {name}" for name in needed})
    assert {each.auth.secret for each in served.connections} == {
        "",
        "value of LIB_KEY",
        "value of LIB_BOTH_PASSWORD",
        "value of LIB_FLOW",
    }
    assert len(served.actions) == 8
    assert any("POST /covers is left out" in remark for remark in found.remarks)


def test_the_description_of_the_gateway_itself() -> None:
    found = imported(Source(document(ROUTES)), base_url="http://127.0.0.1:8081/")
    assert len(found.actions) == len(ROUTES)
    assert {each["base_url"] for each in found.connections.values()} == {"http://127.0.0.1:8081"}
    text = files.text_of(Path("x.json"), {"connections": found.connections, "actions": found.actions})
    parse(text, "json", "f", dict.fromkeys(variables(text), "value"))


@pytest.mark.parametrize(
    ("servers", "base_url", "found"),
    [
        ([{"url": "https://h/v1/"}], "", "https://h/v1"),
        ([{"url": "http://h:1"}, {"url": "https://other"}], "", "http://h:1"),
        ([{"url": "https://{a}/{b}", "variables": {"a": {"default": "h"}, "b": {"default": 2}}}], "", "https://h/2"),
        ([{"url": "https://h/v1"}], "https://mine/x/", "https://mine/x"),
        ([], "https://mine", "https://mine"),
    ],
)
def test_where_it_is(servers: Any, base_url: str, found: str) -> None:
    (connection,) = made({"/x": GET}, base_url, servers=servers).connections.values()
    assert connection["base_url"] == found


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        ([], "the server / is no URL of http or https; give --base-url"),
        ([{"url": "/v1"}], "the server /v1 is no URL"),
        ([{"url": "ftp://h"}], "ftp://h is no URL"),
        ([{"url": "https://{a}"}], "the server variable a has no default"),
    ],
)
def test_nowhere(servers: Any, says: str) -> None:
    with pytest.raises(InvalidDescriptionError, match=says):
        made({"/x": GET}, servers=servers)


def test_operations_with_servers_of_their_own() -> None:
    paths = {
        "/a": GET | {"servers": [{"url": "https://other/v2"}]},
        "/b": {"get": {"servers": [{"url": "/below"}]}},
        "/c": {"get": {}},
    }
    found = made(paths, "https://mine/x/")
    assert [each["base_url"] for each in found.connections.values()] == [
        "https://other/v2",
        "https://mine/below",
        "https://mine/x",
    ]
    assert list(found.connections) == ["my-api", "my-api-public", "my-api-public-2"]


def test_names() -> None:
    found = made(
        {"/x/{a}": {"get": {}, "post": {"operationId": "get-x-a"}, "parameters": [{"name": "a", "in": "path"}]}}
    )
    assert list(found.actions) == ["get-x-a", "get-x-a-2"]
    assert plain_name("a/b  c--d!") == "a-b-c-d"
    assert plain_name("é") == "api"
    assert len(plain_name("x" * 100)) == 40


def test_a_selection() -> None:
    root = {"openapi": "3.1.0", "servers": [{"url": "https://h"}], "paths": {"/a": GET, "/b": {"get": {}}}}
    found = imported(Source(root), wanted=lambda name, path: path == "/b")
    assert list(found.actions) == ["get-b"]


def test_what_no_file_can_have_is_left_out() -> None:
    paths = {
        "/a b": {"get": {}},
        "/c": {"post": {"requestBody": {"content": {"application/json": {"schema": {"type": 7}}}}}},
    }
    found = made(paths)
    assert (found.actions, found.connections) == ({}, {})
    assert [remark.partition(":")[0] for remark in found.remarks] == ["GET /a b is left out", "POST /c is left out"]


@pytest.mark.parametrize("paths", [[], {"/x": []}, {"/x": {"get": 1}}])
def test_a_broken_description(paths: Any) -> None:
    with pytest.raises(InvalidDescriptionError, match="must be a mapping"):
        made(paths)
