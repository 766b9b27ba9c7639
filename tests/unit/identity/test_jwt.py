"""JSON Web Tokens: only what an issuer signed for us, with an algorithm of its own, and only while it is valid."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwe, jws, jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from gateway.config.document import JwtIssuer
from gateway.identity.jwks import shared_key_set
from gateway.identity.jwt import JwtVerifier

NOW = 1_800_000_000.0
RSA = RSAKey.generate_key(2048, {"kid": "r1"})
OTHER = RSAKey.generate_key(2048, {"kid": "r1"})
EC = ECKey.generate_key("P-256", {"kid": "e1"})
PUBLIC = json.dumps(KeySet([RSA, EC]).as_dict(private=False))
ISSUER = JwtIssuer("https://i", ("gateway", "other"), ("RS256", "ES256"), PUBLIC)
SECRET = "s" * 32
SHARED = JwtIssuer("https://h", ("gateway",), ("HS256",), shared_key_set(SECRET), "user")
GOOD: dict[str, Any] = {"iss": "https://i", "aud": "gateway", "sub": "u1", "exp": NOW + 60}


def signed(claims: dict[str, Any], key: Any = RSA, alg: str = "RS256", **header: str) -> str:
    return jwt.encode(
        {"alg": alg, "kid": key.kid, **header} if key.kid else {"alg": alg}, claims, key, algorithms=[alg]
    )


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def who(token: str, now: float = NOW) -> str | None:
    principal = JwtVerifier([ISSUER, SHARED]).verify(token, now)
    return principal.id if principal else None


def test_a_good_one_of_each_kind() -> None:
    assert who(signed(GOOD)) == "u1"
    assert who(signed(GOOD, EC, "ES256")) == "u1"
    assert who(signed(GOOD | {"aud": ["x", "other"]})) == "u1"
    shared = {"iss": "https://h", "aud": "gateway", "user": "u2", "exp": NOW + 60}
    assert who(signed(shared, OctKey.import_key(SECRET), "HS256")) == "u2"


def test_what_it_says_of_itself_is_not_what_the_gateway_says() -> None:
    token = signed(GOOD | {"superuser": True, "kind": "superuser", "id": "root", "role": "admin"})
    principal = JwtVerifier([ISSUER]).verify(token, NOW)
    assert principal is not None
    assert not principal.superuser
    assert {k: principal.claims.get(k) for k in ("id", "kind", "superuser", "role")} == {
        "id": "u1",
        "kind": "jwt",
        "superuser": None,
        "role": "admin",
    }


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other"},
        {"iss": None},
        {"aud": "elsewhere"},
        {"aud": None},
        {"aud": []},
        {"exp": NOW - 31},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"exp": NOW * 1000},
        {"nbf": float("nan")},
        {"iat": float("nan")},
        {"nbf": NOW + 31},
        {"iat": NOW + 31},
        {"sub": ""},
        {"sub": 5},
        {"sub": None},
    ],
)
def test_claims_that_are_refused(claims: dict[str, object]) -> None:
    merged = {key: value for key, value in (GOOD | claims).items() if value is not None}
    assert who(signed(merged)) is None


def test_clocks_may_differ_a_little() -> None:
    assert who(signed(GOOD | {"exp": NOW - 29, "nbf": NOW + 29, "iat": NOW + 29})) == "u1"


def test_signatures_that_are_refused() -> None:
    good = signed(GOOD)
    head, body, signature = good.split(".")
    assert who(signed(GOOD, OTHER)) is None
    assert who(f"{head}.{part(GOOD | {'sub': 'root'})}.{signature}") is None
    assert who(f"{part({'alg': 'none'})}.{body}.") is None
    assert who(f"{head}.{body}.") is None
    assert who("a.b.c") is None
    assert who("." * 3) is None
    assert who(good + "x" * 9000) is None


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "rs256"])
@pytest.mark.parametrize("signature", ["", "eHg", None])
def test_no_algorithm_is_none(alg: str, signature: str | None) -> None:
    """RFC 8725 2.1. None: the very signature of a token that was signed."""
    head, body, genuine = signed(GOOD).split(".")
    assert who(f"{part({'alg': alg, 'kid': 'r1'})}.{body}.{genuine if signature is None else signature}") is None
    assert who(f"{part({'kid': 'r1'})}.{body}.{genuine}") is None
    assert who(f"{head}.{body}.{genuine}") == "u1"


@pytest.mark.parametrize("key", [(RSA, "RS256"), (EC, "ES256")], ids=["RS256", "ES256"])
@pytest.mark.parametrize("which", range(3))
def test_one_character_changed_anywhere(which: int, key: tuple[Any, str]) -> None:
    parts = signed(GOOD, *key).split(".")
    # Not the last character: some of its bits stand for nothing.
    for at in range(0, len(parts[which]) - 1, 7):
        changed = list(parts)
        changed[which] = parts[which][:at] + ("A" if parts[which][at] != "A" else "B") + parts[which][at + 1 :]
        assert who(".".join(changed)) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [({}, "u2"), ({"crit": ["b64"], "b64": False}, None), ({"crit": ["mine"], "mine": "1"}, None)],
    ids=str,
)
def test_what_must_be_understood_and_is_not(header: dict[str, Any], expected: str | None) -> None:
    """RFC 7515 4.1.11, over bytes that the issuer did sign."""
    text = f"{part({'alg': 'HS256'} | header)}.{part(GOOD | {'iss': 'https://h', 'user': 'u2'})}"
    mac = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256")).rstrip(b"=").decode()
    assert who(f"{text}.{mac}") == expected


def test_what_is_encrypted_for_a_public_key_is_signed_by_nobody() -> None:
    token = jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "r1"}, json.dumps(GOOD), RSA)
    assert who(token) is None


def test_an_issuer_signs_only_for_itself() -> None:
    """With good keys of its own; else each issuer could speak for all."""
    shared = GOOD | {"user": "root"}
    assert who(signed(shared, OctKey.import_key(SECRET), "HS256")) is None
    assert who(signed(GOOD | {"iss": "https://h", "user": "root"})) is None


def test_one_name_with_two_sets_of_keys() -> None:
    moved = JwtIssuer(
        "https://i", ("gateway",), ("RS256",), json.dumps({"keys": [OTHER.as_dict(private=False)]}), "email"
    )
    verifier = JwtVerifier([ISSUER, moved])
    first, second = verifier.verify(signed(GOOD), NOW), verifier.verify(signed(GOOD | {"email": "e"}, OTHER), NOW)
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == ("u1", "e")


def test_a_public_key_is_no_shared_secret() -> None:
    """RFC 8725 2.1: HS256 over the text of an RSA key that everybody knows."""
    text = f"{part({'alg': 'HS256', 'kid': 'r1'})}.{part(GOOD)}"
    mac = hmac.digest(RSA.as_pem(private=False), text.encode(), "sha256")
    assert who(f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}") is None


@pytest.mark.parametrize("kid", ["r1", "e1", None])
@pytest.mark.parametrize("known", [RSA.as_pem(private=False), RSA.as_der(private=False), b""])
def test_a_public_key_is_no_shared_secret_where_both_kinds_are_listed_either(kid: str | None, known: bytes) -> None:
    for keys in ([RSA, EC], [RSA]):
        mixed = JwtIssuer(
            "https://i", ("gateway",), ("RS256", "HS256"), json.dumps(KeySet(keys).as_dict(private=False))
        )
        text = f"{part({'alg': 'HS256'} | ({'kid': kid} if kid else {}))}.{part(GOOD)}"
        mac = base64.urlsafe_b64encode(hmac.digest(known, text.encode(), "sha256")).rstrip(b"=").decode()
        assert JwtVerifier([mixed]).verify(f"{text}.{mac}", NOW) is None


@pytest.mark.parametrize("kid", ["gone", "e1", ""])
def test_a_key_that_the_issuer_does_not_publish_by_that_name(kid: str) -> None:
    assert who(signed(GOOD, RSA, kid=kid)) is None


def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    header = {"alg": "RS256", "jwk": OTHER.as_dict(private=False)}
    assert who(jws.serialize_compact(header, json.dumps(GOOD).encode(), OTHER, algorithms=["RS256"])) is None


@pytest.mark.parametrize("made_for", [{"use": "enc"}, {"alg": "RS512"}, {"key_ops": ["encrypt"]}])
def test_a_key_that_is_made_for_something_else(made_for: dict[str, object]) -> None:
    keys = json.dumps({"keys": [RSA.as_dict(private=False) | made_for]})
    issuer = JwtIssuer("https://i", ("gateway",), ("RS256", "RS512"), keys)
    assert JwtVerifier([issuer]).verify(signed(GOOD), NOW) is None


DEEP = b'{"a":' * 1000
STRANGE = [b"[]", b'"x"', b"1", b"null", b"", b"\xff", b"[" * 5000, DEEP, b'{"alg":[]}', b'{"alg":"RS256","kid":{}}']


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: repr(text[:30]))
def test_strange_json_is_refused_and_no_more(text: bytes) -> None:
    strange = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    assert who(f"{strange}.{part(GOOD)}.eHg") is None
    assert who(jws.serialize_compact({"alg": "RS256", "kid": "r1"}, text, RSA, algorithms=["RS256"])) is None


def test_an_algorithm_that_is_not_listed() -> None:
    assert who(signed(GOOD, RSA, "RS512")) is None


def test_it_is_remembered_until_it_ends_and_not_longer() -> None:
    verifier = JwtVerifier([ISSUER])
    token = signed(GOOD)
    first = verifier.verify(token, NOW)
    assert verifier.verify(token, NOW + 1) is first
    assert verifier.verify(token, NOW + 91) is None


def test_a_refusal_is_remembered_for_seconds_only() -> None:
    verifier = JwtVerifier([ISSUER])
    token = signed(GOOD | {"nbf": NOW + 31})
    assert verifier.verify(token, NOW) is None
    assert verifier.verify(token, NOW + 5) is not None


def test_a_refused_token_does_not_spoil_a_good_one() -> None:
    verifier = JwtVerifier([ISSUER])
    token = signed(GOOD)
    assert verifier.verify(token[:-8] + "AAAAAAAA", NOW) is None
    assert verifier.verify(token, NOW) is not None
    assert verifier.verify(token[:-8] + "AAAAAAAA", NOW) is None


def test_memory_is_bounded() -> None:
    verifier = JwtVerifier([ISSUER])
    for number in range(5000):
        assert verifier.verify(f"a.{number}.c", NOW) is None
    assert len(verifier._remembered) <= 4096


def test_without_issuers_nothing_is_good() -> None:
    assert JwtVerifier(()).verify(signed(GOOD), NOW) is None
    assert (
        JwtVerifier([JwtIssuer("https://i", ("gateway",), ("RS256",), '{"keys":[]}')]).verify(signed(GOOD), NOW) is None
    )
