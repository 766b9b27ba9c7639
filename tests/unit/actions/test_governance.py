"""Which actions may be called at all."""

from __future__ import annotations

import pytest

from gateway.actions.governance import allowed, forbidden
from gateway.config.actions import Governance

GET = "trn:openact:default:action/http/get-user@v2"
HUB = "trn:openact:default:connection/http/hub@v1"


@pytest.mark.covers("ACT-39")
@pytest.mark.parametrize(
    ("allow", "deny", "name", "may"),
    [
        (("*",), (), GET, True),
        ((), (), GET, False),
        (("http.*",), (), GET, True),
        (("*.get-user",), (), GET, True),
        (("http.get-*",), (), GET, True),
        (("sql.*",), (), GET, False),
        (("http.get",), (), GET, False),
        (("*",), ("*.get-user",), GET, False),
        (("http.get-user",), ("http.*",), GET, False),
        (("trn:openact:default:action/http/get-user@v2",), (), GET, True),
        (("trn:openact:default:action/http/get-user",), (), GET, True),
        (("trn:openact:default:action/http/get-user@v1",), (), GET, False),
        (("trn:openact:other:*",), (), GET, False),
        (("trn:openact:*:action/*",), (), GET, True),
        (("*",), (), HUB, True),
        (("http.*",), (), HUB, True),
        (("*.hub",), (), HUB, False),
        (("http.connection/hub",), (), HUB, True),
        (("*",), ("*.connection/*",), HUB, False),
        (("*",), ("*.connection/*",), GET, True),
        (("http.get.user",), (), GET, False),
    ],
)
def test_a_denial_wins_over_what_is_allowed(
    allow: tuple[str, ...], deny: tuple[str, ...], name: str, may: bool
) -> None:
    assert allowed(Governance(allow, deny), name) is may


def test_the_error_names_the_action_and_the_section_of_the_file() -> None:
    error = forbidden(GET)
    assert error.message.startswith("get-user may not be called here: `governance`")
    assert error.code == "forbidden.action"
