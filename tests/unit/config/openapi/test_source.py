"""Descriptions as text: what is read, and what references mean."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.errors import ConfigError
from gateway.config.openapi.source import InvalidDescriptionError, Source, read

HEAD = "openapi: 3.1.0\n"


def test_yaml_and_json_are_the_same() -> None:
    yaml = read(
        HEAD + "paths: {/a: {get: {responses: {200: {description: yes}}}}}\ninfo: {title: '1', version: 1.0}", "f"
    )
    json = read(
        '{"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {"200": {"description": "yes"}}}}},'
        ' "info": {"title": "1", "version": 1.0}}',
        "f",
    )
    assert yaml.root == json.root
    assert read('{"openapi": "3.0.0", "x": "\\ud83d\\ude00"}', "f").root["x"] == "\U0001f600"
    assert (read("openapi: 3.0.3", "f").old, json.old) == (True, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("swagger: '2.0'", "swagger 2.0 is not read"),
        ("openapi: 3.2.0", "openapi: '3.2.0' is not read"),
        ("openapi: 3.1", "openapi: 3.1 is not read"),
        ("{}", "has no key `openapi`; name a description"),
        ("- a", "the top level must be a mapping"),
        ("", "the file is empty"),
        ("a: [", "f:2: not valid YAML"),
        ('{"a": ]', "f:1:7: not valid JSON"),
        ("a: &x [*x]", "the alias in line 1 contains itself"),
        (HEAD + "a: " + "[" * 210 + "]" * 210, "nested deeper than 200 levels"),
        ("\x00", "cannot be read as YAML or JSON"),
    ],
)
def test_what_is_no_description(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "f")
    assert says in str(caught.value)


def test_an_alias_makes_no_text_larger() -> None:
    """A bomb of aliases: ten levels of ten would be ten thousand million texts."""
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 11))
    root: Any = read(f"{HEAD}l0: &l0 [x]\n{levels}", "f").root
    assert root["l2"][0] is root["l1"]


ROOT = {"openapi": "3.1.0", "a": {"b/c": [{"d~e": 1}], "f g": {"$ref": "#/h"}}, "h": {"$ref": "#/i"}, "i": {}}


@pytest.mark.parametrize(
    ("reference", "found"), [("#/a/b~1c/0/d~0e", 1), ("#/a/f%20g", {"$ref": "#/h"}), ("#", ROOT), ("#/i", {})]
)
def test_a_reference_leads_to_its_place(reference: str, found: object) -> None:
    assert Source(ROOT).at(reference) == found
    assert Source(ROOT).resolved({"$ref": "#/h"}, "x") == ({}, "#/i")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("http://169.254.169.254/", "leads out of the file"),
        ("other.yaml#/a", "leads out of the file"),
        ("/etc/passwd", "leads out of the file"),
        ("#/a/none", "nothing stands at"),
        ("#/a/b~1c/1", "nothing stands at"),
        ("#/a/b~1c/x", "nothing stands at"),
    ],
)
def test_a_reference_that_leads_nowhere_or_elsewhere(reference: str, says: str) -> None:
    with pytest.raises(InvalidDescriptionError, match=says):
        Source(ROOT).resolved({"$ref": reference}, "x")


def test_references_in_a_circle_and_what_is_no_mapping() -> None:
    source = Source({"openapi": "3.1.0", "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}})
    with pytest.raises(InvalidDescriptionError, match="refers to itself"):
        source.resolved({"$ref": "#/a"}, "x")
    with pytest.raises(InvalidDescriptionError, match="x must be a mapping"):
        source.mapping([], "x")
    assert source.mapping(None, "x") == {}
