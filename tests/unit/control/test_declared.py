"""What commands and the control process read of the configuration file."""

from __future__ import annotations

import pathlib

import pytest

from gateway.config.problem import ConfigError
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
