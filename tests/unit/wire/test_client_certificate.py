"""What a caller's certificate says of it."""

from __future__ import annotations

import hashlib

import pytest

from gateway.wire.client_certificate import client_certificate

SHOWN = {
    "subject": ((("countryName", "DE"),), (("organizationName", "Ex, Inc."), ("commonName", "billing"))),
    "subjectAltName": (("DNS", "billing.example"), ("URI", "spiffe://example/billing"), ("IP Address", "192.0.2.1")),
}


def test_all_of_it() -> None:
    found = client_certificate(SHOWN, b"der", ("uri", "dns", "cn"))
    assert found is not None
    assert found.subject == "CN=billing,O=Ex\\, Inc.,C=DE"
    assert found.names == ("billing.example", "spiffe://example/billing", "192.0.2.1")
    assert found.fingerprint == hashlib.sha256(b"der").hexdigest()
    assert found.principal == "spiffe://example/billing"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (("dns", "uri"), "billing.example"),
        (("cn",), "billing"),
        ((), ""),
    ],
)
def test_the_rule_chooses_the_name(rule: tuple[str, ...], expected: str) -> None:
    found = client_certificate(SHOWN, b"der", rule)
    assert found is not None
    assert found.principal == expected


def test_a_name_that_is_missing_or_empty_is_passed_over() -> None:
    found = client_certificate({"subject": ((("commonName", ""),), (("commonName", "b"),))}, b"", ("uri", "cn"))
    assert found is not None
    assert found.principal == "b"


def test_one_line_whatever_stands_in_it() -> None:
    found = client_certificate({"subject": ((("commonName", '#a\n"b\\'),), (("emailAddress", " c"),))}, b"", ())
    assert found is not None
    assert found.subject == 'emailAddress=\\ c,CN=\\#a\\0A\\"b\\\\'


@pytest.mark.parametrize("described", [None, {}])
def test_none_was_shown(described: dict[str, object] | None) -> None:
    assert client_certificate(described, None, ("cn",)) is None
