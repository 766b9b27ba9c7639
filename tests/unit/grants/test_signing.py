from dataclasses import replace

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.config.actions import OAuth
from gateway.grants.errors import ProviderRefusedError
from gateway.grants.signing import signed

SHARED = "s" * 32
BASE = OAuth("https://idp/t", key=SHARED, algorithm="HS256", issuer="robot", subject="ann", audience="https://idp/t")
KEYS = {
    "RS256": RSAKey.generate_key(2048),
    "PS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
}


def test_an_assertion_has_the_claims_of_the_rfc() -> None:
    oauth = replace(BASE, scopes=("a", "b"), key_id="k1", lifetime=60.0)
    found = signed(oauth, 1000.0)
    read = jwt.decode(found.access, OctKey.import_key(SHARED), algorithms=["HS256"])
    assert read.header == {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    jti = read.claims.pop("jti")
    assert read.claims == {
        "iss": "robot",
        "sub": "ann",
        "aud": "https://idp/t",
        "iat": 990,
        "exp": 1060,
        "scope": "a b",
    }
    assert (found.issued, found.expires, found.refresh) == (1000.0, 1060.0, "")
    again = jwt.decode(signed(oauth, 1000.0).access, OctKey.import_key(SHARED), algorithms=["HS256"])
    assert again.claims["jti"] != jti, "an assertion is used once"


def test_a_token_of_its_own_has_no_more_than_it_needs() -> None:
    found = signed(replace(BASE, token_url="", subject="", audience="", scopes=("a",)), 1000.0)
    read = jwt.decode(found.access, OctKey.import_key(SHARED), algorithms=["HS256"])
    assert read.claims == {"iss": "robot", "iat": 990, "exp": 1300}


@pytest.mark.parametrize("algorithm", KEYS)
def test_private_keys_in_pem(algorithm: str) -> None:
    key = KEYS[algorithm]
    pem = key.as_pem(private=True).decode()
    for text in (pem, pem.replace("\n", "\\n")):  # as a variable of one line has it
        found = signed(replace(BASE, key=text, algorithm=algorithm), 1000.0)
        assert jwt.decode(found.access, key, algorithms=[algorithm]).claims["iss"] == "robot"


@pytest.mark.parametrize(("key", "algorithm"), [("s3cret", "RS256"), (SHARED, "ES256"), ("-----BEGIN s3cret", "RS256")])
def test_a_key_that_cannot_sign_is_said_without_it(key: str, algorithm: str) -> None:
    with pytest.raises(ProviderRefusedError, match=f"cannot sign {algorithm}.*check auth.key") as caught:
        signed(replace(BASE, key=key, algorithm=algorithm), 1000.0)
    assert "s3cret" not in str(caught.value)
    assert caught.value.error == "invalid_key"
