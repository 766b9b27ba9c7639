"""Whatever the text: the answer is a document, or a `ConfigError` whose every line names the file."""

from __future__ import annotations

import json
import math
import tomllib

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config.formats.json_text import read as read_json
from gateway.config.formats.toml_text import read as read_toml
from gateway.config.formats.tree import Branch, Node, Scalar
from gateway.config.formats.yaml_text import read as read_yaml
from gateway.config.load import ConfigError, Format, parse
from gateway.config.records import Document
from gateway.config.schema.limits import Limits
from gateway.config.schema.listeners import Listener
from gateway.config.schema.protections import CircuitBreaker, TimeoutConfig
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.queue import Codel, Priority, Queue
from gateway.config.schema.settings import Settings

SECTIONS = (Settings, Listener, Proxy, Queue, Codel, Priority, CircuitBreaker, TimeoutConfig, Limits)
KEYS = sorted({key for section in SECTIONS for key in section.model_fields})
FORMATS: st.SearchStrategy[Format] = st.sampled_from(["yaml", "json", "toml"])
ENV = {"A": "1", "B": "text", "C": "true", "D": "${A}", "E": ""}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["${A}", "${B:-x}", "${NO}", "${", "$$", "{env.B}", "{env.NO}", "/a", "http://h", "h:1", "10.0.0.0/8"]
    ),
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=4),
    max_leaves=20,
)
files = st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), trees, min_size=1, max_size=4)
pieces = st.sampled_from(
    [
        *KEYS,
        *"[]{}:,-#&*!|>'\"%@`= \n\t\\",
        "\n  ",
        "- ",
        ": ",
        "[[",
        "]]",
        "${",
        "<<",
        '"""',
        "'''",
        "---",
        "1",
        "true",
    ]
)
toml_pieces = st.sampled_from(
    [
        *("a = 1\n", "[c]\n", "[[d]]\n", "[d.e]\n", "[ c . 'm' ]\n", "# k = 1\n", "\n"),
        *("b = [1, # ]\n  {x = 'c = 1'}, [\n]]\n", "e.f = 2026-01-01 10:00:00\n", "l = {a.b = 1, c = []}\r\n"),
        *('"g" = """\nh = 1\n\\""""\n', "'i' = '''\nj = 1'''\n"),
    ]
)
ascii_texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
ascii_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ascii_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_texts, inner, max_size=4),
    max_leaves=20,
)
rough = st.lists(pieces, max_size=40).map("".join)


def outcome(text: str, format_: Format) -> Document | ConfigError:
    try:
        return parse(text, format_, "f", ENV)
    except ConfigError as error:
        return error


@given(FORMATS, st.text() | rough)
@example("yaml", "%YAML 9.9\n---\na: 1")
@example("yaml", "a: !<tag> 1")
@example("yaml", "\ud800")
@example("toml", "a = 1\r")
@example("toml", '"\\ud800" = 1')
@example("json", '{"\\ud800": "\\udfff"}')
@example("json", "1" * 5000)
def test_any_text_gives_a_document_or_a_config_error(format_: Format, text: str) -> None:
    a_document_or_a_config_error(format_, text)


def a_document_or_a_config_error(format_: Format, text: str) -> None:
    result = outcome(text, format_)
    if isinstance(result, ConfigError):
        assert result.problems
        assert all(line.startswith("f:") for line in str(result).split("\n"))


@given(files)
def test_any_tree_gives_a_document_or_a_config_error(data: dict[str, object]) -> None:
    for format_, text in (("json", json.dumps(data)), ("yaml", yaml.safe_dump(data, allow_unicode=True))):
        outcome(text, "json" if format_ == "json" else "yaml")


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.value
    children = {key: plain(place.node) for key, place in node.places.items()}
    return list(children.values()) if node.is_list else children


@given(trees)
def test_json_is_read_as_the_standard_library_reads_it(data: object) -> None:
    text = json.dumps(finite(data), indent=1)
    assert plain(read_json(text, "f", [])) == json.loads(text)


@given(ascii_trees)
def test_json_in_ascii_means_the_same_as_yaml(data: object) -> None:
    text = json.dumps(finite(data))
    assert plain(read_yaml(text, "f", [])) == plain(read_json(text, "f", []))


def finite(data: object) -> object:
    """NaN and Infinity are no JSON."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [finite(value) for value in data]
    return 0.0 if isinstance(data, float) and not math.isfinite(data) else data


@given(st.lists(toml_pieces, max_size=12).map("".join))
def test_toml_is_located_wherever_it_is_read(text: str) -> None:
    """Whatever tomllib accepts, each key of the result has a line of its own, the line in which it is written."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(ConfigError):
            read_toml(text, "f", [])
        return
    root = read_toml(text, "f", [])
    assert plain(root) == (data or None)
    for key, place in root.places.items() if isinstance(root, Branch) else ():
        assert str(key) in text.split("\n")[place.line - 1]
