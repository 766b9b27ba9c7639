"""From the Authorization field to a principal: what is good now, and nothing else."""

from __future__ import annotations

import pytest

from gateway.config.document import Credentials, TokenRecord
from gateway.identity.authenticator import Authenticator
from gateway.identity.tokens import digest, mint


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def field(token: str) -> bytes:
    return b"Bearer " + token.encode()


def test_a_token_proves_who_it_was_made_for(clock: Clock) -> None:
    token = mint()
    made = Authenticator(clock)
    claims = {"role": "x", "id": "forged", "superuser": True}
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci", claims=claims)})
    for spelling in (field(token), b"bearer " + token.encode(), b"BEARER  " + token.encode() + b" "):
        principal = made.authenticate(spelling)
        assert principal is not None
        assert (principal.id, principal.kind, principal.superuser) == ("t1", "token", False)
        assert principal.claims == {"role": "x", "id": "t1", "name": "ci", "kind": "token", "superuser": False}
    assert made.take_used() == {digest(token): 1000.0}
    assert made.take_used() == {}


@pytest.mark.parametrize("value", [None, b"", b"Bearer", b"Bearer ", b"Basic abc", b"Bearer a, Bearer b", b"\xff"])
def test_nothing_is_proved_by_nothing(value: bytes | None, clock: Clock) -> None:
    assert Authenticator(clock).authenticate(value) is None


def test_two_fields_joined_prove_nothing(clock: Clock) -> None:
    token = mint()
    made = Authenticator(clock)
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci")})
    assert made.authenticate(field(token) + b", " + field(token)) is None


def test_a_token_ends(clock: Clock) -> None:
    token = mint()
    made = Authenticator(clock)
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci", expires_at=1010.0)})
    assert made.authenticate(field(token)) is not None
    clock.now = 1010.0
    assert made.authenticate(field(token)) is None


def test_a_revoked_token_proves_nothing_from_the_same_moment_on(clock: Clock) -> None:
    token = mint()
    made = Authenticator(clock)
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci")})
    assert made.authenticate(field(token)) is not None
    made.credentials = Credentials()
    assert made.authenticate(field(token)) is None


def test_many_tokens_take_no_room(clock: Clock) -> None:
    tokens = [mint() for _ in range(5000)]
    made = Authenticator(clock)
    made.credentials = Credentials({digest(t): TokenRecord(t[:8], "x") for t in tokens})
    assert all(made.authenticate(field(t)) for t in tokens)
    assert len(made._known) <= 4096
