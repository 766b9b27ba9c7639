"""Statements: places of values, and what is rejected before a database sees it."""

from __future__ import annotations

import pytest

from gateway.config.statements import Statement


@pytest.mark.parametrize(
    ("written", "text", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        (" SELECT :a ; \n", "SELECT :a", ("a",)),
        ("SELECT :a, :b_2, :a", "SELECT :a, :b_2, :a", ("a", "b_2")),
        ("SELECT ':a', \"b:c\", `d:e`", "SELECT '\\:a', \"b\\:c\", `d\\:e`", ()),
        ("SELECT 'it''s :a' = :b", "SELECT 'it''s \\:a' = :b", ("b",)),
        ("SELECT :a -- ; :b\n, :c /* ' ; :d */", "SELECT :a -- ; \\:b\n, :c /* ' ; \\:d */", ("a", "c")),
        ("SELECT a[1:2], '12:30' = :t", "SELECT a[1\\:2], '12\\:30' = :t", ("t",)),
        ("SELECT CAST(:a AS int)", "SELECT CAST(:a AS int)", ("a",)),
    ],
)
def test_places_of_values(written: str, text: str, names: tuple[str, ...]) -> None:
    assert Statement.of(written) == Statement(text, names)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "is empty"),
        (" ; ", "is empty"),
        ("SELECT 1; DROP TABLE t", "holds several statements"),
        ("SELECT :a::int", "write CAST(value AS type)"),
        ("SELECT 'a", "has a quote that is not closed"),
        ('SELECT "a', "has a quote that is not closed"),
        ("SELECT 'a\\'; DROP TABLE t --'", "or a backslash"),
        ("SELECT 1 /* :a", "has a quote that is not closed"),
        ("SELECT $$ :a $$", "has a dollar-quoted text"),
        ("SELECT $x$ ; $x$", "has a dollar-quoted text"),
    ],
)
def test_what_is_rejected_says_what_to_write(written: str, says: str) -> None:
    with pytest.raises(ValueError, match="; write ") as error:
        Statement.of(written)
    assert says in str(error.value)
