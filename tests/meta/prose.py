"""What people read in a file: its prose without its code, so that a rule for words does not see identifiers."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

_GENERATED = re.compile(r"<!-- begin (\S+).*?<!-- end \1 -->", re.DOTALL)
"""Written from docstrings, where the same rule holds."""
_CODE = re.compile(r"``[^`]*``|`[^`\n]*`|\b(?:id|class|for)=\"[^\"]*\"")
"""Spans of code, and the names in markup."""
_SCRIPT = re.compile(r"""//[^\n]*|/\*.*?\*/|"[^"\n]*"|'[^'\n]*'|`[^`]*`""", re.DOTALL)
_FSTRING = ("f", "rf", "fr")
_SCRIPTS = {".js", ".css"}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The line number and text of each comment, string or line."""
    text = path.read_text(errors="replace")
    if path.suffix == ".py":
        yield from python(text)
    elif path.suffix in _SCRIPTS:
        yield from _script(text)
    else:
        yield from _markup(text)


def python(text: str) -> Iterator[tuple[int, str]]:
    """Comments, and strings with a space: a string of one word is a key or the name of a parameter."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
            prefix = re.split("['\"]", token.string, maxsplit=1)[0].lower()
            words = re.sub(r"\{[^{}]*\}", "", token.string) if prefix in _FSTRING else token.string
            yield token.start[0], _CODE.sub("", words)


def _script(text: str) -> Iterator[tuple[int, str]]:
    for match in _SCRIPT.finditer(text):
        if " " in match.group():
            yield text.count("\n", 0, match.start()) + 1, re.sub(r"\$\{[^{}]*\}", "", match.group())


def _markup(text: str) -> Iterator[tuple[int, str]]:
    kept = _GENERATED.sub(lambda match: "\n" * match.group().count("\n"), text)
    for number, line in enumerate(kept.splitlines(), 1):
        yield number, _CODE.sub("", line)
