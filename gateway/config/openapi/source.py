"""A description as plain data, and what its references mean. References leave the file for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import yaml

from gateway.config.errors import ConfigError, Problem
from gateway.config.formats import yaml_scalars

MAX_DEPTH: Final = 200
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_STEPS: Final = 32
"""References that lead to a reference, and so on."""


class InvalidDescriptionError(ValueError):
    """Says what is wrong with a description, where, and how to fix it."""


class Source:
    """One description. All methods raise `InvalidDescriptionError`."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        version = root.get("openapi")
        if version is None and "swagger" not in root:
            raise InvalidDescriptionError("has no key `openapi`; name a description of OpenAPI 3.0 or 3.1")
        if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
            found = "swagger 2.0" if "swagger" in root else f"openapi: {version!r}"
            raise InvalidDescriptionError(f"{found} is not read; convert it to OpenAPI 3.0 or 3.1")
        self.old = version.startswith("3.0.")
        """Schemas are those of OpenAPI 3.0, which are not quite JSON Schema."""

    def mapping(self, node: object, where: str) -> Mapping[str, Any]:
        """``node``, or what it refers to, which must be a mapping; none is an empty one."""
        if node is None:
            return {}
        found, _ = self.resolved(node, where)
        if not isinstance(found, Mapping):
            raise InvalidDescriptionError(f"{where} must be a mapping; correct the description")
        return found

    def resolved(self, node: object, where: str) -> tuple[object, str]:
        """What ``node`` refers to in the end, and its place; itself when it is no reference."""
        for _ in range(_MOST_STEPS):
            if not (isinstance(node, Mapping) and isinstance(node.get("$ref"), str)):
                return node, where
            where = node["$ref"]
            node = self.at(where)
        raise InvalidDescriptionError(f"{where} refers to itself; correct the description")

    def at(self, reference: str) -> object:
        """What stands at a reference of this document (RFC 6901 6)."""
        if not reference.startswith("#"):
            message = "no other document is read; put what it means into this one"
            raise InvalidDescriptionError(f"the reference {reference[:200]} leads out of the file, and {message}")
        node: object = self.root
        for step in unquote(reference[1:]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isascii() and key.isdigit() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, Mapping) and key in node:
                node = node[key]
            else:
                raise InvalidDescriptionError(f"nothing stands at {reference[:200]}; correct the reference")
        return node


def read(text: str, name: str) -> Source:
    """The description in ``text``, YAML or JSON. Raises `ConfigError`.

    It may be nested deeper than a configuration, so that the reader of configurations is not used.
    """
    try:
        root = _json(text) if text.lstrip().startswith("{") else _Composer().plain(_composed(text), 0)
        if not isinstance(root, Mapping):
            raise InvalidDescriptionError("the top level must be a mapping with `openapi`, `info` and `paths`")
        return Source(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        problem = Problem(f"not valid YAML: {error.problem}; correct it there", (), line)
    except json.JSONDecodeError as error:
        problem = Problem(f"not valid JSON: {error.msg}; correct it there", (), error.lineno, error.colno)
    except (yaml.YAMLError, RecursionError):
        problem = Problem("cannot be read as YAML or JSON; check that it is a text file that is not nested too deeply")
    except InvalidDescriptionError as error:
        problem = Problem(str(error))
    raise ConfigError(name, [problem])


def _json(text: str) -> object:
    """Not by the reader of YAML, which takes the two halves of one character for two broken ones."""
    found: object = json.loads(text)
    return found


def _composed(text: str) -> yaml.Node | None:
    node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    return node


class _Composer:
    """Plain data of YAML nodes. An alias shares what its anchor has, so that no text becomes larger than it is."""

    def __init__(self) -> None:
        self._made: dict[int, object] = {}
        self._open: set[int] = set()

    def plain(self, node: yaml.Node | None, depth: int) -> object:
        if node is None or depth > MAX_DEPTH:
            what = "the file is empty" if node is None else f"nested deeper than {MAX_DEPTH} levels"
            raise InvalidDescriptionError(f"{what}; name the description of an API")
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style or node.tag.endswith(":binary") else yaml_scalars.resolve(node.value)
        key = id(node)
        if key in self._open:
            raise InvalidDescriptionError(f"the alias in line {node.start_mark.line + 1} contains itself; remove it")
        if key not in self._made:
            self._open.add(key)
            self._made[key] = self._branch(node, depth)
            self._open.remove(key)
        return self._made[key]

    def _branch(self, node: yaml.Node, depth: int) -> object:
        if isinstance(node, yaml.MappingNode):
            # A key is text as it is written: 200 and true are names here.
            return {str(name.value): self.plain(value, depth + 1) for name, value in node.value}
        return [self.plain(each, depth + 1) for each in node.value]
