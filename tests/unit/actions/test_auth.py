import hashlib
import hmac

import pytest

from gateway.actions.auth import authenticated, is_fixed, place_of
from gateway.actions.errors import InvalidCallError
from gateway.actions.fields import Layered
from gateway.actions.merge import Merged
from gateway.config.actions import TOKEN_KINDS, Auth, AuthKind, Place

MERGED = Merged("POST", "/v1", (Layered("q", "1", "input"),), (Layered("X-A", "1", "action"),), b'{"a":1}')


def apply(auth: Auth, merged: Merged = MERGED) -> Merged:
    return authenticated(auth, merged, "api.example.org", 1440938160.0)


@pytest.mark.covers("ACT-11", "ACT-12", "ACT-13")
@pytest.mark.parametrize(
    ("auth", "field"),
    [
        (Auth("api_key", "Authorization", "k"), ("Authorization", "Bearer k")),
        (Auth("api_key", "authorization", "k"), ("authorization", "Bearer k")),
        (Auth("api_key", "X-API-Key", "k"), ("X-API-Key", "k")),
        (Auth("api_key", "x-key", "k"), ("x-key", "k")),
        (Auth("api_key", "Api-Token", "k"), ("Api-Token", "k")),
        (Auth("api_key", "apikey", "k", "header"), ("apikey", "k")),
        (Auth("api_key", "Authorization", "Key k", "header"), ("Authorization", "Key k")),
        (Auth("basic", "Aladdin", "open sesame"), ("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),  # RFC 7617
        (Auth("basic", "test", "123£"), ("Authorization", "Basic dGVzdDoxMjPCow==")),  # RFC 7617 2.1
        (Auth("bearer", "", "t"), ("Authorization", "Bearer t")),
    ],
)
def test_a_credential_becomes_a_field(auth: Auth, field: tuple[str, str]) -> None:
    merged = apply(auth)
    assert merged.headers == (*MERGED.headers, (*field, "auth"))
    assert merged.query == MERGED.query


@pytest.mark.covers("ACT-11")
@pytest.mark.parametrize(("name", "place"), [("api_key", "auto"), ("key", "auto"), ("X-Key", "query")])
def test_a_key_becomes_a_parameter_and_replaces_what_others_set(name: str, place: Place) -> None:
    given = Merged("GET", "/", (Layered(name, "forged", "input"), Layered("a", "b", "input")), ())
    merged = apply(Auth("api_key", name, "k&=", place), given)
    assert merged.target == f"/?a=b&{name}=k%26%3D"


def test_no_layer_replaces_a_credential() -> None:
    given = Merged("GET", "/", (), (Layered("authorization", "forged", "input"),))
    assert apply(Auth("bearer", "", "t"), given).headers == (("Authorization", "Bearer t", "auth"),)
    assert apply(Auth(), given) is given


@pytest.mark.covers("ACT-44")
def test_the_hmac_is_that_of_the_body() -> None:
    expected = hmac.new(b"k", MERGED.body, hashlib.sha256).hexdigest()
    merged = apply(Auth("hmac", "X-Signature", "k", prefix="sha256="))
    assert merged.header("x-signature") == f"sha256={expected}"


@pytest.mark.parametrize("secret", ["s3cret\r\nHost: evil", "s3cret\n", "s3cret\0", "s3cret Ω"])
def test_a_credential_that_no_field_can_carry_is_an_error_without_it(secret: str) -> None:
    for auth in (Auth("bearer", "", secret), Auth("api_key", "X-Key", secret)):
        with pytest.raises(InvalidCallError) as caught:
            apply(auth)
        assert "s3cret" not in f"{caught.value} {caught.value.fields}"


def test_a_signature_replaces_fields_that_others_set() -> None:
    forged = tuple(Layered(name, "x", "input") for name in ("x-amz-date", "X-Amz-Security-Token", "authorization"))
    auth = Auth("sigv4", "AKIDEXAMPLE", "k", session="t", region="us-east-1", service="service")
    merged = apply(auth, Merged("GET", "/", (), forged))
    names = [each.name.lower() for each in merged.headers]
    assert sorted(names) == ["authorization", "x-amz-date", "x-amz-security-token"]
    assert {each.layer for each in merged.headers} == {"auth"}
    assert merged.header("X-Amz-Date") == "20150830T123600Z"


@pytest.mark.parametrize("kind", sorted(TOKEN_KINDS))
def test_a_token_has_its_place_and_comes_later(kind: AuthKind) -> None:
    given = Merged("GET", "/", (), (Layered("authorization", "forged", "input"),))
    assert apply(Auth(kind), given).headers == (("Authorization", "Bearer", "auth"),)


@pytest.mark.parametrize(
    ("auth", "place"),
    [
        (Auth("api_key", "Authorization", "k"), "header"),
        (Auth("api_key", "key", "k"), "query"),
        (Auth("api_key", "key", "k", "header"), "header"),
    ],
)
def test_the_place_of_a_key(auth: Auth, place: str) -> None:
    assert place_of(auth) == place


@pytest.mark.parametrize(
    ("auth", "fixed"),
    [
        (Auth(), True),
        (Auth("basic", "u", "p"), True),
        (Auth("bearer", "", "t"), True),
        (Auth("api_key", "X-Key", "k"), True),
        (Auth("api_key", "key", "k"), False),
        (Auth("hmac", "X-Signature", "k"), False),
        (Auth("sigv4", "AKID", "k", region="r", service="s"), False),
    ],
)
def test_what_may_be_kept_is_the_same_for_all_requests(auth: Auth, fixed: bool) -> None:
    assert is_fixed(auth) is fixed
    other = Merged("PUT", "/v2", (Layered("z", "2", "input"),), MERGED.headers, b"other")
    one, two = apply(auth), authenticated(auth, other, "other.test", 0.0)
    assert (one.headers == two.headers and (one.query, two.query) == (MERGED.query, other.query)) is fixed
