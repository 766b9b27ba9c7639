"""What the project says speaks of the project alone: no path of one machine, no note to self."""

from __future__ import annotations

import re

import pytest
from meta.prose import prose, python
from meta.sources import ROOT, text_files

# In pieces, so that this file does not contain what it forbids.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.*-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + r"me/\w+"]) + r")/",
    "a note to self": r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b",
    "a number of a ticket": r"(?i)\bis" + r"sue[ #]+\d+",
}

RETIRED = {
    "can " + "not": "cannot",
    "an" + "ew": "again",
    "who " + "asks": "the caller",
    "in " + "force": "active, applied",
    "put in " + "force": "apply",
    "me" + "nd": "fix",
    "for " + "ever": "forever, without limit",
    "no" + "body": "no one, no caller",
    "to" + "ld": "reported, logged, shown",
}
"""Words that readers do not search for, each with the standard one."""

PLAIN = (
    "CHANGELOG.md",
    "README.md",
    "SECURITY.md",
    "docs/",
    "gateway/",
    "grafana/",
    "tests/grafana/",
    "tests/meta/test_words.py",
    "tests/page/",
    "tests/unit/cli/",
    "tests/unit/core/",
    "tests/unit/ipc/",
    "tests/unit/observe/",
    "tests/unit/policy/",
)
"""Where the standard words hold: files, and folders with all below them."""


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_forbidden_words(kind: str) -> None:
    pattern = re.compile(FORBIDDEN[kind])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{kind}: {found}"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("a path of one machine", "see /wo" + "rk/notes.md"),
        ("a path of one machine", "'/ro" + "ot/.cache/x'"),
        ("a note to self", "# TO" + "DO: later"),
        ("a number of a ticket", "as Is" + "sue 12 says"),
    ],
)
def test_the_patterns_see_what_they_are_for(kind: str, line: str) -> None:
    assert re.search(FORBIDDEN[kind], line)


def test_the_patterns_leave_plain_speech_alone() -> None:
    for line in ("frame" + "work/rules", "net" + "work/", "the root/ of a tree"):
        assert not [kind for kind, pattern in FORBIDDEN.items() if re.search(pattern, line)], line


def test_prose_has_the_standard_words() -> None:
    found = [
        f"{name}:{number}: {word!r} instead of {RETIRED[word]!r}"
        for path in text_files()
        if (name := path.relative_to(ROOT).as_posix()).startswith(PLAIN)
        for number, text in prose(path)
        for word in retired(text)
    ]
    assert not found, "\n".join(found)


def retired(text: str) -> list[str]:
    return [word for word in RETIRED if re.search(_pattern(word), text)]


def _pattern(word: str) -> str:
    """The word in every form of a verb, over the end of a line too; before "only" the first is a pair of words."""
    return rf"(?i)\b{word.replace(' ', chr(92) + 's+')}(?:s|ed|ing)?\b(?! only\b)"


@pytest.mark.parametrize("word", RETIRED)
def test_each_retired_word_is_seen(word: str) -> None:
    assert word in retired(f"A sentence {word}.")
    assert word in retired(f"A sentence\n{word.capitalize()}.")
    assert word not in retired(f"A sentence of un{word}x.")


def test_prose_of_python_is_comments_and_strings_without_names() -> None:
    source = """word = {"word": "a ``word`` {word}"}  # a comment
text = f"a {word} string"
"""
    assert [(number, " ".join(text.split())) for number, text in python(source)] == [
        (1, '"a {word}"'),
        (1, "# a comment"),
        (2, 'f"a string"'),
    ]
