import msgspec
import pytest

from gateway.ipc.tokens import STATUSES, AccessToken

TOKEN = AccessToken(1, "s3cret", 0.0, 3600.0)


@pytest.mark.parametrize(
    ("token", "now", "status", "live", "fresh"),
    [
        (AccessToken(), 0.0, "not_issued", False, False),
        (AccessToken(lack="unbound"), 0.0, "unbound", False, False),
        (TOKEN, 0.0, "ready", True, True),
        (TOKEN, 2999.9, "ready", True, True),
        (TOKEN, 3000.0, "expiring_soon", True, True),
        (TOKEN, 3540.0, "expiring_soon", True, False),
        (TOKEN, 3600.0, "expired", False, False),
        (AccessToken(1, "x"), 1e12, "ready", True, True),
        (AccessToken(1, "x", 0.0, 3600.0, lack="not_authorized"), 1.0, "not_authorized", True, True),
        (AccessToken(1, "x", 0.0, 3600.0, lack="misconfigured"), 4000.0, "misconfigured", False, False),
    ],
)
def test_a_token_stands_so(token: AccessToken, now: float, status: str, live: bool, fresh: bool) -> None:
    assert (token.status(now), token.live(now), token.fresh(now)) == (status, live, fresh)
    assert status in STATUSES


def test_it_travels_and_is_not_shown() -> None:
    assert msgspec.json.decode(msgspec.json.encode(TOKEN), type=AccessToken) == TOKEN
    assert "s3cret" not in repr(TOKEN)
