"""The input of a call, by the places in the request that its values go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.actions.errors import InvalidCallError
from gateway.actions.template import Template
from gateway.config.actions import Action
from gateway.config.placeholders import PLACEHOLDER, placeholders

LAYERS: Final = ("headers", "query", "cookies", "body")
"""Members of an input that are a layer of their own, of an action that declares no parameters."""
BODILESS: Final = frozenset(("GET", "HEAD"))
_NONE: Final[Mapping[str, Any]] = {}


class Declared:
    """What an action says about its input, found once for all of its calls."""

    __slots__ = ("bodiless", "defaults", "free", "other", "parameters", "places")

    def __init__(self, action: Action) -> None:
        self.parameters = {each.name: each for each in action.parameters}
        self.free = not action.parameters and action.input_schema is None
        """Whether the input has layers."""
        self.bodiless = action.method in BODILESS or action.method == "DELETE"
        templates = (action.path, action.headers, action.query, action.body and action.body.value)
        self.places: dict[str, str] = dict.fromkeys(placeholders(templates), "template")
        self.places |= {each.name: each.place for each in action.parameters}
        self.other = "query" if self.bodiless else "body"
        """The place of a value that nothing declares."""
        self.defaults: dict[str, dict[str, Any]] = {}
        """By place and name."""
        for each in action.parameters:
            if each.default is not None:
                self.defaults.setdefault(each.place, {})[each.name] = each.default


class Values:
    """Those of one call: values of parameters by place, and the layers of an action without parameters."""

    __slots__ = ("_at", "_given", "_layers", "declared")

    def __init__(self, declared: Declared, given: Mapping[str, Any]) -> None:
        self.declared = declared
        self._given = given
        self._layers: dict[str, Any] = {}
        self._at = at = {place: values.copy() for place, values in declared.defaults.items()}
        for name, value in given.items():
            if declared.free and name in LAYERS:
                self._layers[name] = value
            else:
                at.setdefault(declared.places.get(name, declared.other), {})[name] = value

    @property
    def changes_fields(self) -> bool:
        """Whether header fields may follow from the input, besides those of templates."""
        layers = self._layers
        return "header" in self._at or "headers" in layers or "cookies" in layers

    @property
    def changes_query(self) -> bool:
        """The same of the query."""
        return "query" in self._at or "query" in self._layers

    def named(self, name: str) -> Any:
        """The value that stands for ``{name}`` in a template. Raises `InvalidCallError` when there is none."""
        value = self._given.get(name)
        if value is None:
            declared = self.declared.parameters.get(name)
            value = None if declared is None else declared.default
        if value is None:
            raise InvalidCallError(f"the input has no {name}, which the action needs; give it", [(name, "is missing")])
        return value

    def omits(self, name: str) -> bool:
        """Whether ``{name}`` alone is left out: its parameter is not required, and was not given."""
        declared = self.declared.parameters.get(name)
        if declared is None or declared.required or declared.default is not None:
            return False
        return self._given.get(name) is None

    def at(self, place: str) -> Mapping[str, Any]:
        """The values that go to ``path``, ``query``, ``header`` or ``body``, by name."""
        return self._at.get(place, _NONE)

    def layer(self, name: str) -> Mapping[str, Any]:
        """The layer of this name: a mapping. Raises `InvalidCallError` for another type."""
        found = self._layers.get(name, _NONE)
        if not isinstance(found, Mapping):
            raise InvalidCallError(f"{name} of the input must be an object; write one", [(name, "no object")])
        return found

    @property
    def body(self) -> tuple[bool, Any]:
        """Whether the input has a body as a layer, and that body."""
        return "body" in self._layers, self._layers.get("body")

    def texts(self, templates: Mapping[str, Template]) -> dict[str, str]:
        """Each template with its values, but those that are left out."""
        return {
            name: template.filled(self)
            for name, template in templates.items()
            if not (template.whole and self.omits(template.whole))
        }

    def plain(self, templates: Mapping[str, Template]) -> dict[str, Any]:
        """As `texts`, but a template that is ``{name}`` alone gives the value itself, which may be a list."""
        return {
            name: self.named(template.whole) if template.whole else template.filled(self)
            for name, template in templates.items()
            if not (template.whole and self.omits(template.whole))
        }

    def resolved(self, value: Any) -> Any:
        """A template of a body with its values: a text that is ``{name}`` alone becomes the value itself."""
        match value:
            case str():
                whole = PLACEHOLDER.fullmatch(value)
                return self.named(whole[1]) if whole else Template(value).filled(self)
            case Mapping():
                return {name: self.resolved(each) for name, each in value.items() if not self.leaves_out(each)}
            case list() | tuple():
                return [self.resolved(each) for each in value]
        return value

    def leaves_out(self, value: Any) -> bool:
        """Whether a template of a body is ``{name}`` alone, and `omits` it."""
        whole = PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
        return whole is not None and self.omits(whole[1])
