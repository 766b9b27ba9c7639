"""The file of issuers' keys: whole or not at all, and only when nobody else could have written it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.control.key_file import KeyFile


async def test_what_is_saved_is_loaded_and_kept_beside_the_rest(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "g.keys")
    assert await file.load() == {}
    assert await file.save({"https://a/k": "A", "https://b/k": "B"})
    assert await file.save({"https://b/k": "B2"})
    assert await KeyFile(file.path).load() == {"https://a/k": "A", "https://b/k": "B2"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["g.keys"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
async def test_a_file_that_others_may_write_is_not_believed(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(tmp_path / "g.keys")
    await file.save({"https://a/k": "A"})
    file.path.chmod(mode)
    assert await file.load() == {}
    assert await file.load() == {}
    assert [r.getMessage() for r in caplog.records] == [
        f"the file of issuers' keys {file.path} is not used: others may write it; run chmod 600, or remove it"
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"x"', "\xff"])
async def test_strange_content_is_no_keys(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(tmp_path / "g.keys")
    file.path.write_bytes(text.encode("latin-1"))
    file.path.chmod(0o600)
    assert await file.load() == {}
    assert "is not used" in caplog.text
    assert await file.save({"https://a/k": "A"})
    assert await file.load() == {"https://a/k": "A"}


async def test_values_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "g.keys")
    file.path.write_text('{"https://a/k": "A", "https://b/k": 7}')
    file.path.chmod(0o600)
    assert await file.load() == {"https://a/k": "A"}


async def test_a_place_that_can_not_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(tmp_path / "none" / "g.keys")
    assert not await file.save({"https://a/k": "A"})
    assert not await file.save({"https://a/k": "A"})
    assert len(caplog.records) == 1
    assert "No such file or directory" in caplog.text
    assert "set auth.keys_file" in caplog.text
