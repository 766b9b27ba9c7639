"""What commands and the control process read of the configuration file."""

from __future__ import annotations

import pathlib

import pytest

from gateway.config.errors import ConfigError
from gateway.control.declared import DeclaredFile


def test_the_file_as_the_admin_room_sees_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text('proxies: [{name: a, path: /a, upstream: "http://h", headers: {X-K: "{env.K}"}}]')
    declared = DeclaredFile(file, {"K": "s3cret"})
    assert declared.name == "gateway.yaml"
    (proxy,) = declared.proxies()
    assert proxy.headers == {"X-K": "{env.K}"}
    file.write_text("proxies: [{name: a}]")
    with pytest.raises(ConfigError):
        declared.read()
    assert len(declared.proxies()) == 1


def test_a_proxy_that_names_an_upstream_shows_what_protects_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "upstreams: [{name: ai, endpoints: [{url: http://ai}], max_concurrent: 5}]\n"
        "proxies: [{name: a, path: /a, upstream: ai}, {name: b, path: /b, upstream: http://b}]"
    )
    declared = DeclaredFile(file, {})
    a, b = declared.proxies()
    assert (a.upstream, a.max_concurrent, declared.urls(a)) == ("ai", 5, ["http://ai"])
    assert (b.upstream, b.max_concurrent, declared.urls(b)) == ("http://b", 0, ["http://b"])
    assert [each.name for each in declared.shared_upstreams()] == ["ai"]
