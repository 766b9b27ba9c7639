from dataclasses import replace

import pytest

from gateway.config.actions import OAuth
from gateway.config.grants import Grant
from gateway.core.grant import StoredGrant
from gateway.grants.errors import NotAuthorizedError
from gateway.grants.standing import check_authorized, empty, ended, first, holds, known
from gateway.ipc.tokens import AccessToken

ROBOT = Grant("trn", "connection/shop", "oauth2_client_credentials", OAuth("https://i", "c"), "https://h")
PERSON = replace(ROBOT, kind="oauth2_device")


def stored(grant: Grant, access: str = "a", error: str = "") -> StoredGrant:
    return StoredGrant("trn", grant.binding, access, "r", 10.0, 20.0, 3, error=error)


def test_before_anything_is_known() -> None:
    assert first(ROBOT) == AccessToken(lack="not_issued")
    assert first(PERSON, 2) == AccessToken(2, lack="unbound")
    assert empty(PERSON, 2).access == ""


def test_what_is_stored_is_known() -> None:
    assert known(ROBOT, stored(ROBOT), 15.0) == AccessToken(3, "a", 10.0, 20.0, 15.0)
    assert known(ROBOT, None, 15.0) == AccessToken(lack="not_issued")
    assert known(ROBOT, stored(PERSON), 15.0) == AccessToken(3, lack="not_issued"), "of another binding"
    assert known(PERSON, stored(PERSON, access=""), 15.0) == AccessToken(3, lack="unbound")
    ended_ = known(PERSON, stored(PERSON, error="invalid_grant"), 15.0)
    assert (ended_.lack, ended_.failure, ended_.value, ended_.until) == ("not_authorized", "not_authorized", "a", 17.0)
    assert known(ROBOT, stored(ROBOT, error="invalid_grant"), 15.0).failure == "", "a robot asks again"


def test_a_person_has_to_agree() -> None:
    check_authorized(ROBOT, stored(ROBOT, access="", error="x"))
    check_authorized(PERSON, stored(PERSON))
    for access, error, why in (("", "", "not authorized yet"), ("a", "invalid_grant", "holds no longer")):
        with pytest.raises(NotAuthorizedError, match=f"{why}.*gateway connection authorize shop"):
            check_authorized(PERSON, stored(PERSON, access, error))
    assert ended(PERSON).lack == "not_authorized"


def test_a_token_holds_until_its_end() -> None:
    assert holds(stored(ROBOT), 19.9)
    assert not holds(stored(ROBOT), 20.0)
    assert holds(replace(stored(ROBOT), expires=0.0), 1e12)
