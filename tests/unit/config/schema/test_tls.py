"""TLS of a listener in the file: what is read of it, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.tls import write_certificates

from gateway.config.errors import ConfigError
from gateway.config.load import settings_in
from gateway.config.records import Listener
from gateway.config.schema.settings import Settings
from gateway.core.address import Address


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    monkeypatch.chdir(tmp_path)


def listener(tls: str) -> Listener:
    settings = settings_in(f"listen: {{address: 'h:1', tls: {tls}}}", "yaml", "f", {})
    return settings.record({}, {}).listen[0]


A, B = "{cert: a.pem, key: a.key}", "{cert: b.pem, key: b.key}"


def test_certificates_in_their_order() -> None:
    tls = listener(f"{{certificates: [{A}, {B}]}}").tls
    assert tls is not None
    assert [certificate.names for certificate in tls.certificates] == [("a.test",), ("b.test",)]
    assert [certificate.client_auth for certificate in tls.certificates] == ["none", "none"]
    assert tls.principal == ("uri", "dns", "cn")
    assert tls.min_version == "1.2"


def test_a_certificate_may_ask_for_other_callers_than_its_listener() -> None:
    other = "{cert: b.pem, key: b.key, client_auth: optional, client_ca: partners.pem}"
    tls = listener(f"{{certificates: [{A}, {other}], client_auth: required, client_ca: callers.pem}}").tls
    assert tls is not None
    first, second = tls.certificates
    assert (first.client_auth, second.client_auth) == ("required", "optional")
    assert first.client_ca != second.client_ca
    assert "PRIVATE" not in repr(tls)
    assert "BEGIN" not in repr(tls)


def test_no_authorities_where_no_certificate_is_asked_for() -> None:
    open_one = "{cert: b.pem, key: b.key, client_auth: none}"
    tls = listener(f"{{certificates: [{A}, {open_one}], client_auth: required, client_ca: callers.pem}}").tls
    assert tls is not None
    assert [bool(certificate.client_ca) for certificate in tls.certificates] == [True, False]


@pytest.mark.parametrize(
    ("tls", "place", "sentence"),
    [
        ("{certificates: []}", "f:1: listen.tls.certificates", "must not be empty; name at least one certificate"),
        (f"{{certificates: [{A}], client_auth: required}}", "f:1: listen.tls", "needs client_ca"),
        (
            f"{{certificates: [{A}], client_ca: callers.pem}}",
            "f:1: listen.tls",
            "no effect while client_auth is none",
        ),
        ("{certificates: [{cert: a.pem, key: b.key}]}", "f:1: listen.tls.certificates.0", "does not belong to"),
        ("{certificates: [{cert: no.pem, key: b.key}]}", "f:1: listen.tls.certificates.0", "cannot be read"),
        (
            f"{{certificates: [{A}], client_auth: optional, client_ca: a.key}}",
            "f:1: listen.tls",
            "no certificate that",
        ),
        (f"{{certificates: [{A}], min_version: '1.1'}}", "f:1: listen.tls.min_version", "1.2"),
        ("{certificates: [{cert: a.pem}]}", "f:1: listen.tls.certificates.0.key", "is required"),
    ],
)
def test_what_cannot_be_meant(tls: str, place: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        listener(tls)
    assert place in str(caught.value)
    assert sentence in str(caught.value)


def test_the_files_that_it_was_read_from() -> None:
    text = f"listen: {{address: 'h:1', tls: {{certificates: [{A}], client_auth: required, client_ca: callers.pem}}}}"
    settings = settings_in(text, "yaml", "f", {})
    assert settings.sources().keys() == {"a.pem", "a.key", "callers.pem"}
    assert [(each.where, each.name) for each in settings.certificates()] == [("h:1", "a.test")]


def admin(tls: str, listen: str = "0.0.0.0:8081") -> Settings:
    return settings_in(f"admin: {{listen: '{listen}', tls: {tls}}}\ndatabase: sqlite:///x.db", "yaml", "f", {})


def test_the_admin_listener_has_the_same_section() -> None:
    made = admin(f"{{certificates: [{A}], client_auth: required, client_ca: callers.pem}}")
    assert made.sources().keys() == {"a.pem", "a.key", "callers.pem"}
    assert [each[:3] for each in made.certificates()] == [("admin", "0.0.0.0:8081", "a.test")]
    assert made.record({}, {}).own_listeners == (Address("0.0.0.0", 8081),)


@pytest.mark.parametrize(
    ("tls", "listen", "sentence"),
    [
        (f"{{certificates: [{A}, {B}]}}", "h:1", "the admin listener shows one certificate"),
        (f"{{certificates: [{A}], principal: [cn]}}", "h:1", "principal has no effect: operators are known by"),
        (f"{{certificates: [{A}]}}", "unix:/x", "has no effect on a Unix socket"),
        ("{certificates: [{cert: a.pem, key: b.key}]}", "h:1", "does not belong to"),
    ],
)
def test_what_cannot_be_meant_of_the_admin_listener(tls: str, listen: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        admin(tls, listen)
    assert str(caught.value).startswith("f:1: admin.tls")
    assert sentence in str(caught.value)


def test_a_unix_socket_is_no_address_of_its_own() -> None:
    made = admin("null", "unix:/run/x.sock")
    assert made.record({}, {}).own_listeners == ()
    assert made.certificates() == []
    made.destinations()
