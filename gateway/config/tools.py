"""The tools of a server of MCP as actions of a configuration file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from gateway.config.input_schema import InvalidSchemaError, validator
from gateway.config.openapi.importer import Imported, plain_name
from gateway.config.schema.actions import Action
from gateway.config.validation_messages import sentence

_MOST_TEXT: Final = 1000
"""Characters of a description of an action."""


class SameNameError(ValueError):
    """Two tools would be the same action."""


def imported_tools(connection: str, tools: Iterable[Mapping[str, Any]], wanted: Callable[[str, str], bool]) -> Imported:
    """Those of ``tools`` that are ``wanted``, by the name of the action and that of the tool, as actions.

    ``connection``: its name. ``tools``: each with ``name``, ``title``, ``description`` and ``input_schema`` (None:
    there is none). Raises `SameNameError`.
    """
    found = Imported()
    for tool in tools:
        name = plain_name(tool["name"])
        if not wanted(name, tool["name"]):
            continue
        if name in found.actions:
            raise SameNameError(
                f"the tools {found.actions[name]['tool']!r} and {tool['name']!r} would both be the action {name}; "
                "select one of them with --only, and write the other one yourself"
            )
        action = _action(connection, tool, found.remarks)
        try:
            Action.model_validate(action)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            found.remarks.append(f"the tool {tool['name']!r} is left out: {place} {sentence(first)}")
        else:
            found.actions[name] = action
    return found


def _action(connection: str, tool: Mapping[str, Any], remarks: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"connection": connection, "tool": tool["name"]}
    text = tool["description"] or tool["title"]
    if len(text) > _MOST_TEXT:
        remarks.append(f"the description of the tool {tool['name']!r} is cut to {_MOST_TEXT} characters")
    if text:
        made["description"] = text[:_MOST_TEXT]
    if tool["input_schema"] is not None:
        try:
            validator(tool["input_schema"])
            made["input_schema"] = tool["input_schema"]
        except InvalidSchemaError as error:
            said = "; write one, because the action takes every input without it"
            remarks.append(f"the input schema of the tool {tool['name']!r} is left out: it {error}{said}")
    return made
