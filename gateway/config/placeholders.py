"""Places for parameters in the templates of actions: ``{name}``; ``{char.brace}`` is a brace that begins none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_BRACE: Final = "{char.brace}"
_PLACE: Final = re.compile(rf"{re.escape(_BRACE)}|{PLACEHOLDER.pattern}")


def quoted(text: str) -> str:
    """A template that stands for ``text`` alone, wherever it is put into another one."""
    return text.replace("{", _BRACE)


def parts(template: str) -> list[str]:
    """The texts of ``template`` and the names between them: names have the odd places."""
    found = PLACEHOLDER.split(template)
    found[::2] = [text.replace(_BRACE, "{") for text in found[::2]]
    return found


def without_places(template: str) -> str:
    """The text of a template besides its places."""
    return _PLACE.sub("", template)


def placeholders(template: object) -> Iterator[str]:
    """The names in a text, or in all texts of a structure of mappings and lists."""
    match template:
        case str():
            yield from PLACEHOLDER.findall(template)
        case Mapping():
            for each in template.values():
                yield from placeholders(each)
        case list() | tuple():
            for each in template:
                yield from placeholders(each)
