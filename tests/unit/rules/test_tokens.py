"""The words of a rule: their kinds, their places, and what is no word."""

from __future__ import annotations

import pytest

from gateway.rules.tokens import RuleError, shown, tokens


def test_each_word_has_its_kind_and_place() -> None:
    found = [(token.kind, token.text, token.at) for token in tokens(" (@request.auth.n != -1.5)||'a b' = true ")]
    assert found == [
        ("sign", "(", 1),
        ("reference", "@request.auth.n", 2),
        ("sign", "!=", 18),
        ("number", "-1.5", 21),
        ("sign", ")", 25),
        ("sign", "||", 26),
        ("text", "'a b'", 28),
        ("sign", "=", 34),
        ("word", "true", 36),
        ("end", "", 40),
    ]
    assert [shown(token) for token in tokens("a")] == ["a", "the end"]


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        ("a 'b", 3, "this quote is not closed"),
        ("a & b", 3, "write &&"),
        ("a < b", 3, "no operator <"),
        ("\u00e9", 1, "no meaning"),
    ],
)
def test_what_is_no_word_is_rejected_at_its_place(text: str, at: int, hint: str) -> None:
    with pytest.raises(RuleError, match=hint) as caught:
        tokens(text)
    assert str(caught.value).startswith(f"at character {at}: ")
