import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway.config.model import Settings
from gateway.config.parse import parse
from gateway.config.schema import schema

DEFS: dict[str, Any] = schema()["$defs"]  # type: ignore[assignment] # a schema is a tree of plain data


def test_the_dialect_and_the_top() -> None:
    top = schema()
    assert top["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert top["title"] == "Configuration of the Breakwater gateway"
    assert top["additionalProperties"] is False


def sections() -> list[dict[str, Any]]:
    return [schema(), *DEFS.values()]


@pytest.mark.parametrize("section", sections(), ids=lambda section: str(section["title"]))
def test_every_section_is_closed_and_every_key_described(section: dict[str, Any]) -> None:
    assert section["type"] == "object"
    assert section["additionalProperties"] is False
    assert section["description"]
    plain = [name for name, key in section["properties"].items() if not key.get("description") and "$ref" not in key]
    assert plain == []


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> list[str]:
        if isinstance(node, list):
            return [found for child in node for found in references(child)]
        if not isinstance(node, dict):
            return []
        own = [str(node["$ref"])] if "$ref" in node else []
        return own + [found for child in node.values() for found in references(child)]

    found = references(schema())
    assert found
    assert {reference.removeprefix("#/$defs/") for reference in found} == DEFS.keys()


def test_defaults_are_those_of_the_model() -> None:
    properties: Any = schema()["properties"]
    defaults = {name: key["default"] for name, key in properties.items()}
    assert defaults == Settings().model_dump(mode="json")


def test_numbers_and_booleans_may_be_references() -> None:
    reference = {"type": "string", "pattern": r"\$\{"}
    proxy = DEFS["Proxy"]["properties"]
    assert proxy["max_concurrent"]["anyOf"] == [{"type": "integer", "minimum": 0, "maximum": 10000}, reference]
    assert proxy["active"]["anyOf"] == [{"type": "boolean"}, reference]
    assert DEFS["TimeoutConfig"]["properties"]["dial"]["anyOf"] == [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        reference,
    ]


def test_listen_is_one_or_many() -> None:
    properties: Any = schema()["properties"]
    one = [{"type": "string"}, {"$ref": "#/$defs/Listener"}]
    many = {"type": "array", "minItems": 1, "items": {"anyOf": one}}
    assert properties["listen"]["anyOf"] == [*one, many]


REFERENCE = pathlib.Path(__file__).parents[3] / "docs" / "configuration.md"
LISTS = {"listen": "Listener", "proxies": "Proxy", "auth.jwt": "Jwt"}


def keys(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every key with its path as the reference writes it, and its default: ``...`` when required."""
    for name, key in section["properties"].items():
        below = key.get("$ref") or next((one["$ref"] for one in key.get("anyOf", []) if "$ref" in one), "")
        path = prefix + name
        inner = LISTS.get(path) or below.removeprefix("#/$defs/")
        yield path, None if "$ref" in key else key.get("default", ...)
        if inner:
            yield from keys(DEFS[inner], f"{path}{'[]' if path in LISTS else ''}.")


def rows() -> dict[str, list[str]]:
    """The cells of every row of the reference that begins with a key."""
    lines = [line.split(" | ") for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].removeprefix("| `").removesuffix("`"): cells for cells in lines}


@pytest.mark.parametrize(("key", "default"), list(keys(schema())))
def test_the_reference_tells_every_key_and_its_default(key: str, default: object) -> None:
    shown, meaning = rows()[key][1:3]
    assert len(meaning) > 20
    if default is None and shown == "see below":
        assert any(below.startswith(f"{key}.") for below in rows())
    elif default is ...:
        assert shown == "required"
    elif key == "listen":
        assert default == [{"address": shown.strip("`")}]
    else:
        assert yaml.safe_load(shown.strip("`")) == default


def test_the_reference_tells_no_other_key() -> None:
    settings = {key for key, _ in keys(schema())}
    others = {key for key in rows() if key not in settings and not key.startswith(("$", "--"))}
    assert others == set()


def test_the_examples_of_the_reference_are_good() -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        parse(example, "yaml", "configuration.md", {"SIDECAR_KEY": "x"})
