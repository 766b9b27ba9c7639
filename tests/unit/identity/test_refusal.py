"""What a log line shows of a token: little, and nothing that could break the line."""

from __future__ import annotations

from gateway.identity.refusal import shown


def test_untrusted_text_is_short_and_on_one_line() -> None:
    assert shown("kid-1") == "'kid-1'"
    assert "\n" not in shown("a\nb")
    assert len(shown("x" * 10_000)) < 100
