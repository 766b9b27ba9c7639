from __future__ import annotations

from typing import Any, cast

from gateway.policy.group import Condition
from gateway.policy.member import Member
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin


def test_its_member_is_that_of_its_condition() -> None:
    condition = Condition(Member("http://a"))
    assert Endpoint(Origin.of("http://a"), cast(Any, None), None, condition).member is condition.member
