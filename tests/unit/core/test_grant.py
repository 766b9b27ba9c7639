import pytest

from gateway.core.grant import IssuedTokens, StoredGrant, skew


@pytest.mark.parametrize(("life", "before"), [(3600.0, 60.0), (120.0, 60.0), (60.0, 30.0), (1.0, 0.5)])
def test_the_skew_is_a_minute_or_half_of_a_short_life(life: float, before: float) -> None:
    assert skew(100.0, 100.0 + life) == before


def test_a_token_is_fresh_until_the_skew() -> None:
    grant = StoredGrant("a", "b", "token", issued=0.0, expires=100.0)
    assert grant.fresh(49.9)
    assert not grant.fresh(50.0)
    assert StoredGrant("a", "b", "token").fresh(1e12), "it has no end"
    assert not StoredGrant("a", "b").fresh(0.0)


def test_no_token_is_shown() -> None:
    shown = f"{StoredGrant('a', 'b', 's3cret', 's3cret')} {IssuedTokens('s3cret', 's3cret', 0.0, 0.0)}"
    assert "s3cret" not in shown
