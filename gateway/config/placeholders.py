"""Places for parameters in the templates of actions: ``{name}``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")


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
