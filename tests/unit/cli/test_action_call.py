"""The input of a call from the command line, and what is printed of its response."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gateway.cli.action_call import read_input, read_overrides, rendered

FOUND = {"status": 404, "headers": [["A", "b"]], "body": {"x": [1]}, "body_encoding": "json", "request_id": "r"}


def test_keys_objects_and_files_are_one_input(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"b": [1], "a": "file"}')
    assert read_input(("a=1=2", ' {"c": null}', f"@{file}")) == {"a": "file", "b": [1], "c": None}
    assert read_input(()) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothing", "none of key=value"),
        ("=x", "none of key=value"),
        ("{", "is no JSON"),
        ("@/nowhere", "No such file"),
    ],
)
def test_what_is_no_input(text: str, why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        read_input((text,))


def test_a_file_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1]")
    (tmp_path / "b").write_bytes(b"\xff")
    for name, why in (("a", "must be a JSON object"), ("b", "is not UTF-8")):
        with pytest.raises(click.UsageError, match=why):
            read_input((f"@{tmp_path / name}",))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("status-only", "404"),
        ("headers-only", '[\n  [\n    "A",\n    "b"\n  ]\n]'),
        ("body-only", '{\n  "x": [\n    1\n  ]\n}'),
    ],
)
def test_parts_of_a_response(output: str, text: str) -> None:
    assert rendered(FOUND, output) == text


def test_a_text_is_printed_as_it_is() -> None:
    assert rendered(FOUND | {"body": "plain\ntext", "body_encoding": "text"}, "body-only") == "plain\ntext"


def test_a_whole_response_has_nothing_that_differs_from_one_call_to_the_next() -> None:
    assert "request_id" not in rendered(FOUND, "full")
    assert rendered(FOUND, "full").startswith('{\n  "status": 404,\n  "headers"')


def test_a_dry_run_prints_the_request() -> None:
    assert rendered({"dry_run": True, "request": {"method": "GET"}}, "status-only") == '{\n  "method": "GET"\n}'


def test_the_items_of_all_pages() -> None:
    assert rendered({"items": [1], "pages": 1, "complete": True, "stopped": None}, "full") == "[\n  1\n]"


@pytest.mark.covers("ACT-07")
def test_what_is_set_instead_of_the_action(tmp_path: Path) -> None:
    (tmp_path / "body").write_text('{"a": 1}')
    given = {"headers": ("A: b:c", "D:"), "query": ("q= x=1",), "body": f"@{tmp_path / 'body'}", "method": None}
    assert read_overrides(given) == {"headers": {"A": "b:c", "D": ""}, "query": {"q": " x=1"}, "body": {"a": 1}}
    assert read_overrides({"method": "PUT", "endpoint": "/x", "body": "plain", "max_retries": 0}) == {
        "method": "PUT",
        "endpoint": "/x",
        "body": "plain",
        "retry_policy": {"max_retries": 0},
    }
    policy = {"preset": "api", "base_delay_ms": 20}
    assert read_overrides({"retry_policy": "api", "retry_delay_ms": 20}) == {"retry_policy": policy}
    assert read_overrides({"headers": (), "body": None}) == {}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"headers": ("A=b",)}, "--header needs a name, : and a value"),
        ({"query": ("=b",)}, "--query needs a name, = and a value"),
        ({"body": "@/nowhere"}, "--body: /nowhere: No such file"),
    ],
)
def test_what_cannot_be_set(given: dict[str, object], why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        read_overrides(given)
