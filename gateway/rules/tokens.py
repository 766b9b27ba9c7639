"""The words of an access rule, each with its place."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class RuleError(ValueError):
    """A text that is no rule: what is wrong at which character, counted from 1, and how to fix it."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(f"at character {at + 1}: {message}")
        self.at = at


class Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<reference>@[A-Za-z_][\w.\-]*)
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>\|\||&&|!=|=|\(|\))
    )""",
    re.VERBOSE | re.ASCII,
)
_BLANKS: Final = " \t\n\r\f\v"
"""What may stand between tokens. `str.strip` takes more away: a no-break space would be blamed on its neighbour."""


def tokens(text: str) -> list[Token]:
    found: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            at = position + len(text[position:]) - len(text[position:].lstrip(_BLANKS))
            raise RuleError(at, _complaint(text[at : at + 2]))
        found.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*found, Token("end", "", end)]


def _complaint(text: str) -> str:
    if text[0] in "'\"":
        return "this quote is not closed; add the second one"
    if text[0] in "&|":
        return f"{text[0]} stands alone; write {text[0] * 2}"
    if text[0] in "!<>~?":
        return f"there is no operator {text.strip()}; there are =, !=, in, not in, && and ||"
    return f"{text[0]!a} has no meaning here; put text in quotes"


def shown(token: Token) -> str:
    return "the end" if token.kind == "end" else token.text
