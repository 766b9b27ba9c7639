from __future__ import annotations

from pathlib import Path

import pytest
from harness.tls import write_certificates

from gateway.cli.exposure import warnings
from gateway.config import load


def heard(listen: str | None, user: int = 1000) -> list[str]:
    admin = "" if listen is None else f'admin: {{listen: "{listen}"}}\ndatabase: sqlite:///x.db\n'
    return list(warnings(load.settings_in(admin + "proxies: []\n", "yaml", "gateway.yaml", {}), user))


@pytest.mark.parametrize("listen", [None, "127.0.0.1:8081", "[::1]:8081", "localhost:8081", "127.0.0.2:1"])
def test_who_cannot_be_reached_is_not_warned_of(listen: str | None) -> None:
    assert heard(listen) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8081", "[::]:8081", "10.0.0.1:8081", "[fe80::1]:8081", "box.example:8081"])
def test_an_admin_listener_off_loopback_is_named_with_the_fix(listen: str) -> None:
    (sentence,) = heard(listen)
    assert listen in sentence
    assert "admin.listen" in sentence


def test_tls_and_a_unix_socket_are_not_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    monkeypatch.chdir(tmp_path)
    for admin in ("{listen: '0.0.0.0:8081', tls: {certificates: [{cert: a.pem, key: a.key}]}}", "{listen: 'unix:/x'}"):
        text = f"admin: {admin}\ndatabase: sqlite:///x.db"
        assert list(warnings(load.settings_in(text, "yaml", "gateway.yaml", {}), 1000)) == []


def test_root_is_named_with_the_fix() -> None:
    (sentence,) = heard("127.0.0.1:8081", user=0)
    assert "runs as root" in sentence
    assert "User=" in sentence
    assert len(heard("0.0.0.0:8081", user=0)) == 2
