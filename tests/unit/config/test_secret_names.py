import pytest

from gateway.config.secret_names import PUBLIC, is_secret

NAMES = (
    *("client_secret", "refresh_token", "access_token", "api_key_value", "password", "authorization", "token"),
    *("secret", "key", "X-API-Key", "Proxy-Authorization", "Set-Cookie", "db.PASSWORD", "x_amz-signature"),
)


@pytest.mark.parametrize("name", NAMES)
def test_these_names_have_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["owner", "page", "id", *sorted(PUBLIC)])
def test_other_names_have_none(name: str) -> None:
    assert not is_secret(name)
