"""Text for people: counts with their nouns, and the words of others without what a terminal would obey."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """``count`` with its noun: ``one``, or ``many``, which is ``one`` with an s unless it is given."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def printable(text: str) -> str:
    """``text`` with a space for each character that is not printable, such as those that begin a command of a
    terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
