"""References to variables in a configuration that a program has made."""

from __future__ import annotations

from gateway.config.references import Reference


def test_a_reference_is_a_text_with_a_mark() -> None:
    assert Reference("${KEY}") == "${KEY}"
    assert isinstance(Reference("${KEY}"), str)
