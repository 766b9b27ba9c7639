"""From the Authorization field to a principal: what is good now, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.config.records import Credentials, JwtIssuer, TokenRecord
from gateway.identity.authenticator import Authenticator
from gateway.identity.budget import BURST
from gateway.identity.tokens import digest, mint

KEY, OTHER = (ECKey.generate_key("P-256", {"kid": "e1"}) for _ in range(2))
CLAIMS: dict[str, Any] = {"iss": "https://i", "aud": "gateway", "sub": "u1", "exp": 2000}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def field(token: str) -> bytes:
    return b"Bearer " + token.encode()


def at(address: str) -> Callable[[], str]:
    return lambda: address


def issuer(key: ECKey = KEY, name: str = "https://i") -> JwtIssuer:
    return JwtIssuer(name, ("gateway",), ("ES256",), json.dumps({"keys": [key.as_dict(private=False)]}))


def signed(key: ECKey = KEY, **claims: object) -> bytes:
    return field(jwt.encode({"alg": "ES256", "kid": "e1"}, CLAIMS | claims, key))


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


def test_what_a_token_stands_for_changes_at_once(clock: Clock) -> None:
    token = mint()
    made = Authenticator(clock)
    made.credentials = Credentials(
        {digest(token): TokenRecord("t1", "ci", "superuser", True, claims={"role": "admin"})}
    )
    before = made.authenticate(field(token))
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci", expires_at=1010.0)})
    after = made.authenticate(field(token))
    assert before is not None
    assert after is not None
    assert (before.superuser, after.superuser) == (True, False)
    assert "role" not in after.claims
    clock.now = 1010.0
    assert made.authenticate(field(token)) is None


def test_new_credentials_bring_and_take(clock: Clock) -> None:
    old, new = mint(), mint()
    made = Authenticator(clock)
    for good, gone in ((old, new), (new, old), (old, new)):
        made.credentials = Credentials({digest(good): TokenRecord("t", "ci")})
        assert made.authenticate(field(good)) is not None
        assert made.authenticate(field(gone)) is None


def test_only_good_uses_of_tokens_are_told(clock: Clock) -> None:
    """Else anybody could fill the table of uses with tokens of his own making."""
    token, ended = mint(), mint()
    made = Authenticator(clock)
    made.credentials = Credentials(
        {digest(token): TokenRecord("t1", "ci"), digest(ended): TokenRecord("t2", "ci", expires_at=999.0)}, (issuer(),)
    )
    for value in (field(token), field(ended), field(mint()), signed(), b"Basic x"):
        made.authenticate(value)
    clock.now = 1001.0
    made.authenticate(field(token))
    assert made.take_used() == {digest(token): 1001.0}


def test_a_digest_is_no_token(clock: Clock) -> None:
    """What leaks from the database opens nothing."""
    token = mint()
    made = Authenticator(clock)
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci")})
    assert made.authenticate(field(digest(token))) is None
    assert made.authenticate(field("bwt_" + digest(token))) is None


@pytest.mark.parametrize(
    "scheme", [b"Token ", b"Basic ", b"Bearer\t", b"Bearer \t", b"Bearer:", b"Bearer", b" Bearer ", b"DPoP ", b""]
)
def test_another_scheme_proves_nothing(scheme: bytes, clock: Clock) -> None:
    token = mint()
    made = Authenticator(clock)
    made.credentials = Credentials({digest(token): TokenRecord("t1", "ci")})
    assert made.authenticate(scheme + token.encode()) is None


def test_a_jwt_is_good_by_the_clock_of_the_wall(clock: Clock) -> None:
    made = Authenticator(clock)
    made.credentials = Credentials(issuers=(issuer(),))
    principal = made.authenticate(signed())
    assert principal is not None
    assert (principal.id, principal.kind, principal.superuser) == ("u1", "jwt", False)
    clock.now = 2029.0
    assert made.authenticate(signed()) is not None
    clock.now = 2030.0
    assert made.authenticate(signed()) is None


def test_an_issuer_or_a_key_taken_away_is_not_believed_from_the_same_moment_on(clock: Clock) -> None:
    made, value = Authenticator(clock), signed()
    for credentials in (
        Credentials(),
        Credentials(issuers=(issuer(OTHER),)),
        Credentials(issuers=(issuer(name="https://j"),)),
    ):
        made.credentials = Credentials(issuers=(issuer(),))
        assert made.authenticate(value) is not None
        made.credentials = credentials
        assert made.authenticate(value) is None


def test_a_refusal_does_not_outlive_the_issuers_it_came_from(clock: Clock) -> None:
    made, value = Authenticator(clock), signed()
    assert made.authenticate(value) is None
    made.credentials = Credentials(issuers=(issuer(OTHER),))
    assert made.authenticate(value) is None
    made.credentials = Credentials(issuers=(issuer(),))
    assert made.authenticate(value) is not None


def test_a_change_of_tokens_does_not_verify_each_jwt_again(clock: Clock) -> None:
    made, value = Authenticator(clock), signed()
    made.credentials = Credentials(issuers=(issuer(),))
    first = made.authenticate(value)
    made.credentials = Credentials({digest(mint()): TokenRecord("t1", "ci")}, (issuer(),))
    assert made.authenticate(value) is first


def test_many_tokens_take_no_room(clock: Clock) -> None:
    tokens = [mint() for _ in range(5000)]
    made = Authenticator(clock)
    made.credentials = Credentials({digest(t): TokenRecord(t[:8], "x") for t in tokens})
    assert all(made.authenticate(field(t)) for t in tokens)
    assert len(made._known) <= 4096


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gateway.identity.authenticator"]


def test_the_log_says_why_once_a_second_and_never_what(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    made, opaque = Authenticator(clock), mint()
    made.credentials = Credentials({digest(opaque): TokenRecord("t1", "ci\n", expires_at=1.0)}, (issuer(),))
    values = [field(opaque), field(mint()), signed(OTHER), signed(exp=1), b"Bearer nonsense", b"Bearer a.b.c"]
    for value in values:
        for _ in range(3):
            assert made.authenticate(value, at("192.0.2.1:7")) is None
        clock.now += 1.0
    told = reasons(caplog)
    assert told == [
        "a token from 192.0.2.1:7 was rejected: the token 'ci\\n' has expired",
        "a token from 192.0.2.1:7 was rejected: no such token is stored (2 more since the last such line)",
        (
            "a token from 192.0.2.1:7 was rejected: its signature is of no key of the issuer https://i that fits "
            "(2 more since the last such line)"
        ),
        "a token from 192.0.2.1:7 was rejected: it expired 1002 seconds ago (2 more since the last such line)",
        (
            "a token from 192.0.2.1:7 was rejected: it is neither a token of the gateway nor a JSON Web Token "
            "(2 more since the last such line)"
        ),
        "a token from 192.0.2.1:7 was rejected: it is not a JSON Web Token (2 more since the last such line)",
    ]
    assert not [value for value in values[:4] if value[7:].decode() in " ".join(told)]


def test_without_issuers_no_json_web_token_proves_anything(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """What verifies tokens is not even loaded; it is as soon as there is an issuer."""
    made = Authenticator(clock)
    assert made.authenticate(signed(), at("192.0.2.1:7")) is None
    assert reasons(caplog) == [
        "a token from 192.0.2.1:7 was rejected: it is a JSON Web Token, and there is no issuer in auth.jwt"
    ]
    assert made.take_wanted() == []
    made.credentials = Credentials({}, (issuer(),))
    assert made.authenticate(signed(), at("192.0.2.1:7")) is not None


def test_who_shows_no_token_is_not_in_the_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for value in (None, b"", b"Basic abc", b"Bearer"):
        assert Authenticator(clock).authenticate(value, at("192.0.2.1:7")) is None
    assert reasons(caplog) == []


def test_bad_signatures_are_bounded_by_address_and_good_tokens_pass(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind one address (NAT): what was verified passes, and so does the next token of a caller who is known there."""
    made = Authenticator(clock)
    made.credentials = Credentials({}, (issuer(),))
    good = signed()

    nat = at("192.0.2.1:7")
    assert made.authenticate(good, nat) is not None
    for number in range(BURST + 20):
        assert made.authenticate(signed(OTHER, sub=f"s{number}"), at(f"192.0.2.1:{number}")) is None
        clock.now += 0.001
    clock.now += 1.0
    caplog.clear()
    for number in range(10):
        assert made.authenticate(signed(OTHER, sub=f"x{number}"), nat) is None
    assert made.authenticate(good, nat) is not None
    assert made.authenticate(signed(jti="renewed"), nat) is not None
    assert made.authenticate(signed(sub="a stranger there"), nat) is None
    assert made.authenticate(signed(sub="elsewhere"), at("192.0.2.2:7")) is not None
    clock.now += 2.0
    assert made.authenticate(signed(sub="a stranger there"), nat) is not None


def test_who_asks_is_looked_up_only_for_a_refusal_or_a_signature(clock: Clock) -> None:
    made, opaque = Authenticator(clock), mint()
    made.credentials = Credentials({digest(opaque): TokenRecord("t1", "ci")}, (issuer(),))
    looked_up = []

    def client() -> str:
        looked_up.append(1)
        return "192.0.2.1:7"

    good = signed()
    assert made.authenticate(good, client) is not None
    assert len(looked_up) == 1
    for value in (good, field(opaque), None):
        made.authenticate(value, client)
    assert len(looked_up) == 1


def test_a_key_that_is_missing_is_asked_for_once(clock: Clock) -> None:
    made = Authenticator(clock)
    published = dataclasses.replace(issuer(OTHER), keys_url="https://i/keys")
    made.credentials = Credentials({}, (published,))
    token = field(jwt.encode({"alg": "ES256", "kid": "new"}, CLAIMS, KEY))
    assert made.authenticate(token) is None
    assert made.authenticate(token) is None
    assert made.take_wanted() == ["https://i/keys"]
    assert made.take_wanted() == []
