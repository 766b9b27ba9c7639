"""What a worker gets from a file and a database, and what it does not get, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit.control.scene import NOON, line, stored, written

from gateway.config import single
from gateway.config.document import JwtIssuer
from gateway.config.overrides import Overrides
from gateway.config.parse import load_settings
from gateway.config.schema.settings import Settings
from gateway.control.composer import Composer, StoredRecords, credentials
from gateway.control.options import Options
from gateway.core.address import Address
from gateway.store.accounts import Token

LISTEN = (Address("127.0.0.1", 9999),)


def settings(folder: Path, *proxies: str) -> Settings:
    file = folder / "gateway.yaml"
    file.write_text(written(folder, *proxies))
    return load_settings(file, {})


@pytest.fixture
def composer(tmp_path: Path) -> Composer:
    return Composer(Options(tmp_path / "gateway.yaml", Overrides(listen=LISTEN)), {})


def test_the_file_wins_over_the_database(tmp_path: Path, composer: Composer) -> None:
    records = StoredRecords([stored("a"), stored("other", path="/a"), stored("b")])
    made = composer.compose(settings(tmp_path, line("a")), records)
    assert [proxy.name for proxy in made.document.proxies] == ["a", "b"]
    assert not made.unusable
    assert made.document.listen == LISTEN  # the command line wins over both


def test_one_proxy_that_cannot_be_served_takes_no_other_along(tmp_path: Path, composer: Composer) -> None:
    made = composer.compose(settings(tmp_path), StoredRecords([stored("bad", upstream="ftp://h"), stored("good")]))
    assert [proxy.name for proxy in made.document.proxies] == ["good"]
    assert made.unusable.keys() == {"bad"}
    assert "proxy bad of the database" in made.unusable["bad"]


@pytest.mark.parametrize(("read", "warned"), [(True, True), (False, False)])
def test_a_missing_secret_is_a_warning_once_the_database_was_read(
    tmp_path: Path, composer: Composer, read: bool, warned: bool
) -> None:
    file = settings(tmp_path, line("a", headers='{X-K: "{secret.K}"}'))
    made = composer.compose(file, StoredRecords(read=read))
    assert [proxy.name for proxy in made.document.proxies] == ["a"]
    assert any("{secret.K}" in warning for warning in made.warnings) == warned


def test_each_version_of_a_proxy_is_checked_once(
    tmp_path: Path, composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = single.stored

    def counting(*args: Any, **more: Any) -> Any:
        checked.append(args[0]["name"])
        return real(*args, **more)

    monkeypatch.setattr(single, "stored", counting)
    file = settings(tmp_path)
    composer.compose(file, StoredRecords([stored("a"), stored("b")]))
    composer.compose(file, StoredRecords([stored("a"), stored("b", version=2)]))
    assert checked == ["a", "b", "b"]
    composer.compose(file, StoredRecords())  # what is gone is forgotten
    composer.compose(file, StoredRecords([stored("a")]))
    assert checked == ["a", "b", "b", "a"]


def test_a_token_for_metrics_proves_nothing_to_a_proxy() -> None:
    def token(scope: str | None) -> Token:
        return Token("1", "ci", "token", False, None, NOON, 0.0, None, {"team": "x"}, scope)

    issuer = JwtIssuer("iss", "aud", ("RS256",), "", "sub", "http://h")
    made = credentials({"d": token(None), "m": token("metrics")}, (issuer,))
    assert list(made.tokens) == ["d"]
    assert made.tokens["d"].claims == {"team": "x"}
    assert made.issuers == (issuer,)
