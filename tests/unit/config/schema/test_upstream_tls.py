"""TLS of an upstream in the file: what is read of it, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.tls import write_certificates

from gateway.config.errors import ConfigError
from gateway.config.load import settings_in
from gateway.config.records import Upstream, UpstreamTls
from gateway.config.schema.settings import Settings


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    monkeypatch.chdir(tmp_path)


def settings(tls: str, url: str = "https://h") -> Settings:
    """Of an entry of `upstreams` in line 1, and of a proxy with the same settings in line 2."""
    text = (
        f"upstreams: [{{name: ai, endpoints: [{{url: '{url}'}}], tls: {tls}}}]\n"
        f"proxies: [{{name: p, path: /p, upstream: '{url}', tls: {tls}}}]"
    )
    return settings_in(text, "yaml", "f", {})


def upstreams(tls: str) -> tuple[Upstream, ...]:
    return settings(tls).record({}, {}).upstreams


ALL = "{ca: partners.pem, client_cert: a.pem, client_key: a.key, server_name: AI.example.org}"


def test_both_places_have_all_of_it() -> None:
    one, other = upstreams(ALL)
    assert one.tls == other.tls
    assert one.tls.ca.startswith("-----BEGIN CERTIFICATE-----")
    assert one.tls.server_name == "ai.example.org"
    assert one.tls.certificate is not None
    assert one.tls.certificate.name == "a.test"
    assert "PRIVATE" not in repr(one)
    assert "BEGIN" not in repr(one)


@pytest.mark.parametrize("tls", ["null", "{}"])
def test_nothing_of_it(tls: str) -> None:
    assert [upstream.tls for upstream in upstreams(tls)] == [UpstreamTls()] * 2


def test_the_files_that_it_was_read_from_and_their_ends() -> None:
    made = settings(ALL)
    assert made.sources().keys() == {"partners.pem", "a.pem", "a.key"}
    assert [each[:3] for each in made.certificates()] == [("upstream", "ai", "a.test"), ("upstream", "p", "a.test")]


@pytest.mark.parametrize(
    ("tls", "place", "sentence"),
    [
        ("{ca: no.pem}", "", "ca: no.pem cannot be read"),
        ("{ca: a.key}", "", "ca: a.key holds no certificate"),
        ("{client_cert: a.pem}", "", "client_cert and client_key belong together"),
        ("{client_key: a.key}", "", "client_cert and client_key belong together"),
        ("{client_cert: a.pem, client_key: b.key}", "", "client_cert: a.pem does not belong to the private key"),
        ("{client_cert: a.key, client_key: a.key}", "", "client_cert: a.key holds no certificate"),
        ("{client_cert: a.pem, client_key: a.pem}", "", "client_key: a.pem holds no private key"),
        ("{server_name: '*.example.org'}", ".server_name", "must be one name"),
        ("{server_name: 'https://h'}", ".server_name", "must be a host alone"),
        ("{verify: false}", ".verify", "unknown key"),
    ],
)
def test_what_cannot_be_meant(tls: str, place: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tls)
    for where in ("f:1: upstreams.0.tls", "f:2: proxies.0.tls"):
        assert any(line.startswith(f"{where}{place}: {sentence}") for line in str(caught.value).splitlines()), where


@pytest.mark.parametrize("url", ["http://h", "HTTP://h"])
def test_no_effect_without_tls(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings("{ca: partners.pem}", url)
    assert str(caught.value).count("has no effect on an http:// URL") == 2


def test_it_belongs_to_the_upstream_that_a_proxy_names() -> None:
    text = "upstreams: [{name: ai, endpoints: [{url: 'https://h'}]}]\n"
    text += "proxies: [{name: p, path: /p, upstream: ai, tls: {ca: partners.pem}}]"
    with pytest.raises(ConfigError, match="belongs to the upstream that this proxy names"):
        settings_in(text, "yaml", "f", {})
