"""The key ring and its sources."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.store.errors import KeyProblem
from gateway.store.keys import KeyRing

A, B = "aa" * 32, "bb" * 32


def test_what_is_encrypted_is_decrypted_at_its_place_alone() -> None:
    ring = KeyRing.of(A)
    sealed = ring.encrypt("s3cret", "secrets:K:value")
    assert b"s3cret" not in sealed
    assert ring.encrypt("s3cret", "secrets:K:value") != sealed
    assert ring.decrypt(sealed, "secrets:K:value") == "s3cret"
    cut = [sealed[:size] for size in range(len(sealed))]
    for broken in (*cut, sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:]):
        with pytest.raises(KeyProblem):
            ring.decrypt(broken, "secrets:K:value")
    with pytest.raises(KeyProblem):
        ring.decrypt(sealed, "secrets:L:value")


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old = KeyRing.of(A).encrypt("x", "p")
    ring = KeyRing.of(f"{B}, {A}")
    assert ring.decrypt(old, "p") == "x"
    assert not ring.is_current(old)
    assert ring.is_current(ring.encrypt("x", "p"))
    with pytest.raises(KeyProblem, match="not here"):
        KeyRing.of(B).decrypt(old, "p")


@pytest.mark.parametrize("text", ["", "aa", "zz" * 32, f"{A},", f"{A};{B}", A + "00"])
def test_malformed_keys(text: str) -> None:
    with pytest.raises(KeyProblem, match="64 hexadecimal digits") as caught:
        KeyRing.of(text)
    assert not text or text not in str(caught.value)


def test_keys_do_not_show() -> None:
    assert A not in repr(KeyRing.of(A))


def test_a_file_of_its_own_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "g.db.key"
    sealed = KeyRing.embedded(path).encrypt("x", "p")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing.embedded(path).decrypt(sealed, "p") == "x"


def test_of_several_that_make_the_file_at_once_all_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        for n in range(50):
            path = tmp_path / f"{n}.key"
            rings = list(threads.map(KeyRing.embedded, [path] * 4))
            sealed = rings[0].encrypt("x", "p")
            assert {ring.decrypt(sealed, "p") for ring in rings} == {"x"}
    assert len(list(tmp_path.iterdir())) == 50, "a draft was left behind"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text(A)
    path.chmod(0o640)
    with pytest.raises(KeyProblem, match="chmod 600"):
        KeyRing.embedded(path)


def test_files_that_are_no_keys(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("secret")
    path.chmod(0o600)
    with pytest.raises(KeyProblem, match="malformed"):
        KeyRing.embedded(path)
    with pytest.raises(KeyProblem, match="cannot be made"):
        KeyRing.embedded(tmp_path / "no" / "folder")


def test_a_database_that_can_not_be_made_is_named_and_not_its_key(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match=f"^database: {tmp_path}/no/g.db cannot be written: No such file"):
        KeyRing.for_database(f"sqlite:///{tmp_path}/no/g.db", {})


def test_where_the_keys_of_a_database_come_from(tmp_path: Path) -> None:
    sealed = KeyRing.of(A).encrypt("x", "p")
    url = f"sqlite:///{tmp_path}/g.db"
    assert KeyRing.for_database(url, {"GATEWAY_MASTER_KEY": A}).decrypt(sealed, "p") == "x"
    assert not (tmp_path / "g.db.key").exists()
    KeyRing.for_database(url, {})
    assert (tmp_path / "g.db.key").exists()
    with pytest.raises(KeyProblem, match="needs GATEWAY_MASTER_KEY"):
        KeyRing.for_database("postgresql://h/x", {})
