from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config import actions as records
from gateway.config.schema.outbound_auth import Auth

READER: TypeAdapter[Any] = TypeAdapter(Auth)


@pytest.mark.parametrize(
    ("written", "record"),
    [
        ({"type": "none"}, records.Auth()),
        ({"type": "api_key", "name": "key", "value": "s"}, records.Auth("api_key", "key", "s")),
        (
            {"type": "api_key", "name": "X-Key", "value": "s", "in": "query"},
            records.Auth("api_key", "X-Key", "s", "query"),
        ),
        ({"type": "basic", "username": "u", "password": "s"}, records.Auth("basic", "u", "s")),
        ({"type": "bearer", "token": "s"}, records.Auth("bearer", "", "s")),
        (
            {
                "type": "sigv4",
                "access_key_id": "i",
                "secret_access_key": "s",
                "session_token": "t",
                "region": "eu-1",
                "service": "s3",
            },
            records.Auth("sigv4", "i", "s", session="t", region="eu-1", service="s3"),
        ),
        (
            {"type": "hmac", "header": "X-S", "secret": "s", "prefix": "v1="},
            records.Auth("hmac", "X-S", "s", prefix="v1="),
        ),
    ],
)
def test_each_type_is_a_record(written: dict[str, str], record: records.Auth) -> None:
    section = READER.validate_python(written)
    assert section.record() == record
    assert "'s'" not in repr(section)


@pytest.mark.parametrize(
    "written",
    [
        {"type": "api_key", "name": "a b-c", "value": "s"},
        {"type": "api_key", "name": "Connection", "value": "s", "in": "header"},
        {"type": "api_key", "name": "", "value": "s"},
        {"type": "sigv4", "access_key_id": "i", "secret_access_key": "s", "region": "A/B", "service": "s3"},
        {"type": "hmac", "header": "X-S", "secret": "s", "prefix": "a b"},
        {"type": "none", "token": "s"},
    ],
)
def test_what_no_request_can_carry_is_rejected(written: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        READER.validate_python(written)


def test_a_parameter_may_have_a_name_that_no_field_has() -> None:
    assert READER.validate_python({"type": "api_key", "name": "connection", "value": "s", "in": "query"})
