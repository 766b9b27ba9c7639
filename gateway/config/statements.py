"""SQL statements of actions: one statement each, fixed text, with places for values as ``:name`` alone.

A value never becomes a part of the text: the driver sends it beside the statement, or quotes it. So a caller cannot
change what a statement does (OWASP: query parameterization).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<text>'(?:[^'\\]|'')*'|"(?:[^"\\]|"")*"|`[^`]*`)   # literals and quoted names
    | (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<dollar>\$\w*\$)
    | (?P<cast>::)
    | (?P<place>(?<![\w:]):(?P<name>[A-Za-z_]\w*))
    | (?P<end>;)
    | (?P<open>['"`\\]|/\*)                                    # what none of the above has closed
    """,
    re.VERBOSE | re.DOTALL,
)
_WRONG: Final = {
    "dollar": "has a dollar-quoted text; write it in single quotes, or as a value",
    "cast": "has ::, which collides with the places of values; write CAST(value AS type)",
    "open": "has a quote that is not closed, or a backslash; write such a text as a value",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """``text``: for SQLAlchemy's `text()`, whose colons are escaped where they are no places. ``names``: each once."""

    text: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, written: str) -> Statement:
        """Raises ValueError with a sentence that says what to write instead."""
        text, names, at = "", dict[str, None](), 0
        stripped = written.strip().removesuffix(";").rstrip()
        if not stripped:
            raise ValueError("is empty; write a statement")
        for found in _TOKEN.finditer(stripped):
            kind = found.lastgroup if found.lastgroup != "name" else "place"
            text += _escaped(stripped[at : found.start()])
            at = found.end()
            if kind == "end":
                raise ValueError("holds several statements; write one, and others as actions of their own")
            if kind in _WRONG:
                raise ValueError(_WRONG[kind])
            if kind == "place":
                names[found["name"]] = None
            text += found[0] if kind == "place" else _escaped(found[0])
        return cls(text + _escaped(stripped[at:]), tuple(names))


def _escaped(text: str) -> str:
    return text.replace(":", "\\:")
