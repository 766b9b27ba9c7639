import pytest

from gateway.actions import multipart
from gateway.actions.redaction import REDACTED, Redaction, is_secret, shown_body

NAMES = (
    *("client_secret", "refresh_token", "access_token", "api_key_value", "password", "authorization", "token"),
    *("secret", "key", "X-API-Key", "Proxy-Authorization", "Set-Cookie", "db.PASSWORD", "x_amz-signature"),
)


@pytest.mark.parametrize("name", NAMES)
def test_the_values_of_these_names_are_not_shown(name: str) -> None:
    assert is_secret(name)
    shown = Redaction()
    assert shown.value(name, "s3cret") == REDACTED
    assert shown.json({"a": [{name: "s3cret"}]}) == {"a": [{name: REDACTED}]}
    assert shown.json({name: {"deep": ["s3cret"]}}) == {name: REDACTED}


@pytest.mark.parametrize("name", ["Accept", "owner", "page", "Content-Type", "id"])
def test_other_names_are_shown(name: str) -> None:
    assert not is_secret(name)
    assert Redaction().value(name, "x") == "x"


def test_known_secrets_are_found_wherever_they_stand_also_in_urls() -> None:
    shown = Redaction(["p@ss/word", "p@ss/word-longer", "abc"])
    assert shown.text("x p@ss/word-longer y p@ss/word") == f"x {REDACTED} y {REDACTED}"
    assert shown.text("http://h/?q=p%40ss%2Fword&a=1") == f"http://h/?q={REDACTED}&a=1"
    assert shown.text("abcdef") == "abcdef", "a short one would be found in everything"
    assert shown.json(["p@ss/word", 3, None, {"a": "x p@ss/word"}]) == [REDACTED, 3, None, {"a": f"x {REDACTED}"}]


@pytest.mark.parametrize("empty", [None, "", {}, []])
def test_that_there_is_no_secret_is_shown(empty: object) -> None:
    assert Redaction().json({"token": empty}) == {"token": empty}
    assert Redaction().value("token", "") == ""


def test_a_form_with_files_shows_no_secret_member_and_none_of_the_connection() -> None:
    body = multipart.encode({"a": "shown", "password": "s3cret-1", 'own"': "s3cret-2", "b": "x known-secret y"})
    text = shown_body(Redaction(["known-secret"]), body, multipart.TYPE, {'own"': "s3cret-2"})
    assert "s3cret" not in text
    assert 'name="a"\r\n\r\nshown\r\n' in text
    assert f"x {REDACTED} y" in text
    assert text.count(REDACTED) == 3
