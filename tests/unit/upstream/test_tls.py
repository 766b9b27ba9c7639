"""Contexts that are shared, and sentences for what went wrong."""

from __future__ import annotations

import logging
import ssl

import pytest
import trustme
from harness.tls import authority, client_certificate, pem_of
from unit.scene import Clock

from gateway.config.records import UpstreamTls
from gateway.upstream.tls import TlsContexts, TlsFailures


def test_equal_settings_have_one_context() -> None:
    contexts = TlsContexts()
    system = contexts.of(UpstreamTls())
    assert system.endpoint is system.forward_proxy
    own = UpstreamTls(pem_of(authority()), client_certificate("g.test", issuer=authority()))
    first, second = contexts.of(own), contexts.of(UpstreamTls(own.ca, own.certificate, "a.test"))
    assert first.endpoint is second.endpoint
    assert first.forward_proxy is system.endpoint
    assert (first.server_name, second.server_name) == ("", "a.test")
    assert contexts.of(UpstreamTls(own.ca)).endpoint is not first.endpoint


def test_the_context_of_an_endpoint_that_requires_http_1_1() -> None:
    contexts = TlsContexts()
    chosen = contexts.of(UpstreamTls(), "auto")
    assert chosen.of_endpoint(only_http_1_1=False) is chosen.endpoint
    assert chosen.of_endpoint(only_http_1_1=True) is contexts.of(UpstreamTls(), "never").endpoint
    always = contexts.of(UpstreamTls(), "always")
    assert always.of_endpoint(only_http_1_1=True) is always.endpoint


def test_what_is_used_no_more_is_forgotten() -> None:
    contexts = TlsContexts()
    one, other = UpstreamTls(pem_of(authority())), UpstreamTls(pem_of(trustme.CA()))
    before = [contexts.of(each).endpoint for each in (one, other, UpstreamTls())]
    contexts.keep([one])
    after = [contexts.of(each).endpoint for each in (one, other, UpstreamTls())]
    assert [mine is theirs for mine, theirs in zip(before, after, strict=True)] == [True, False, True]


def told(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.records[-1].getMessage()


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ssl_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "certificate required; name a certificate that it accepts"),
        (ssl_error("TLSV1_ALERT_UNKNOWN_CA"), "unknown ca; name a certificate that it accepts in tls.client_cert"),
        (ssl_error("WRONG_VERSION_NUMBER"), "it does not speak TLS (wrong version number); make sure that the port"),
        (ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "do not agree (sslv3 alert handshake failure); compare their"),
        (ConnectionResetError(), "it ended the connection during the handshake; make sure that the port speaks TLS"),
    ],
)
def test_what_is_said(error: Exception, words: str, caplog: pytest.LogCaptureFixture) -> None:
    TlsFailures("https://h", clock=Clock()).with_endpoint(error)
    assert told(caplog).startswith("no TLS with https://h: ")
    assert words in told(caplog)


def test_what_is_said_of_a_back_end_of_a_connector(caplog: pytest.LogCaptureFixture) -> None:
    TlsFailures("postgresql://db:5432", clock=Clock()).with_back_end(ssl_error("NOT_OFFERED"))
    assert told(caplog) == (
        "no TLS with postgresql://db:5432: it does not speak TLS (not offered); make sure that it speaks TLS, that "
        "tls.ca names its authority, and the url a host of its certificate"
    )


def test_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    failures = TlsFailures("https://h", "https://proxy", clock)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            failures.with_forward_proxy(ConnectionResetError())
        clock.now += 1
        failures.with_endpoint(ConnectionResetError())
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("no TLS with the forward proxy https://proxy, on the way to https://h: it ended")
    assert "SSL_CERT_FILE" in first
    assert last.endswith("(2 more since the last such line)")
