"""Markdown of the project, as far as tests must understand it: headings, links, fenced blocks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from meta.sources import text_files

_FENCE = re.compile(r"^(?P<marks>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=marks)$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
_SOURCE = re.compile(r'(?:src|srcset)="([^"]+)"')
_ELSEWHERE = ("http://", "https://", "mailto:")


def pages() -> list[Path]:
    return [path for path in text_files() if path.suffix == ".md"]


@cache
def prose(page: Path) -> str:
    """The text without what stands in fences: that is an example, and no link or heading of the page."""
    return _FENCE.sub("", page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the fences of ``language``."""
    return [match["text"] for match in _FENCE.finditer(page.read_text()) if match["language"] == language]


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them of the headings; of headings with the same words the second gets ``-1``."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain).strip().lower().replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return frozenset(anchor if not n else f"{anchor}-{n}" for anchor, most in found.items() for n in range(most + 1))


def links(page: Path) -> list[tuple[Path, str]]:
    """(file, anchor or ``""``) of each link and picture of ``page`` that leads to a file of the project."""
    text = prose(page)
    found = [*_LINK.findall(text), *((source, "") for source in _SOURCE.findall(text))]
    inside = ((file, anchor) for file, anchor in found if not file.startswith(_ELSEWHERE))
    return [((page.parent / file).resolve() if file else page, anchor) for file, anchor in inside]
