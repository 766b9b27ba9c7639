import pytest
from pydantic import ValidationError

from gateway.config.schema.auth import Jwt

ISSUER = {"issuer": "i", "audience": ["a"]}
KEYS = {"jwks_url": "https://h/keys"}
SECRET = {"secret": "s" * 32}


@pytest.mark.parametrize("source", [KEYS | {"algorithms": ["RS256"]}, SECRET | {"algorithms": ["HS256", "HS512"]}])
def test_keys_come_from_one_source(source: dict[str, object]) -> None:
    assert Jwt.model_validate(ISSUER | source).id_claim == "sub"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ({"algorithms": ["RS256"]}, "either a jwks_url or a secret"),
        (KEYS | SECRET | {"algorithms": ["RS256"]}, "either a jwks_url or a secret"),
        (KEYS | {"algorithms": ["HS256"]}, "HS algorithms go with a secret"),
        (SECRET | {"algorithms": ["HS256", "RS256"]}, "HS algorithms go with a secret"),
    ],
)
def test_what_does_not_go_together_is_rejected(source: dict[str, object], hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Jwt.model_validate(ISSUER | source)
