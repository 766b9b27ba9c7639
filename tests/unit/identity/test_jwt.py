"""JSON Web Tokens: only what an issuer signed for us, with an algorithm of its own, and only while it is valid."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwe, jws, jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from gateway.config.records import JwtIssuer
from gateway.control.jwks import shared_key_set
from gateway.core.principal import Principal
from gateway.identity.jwt import JwtVerifier
from gateway.identity.refusal import Refused

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
    return of(JwtVerifier([ISSUER, SHARED]).verify(token, now))


def of(verdict: Principal | Refused) -> str | None:
    """The id of a principal; None for a token that was refused."""
    return None if isinstance(verdict, Refused) else verdict.id


def test_a_good_one_of_each_kind() -> None:
    assert who(signed(GOOD)) == "u1"
    assert who(signed(GOOD, EC, "ES256")) == "u1"
    assert who(signed(GOOD | {"aud": ["x", "other"]})) == "u1"
    shared = {"iss": "https://h", "aud": "gateway", "user": "u2", "exp": NOW + 60}
    assert who(signed(shared, OctKey.import_key(SECRET), "HS256")) == "u2"


def test_what_it_says_of_itself_is_not_what_the_gateway_says() -> None:
    token = signed(GOOD | {"superuser": True, "kind": "superuser", "id": "root", "role": "admin"})
    principal = JwtVerifier([ISSUER]).verify(token, NOW)
    assert isinstance(principal, Principal)
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
    assert (of(first), of(second)) == ("u1", "e")


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
        assert of(JwtVerifier([mixed]).verify(f"{text}.{mac}", NOW)) is None


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
    assert of(JwtVerifier([issuer]).verify(signed(GOOD), NOW)) is None


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
    assert of(verifier.verify(token, NOW + 91)) is None


def test_a_token_that_is_early_is_good_as_soon_as_it_begins() -> None:
    verifier = JwtVerifier([ISSUER])
    token = signed(GOOD | {"nbf": NOW + 31})
    assert of(verifier.verify(token, NOW)) is None
    assert of(verifier.verify(token, NOW + 1)) == "u1"


def test_a_bad_signature_is_remembered_for_seconds_only() -> None:
    budget = Counting()
    verifier = JwtVerifier([ISSUER])
    bad = signed(GOOD, OTHER)
    for at in (0, 1, 4.9, 5):
        assert of(verifier.verify(bad, NOW + at, lambda: budget)) is None
    assert budget.failures == 2


def test_a_refused_token_does_not_spoil_a_good_one() -> None:
    verifier = JwtVerifier([ISSUER])
    token = signed(GOOD)
    assert of(verifier.verify(token[:-8] + "AAAAAAAA", NOW)) is None
    assert of(verifier.verify(token, NOW)) == "u1"
    assert of(verifier.verify(token[:-8] + "AAAAAAAA", NOW)) is None


def test_memory_is_bounded_and_bad_tokens_push_no_good_one_out() -> None:
    verifier = JwtVerifier([ISSUER, SHARED])
    budget = Counting()
    good, head = signed(GOOD), part({"alg": "HS256"})
    claims = GOOD | {"iss": "https://h", "user": "u2"}
    assert of(verifier.verify(good, NOW)) == "u1"
    for number in range(5000):
        assert of(verifier.verify(f"{head}.{part(claims | {'jti': number})}.eHg", NOW, lambda: budget)) is None
    assert budget.failures == 5000
    assert len(verifier._bad) <= 4096
    assert of(verifier.verify(good, NOW, lambda: Counting(left=0))) == "u1"


def test_without_issuers_nothing_is_good() -> None:
    assert of(JwtVerifier(()).verify(signed(GOOD), NOW)) is None
    for keys in ('{"keys":[]}', ""):
        issuer = JwtIssuer("https://i", ("gateway",), ("RS256",), keys)
        assert of(JwtVerifier([issuer]).verify(signed(GOOD), NOW)) is None


class Counting:
    """A budget that counts, and ends."""

    def __init__(self, left: int = 1 << 30) -> None:
        self.left = left
        self.failures = 0
        self.asked = 0

    def allows(self, issuer: str, subject: str) -> bool:
        self.asked += 1
        return self.left > self.failures

    def succeeded(self, issuer: str, subject: str) -> None:
        return None

    def failed(self, issuer: str, subject: str, signatures: int) -> None:
        self.failures += signatures


EC512 = ECKey.generate_key("P-521", {"kid": "e5"})


def wanted_of(verifier: JwtVerifier, token: str) -> tuple[str | None, list[str]]:
    return of(verifier.verify(token, NOW)), verifier.take_wanted()


def published(*keys: Any, **changes: object) -> JwtIssuer:
    """An issuer with the public part of these keys, ``changes`` made to each."""
    given = [{k: v for k, v in (key.as_dict(private=False) | changes).items() if v is not None} for key in keys]
    algorithms = ("RS256", "PS256", "ES256", "ES512")
    return JwtIssuer("https://i", ("gateway",), algorithms, json.dumps({"keys": given}), keys_url="https://i/k")


@pytest.mark.parametrize(
    ("issuer", "token", "expected"),
    [
        (published(RSA, OTHER, EC, kid=None), signed(GOOD), "u1"),
        (published(OTHER, RSA, EC, kid=None), signed(GOOD), "u1"),
        (published(OTHER, EC, RSA), signed(GOOD, kid="other"), None),
        (published(EC512, EC), signed(GOOD, EC, "ES256"), "u1"),
        (published(EC, EC512, kid="same"), signed(GOOD, EC512, "ES512", kid="same"), "u1"),
        (published(EC, RSA, kid="same"), signed(GOOD, kid="same"), "u1"),
        (published(OTHER, RSA, kid="r1"), signed(GOOD), "u1"),
        (published(RSA, use="sig", alg="RS256"), signed(GOOD), "u1"),
        (published(RSA, use="sig", alg="PS256"), signed(GOOD), None),
        (published(RSA, alg="PS256"), signed(GOOD, alg="PS256"), "u1"),
    ],
    ids=range(10),  # the keys are new each time
)
def test_a_key_is_chosen_by_what_it_is_for(issuer: JwtIssuer, token: str, expected: str | None) -> None:
    assert of(JwtVerifier([issuer]).verify(token, NOW)) == expected


def test_a_token_without_a_key_id_is_tried_with_every_key_that_fits() -> None:
    head = {"alg": "RS256"}
    token = jwt.encode(head, GOOD, RSA, algorithms=["RS256"])
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "==")).get("kid") is None
    assert of(JwtVerifier([published(EC, OTHER, RSA)]).verify(token, NOW)) == "u1"
    budget = Counting()
    assert of(JwtVerifier([published(*[OTHER] * 40)]).verify(token, NOW, lambda: budget)) is None
    assert budget.failures == 16


def test_only_an_unknown_key_id_asks_for_the_key_set() -> None:
    verifier = JwtVerifier([published(RSA, EC)])
    assert wanted_of(verifier, signed(GOOD)) == ("u1", [])
    assert wanted_of(verifier, signed(GOOD, OTHER)) == (None, [])
    assert wanted_of(verifier, signed(GOOD, kid="e1")) == (None, [])
    assert wanted_of(verifier, signed(GOOD, kid="new")) == (None, ["https://i/k"])
    # Not for a stranger's token, and not for one that would be refused all the same.
    for changes in ({"iss": "https://x"}, {"aud": "x"}, {"exp": 1}, {"sub": ""}):
        assert wanted_of(verifier, signed(GOOD | changes, kid="new")) == (None, [])
    assert wanted_of(verifier, signed(GOOD, alg="RS512", kid="new")) == (None, [])
    assert wanted_of(JwtVerifier([SHARED]), signed(GOOD | {"iss": "https://h"}, kid="new")) == (None, [])


def test_an_unknown_key_id_is_good_as_soon_as_the_key_is_there() -> None:
    new = RSAKey.generate_key(2048, {"kid": "r2"})
    verifier = JwtVerifier([published(RSA)])
    assert of(verifier.verify(signed(GOOD, new), NOW)) is None
    verifier.replace([published(RSA, new)])
    assert of(verifier.verify(signed(GOOD, new), NOW)) == "u1"


def test_keys_that_are_not_known_take_none_away_and_a_withdrawn_one_ends() -> None:
    verifier = JwtVerifier([published(RSA), SHARED])
    token = signed(GOOD)
    assert of(verifier.verify(token, NOW)) == "u1"
    unknown = JwtIssuer("https://i", ("gateway",), ("RS256",), "", keys_url="https://i/k")
    verifier.replace([unknown, SHARED])
    assert of(verifier.verify(token, NOW)) == "u1"
    verifier.replace([JwtIssuer("https://i", ("gateway",), ("RS256",), "", keys_url="https://i/other")])
    assert of(verifier.verify(token, NOW)) is None
    verifier.replace([published(RSA)])
    assert of(verifier.verify(token, NOW)) == "u1"
    verifier.replace([published(EC)])
    assert of(verifier.verify(token, NOW)) is None


def test_an_issuer_that_has_not_changed_keeps_what_was_verified() -> None:
    verifier = JwtVerifier([published(RSA), SHARED])
    first = verifier.verify(signed(GOOD), NOW)
    none_left = Counting(left=0)
    kept = signed(GOOD)
    verifier.verify(kept, NOW)
    verifier.replace([published(RSA)])
    assert of(verifier.verify(kept, NOW, lambda: none_left)) == of(first)


REFUSALS = [
    (signed(GOOD, OTHER), "its signature is of no key of the issuer https://i that fits"),
    (signed(GOOD | {"exp": NOW - 100}), "it expired 100 seconds ago"),
    (signed(GOOD | {"nbf": NOW + 100}), "it is not valid before 100 seconds from now (nbf)"),
    (signed(GOOD | {"iat": NOW + 100}), "it was issued 100 seconds in the future (iat): compare the clocks"),
    (signed({k: v for k, v in GOOD.items() if k != "exp"}), "it has no expiry (exp)"),
    (signed(GOOD | {"exp": "x"}), "its claim exp is not a time"),
    (signed(GOOD | {"aud": "x"}), "it is for another audience than the issuer https://i has here"),
    (signed(GOOD | {"iss": "https://evil\n"}), "its issuer is not trusted"),
    (signed(GOOD | {"sub": 7}), "its claim sub is missing or is not text"),
    (signed(GOOD, alg="RS512"), "its algorithm 'RS512' is not among those of the issuer https://i"),
    (signed(GOOD, kid="new\n" + "x" * 100), "the issuer https://i has no key 'new\\n" + "x" * 60 + "' for RS256"),
    (f"{part({'alg': 'none'})}.{part(GOOD)}.", "it names no algorithm that is known here"),
    (f"{part({'alg': 'RS256', 'kid': {}})}.{part(GOOD)}.", "its key id is not text"),
    ("a.b.c", "it is not a JSON Web Token"),
    ("x" * 9000, "it is longer than 8192 characters"),
]


@pytest.mark.parametrize(("token", "reason"), REFUSALS, ids=range(len(REFUSALS)))
def test_the_reason_is_told_without_the_token(token: str, reason: str) -> None:
    assert JwtVerifier([ISSUER, SHARED]).verify(token, NOW) == Refused(reason)


@pytest.mark.parametrize(("token", "reason"), REFUSALS[1:], ids=range(1, len(REFUSALS)))
def test_nothing_but_a_bad_signature_costs_a_verification(token: str, reason: str) -> None:
    budget = Counting()
    JwtVerifier([ISSUER, SHARED]).verify(token, NOW, lambda: budget)
    assert (budget.asked, budget.failures) == (0, 0)


def test_without_a_budget_left_only_what_was_verified_passes() -> None:
    verifier, none_left = JwtVerifier([ISSUER]), Counting(left=0)
    token, other = signed(GOOD), signed(GOOD | {"sub": "u2"})
    assert of(verifier.verify(token, NOW)) == "u1"
    assert of(verifier.verify(token, NOW, lambda: none_left)) == "u1"
    refused = verifier.verify(other, NOW, lambda: none_left)
    assert isinstance(refused, Refused)
    assert "was not verified" in refused.reason
    assert of(verifier.verify(other, NOW)) == "u2"  # a refusal for want of a budget is not remembered
