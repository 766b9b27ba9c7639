"""The local socket of a gateway: who gets its status, and what a command says that gets none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.control import status_socket
from gateway.control.status_socket import NoStatusError, StatusSocket, name_of, read_status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are of Linux")
STATUS = {"items": [{"worker": 0, "pid": 7, "state": "serving"}], "max_memory_bytes": 0}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


async def status_of(config: Path) -> dict[str, object]:
    return await asyncio.to_thread(read_status, config)


@asynccontextmanager
async def serving(config: Path, status: Mapping[str, object] = STATUS) -> AsyncIterator[None]:
    async def read() -> Mapping[str, object]:
        return status

    made = StatusSocket(config, read)
    await made.start()
    try:
        yield
    finally:
        await made.aclose()


async def test_each_gateway_is_found_by_its_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = config.with_name("other.yaml")
    async with serving(config), serving(other, {"items": [], "max_memory_bytes": 1}):
        assert await status_of(config) == STATUS
        assert await status_of(other) == {"items": [], "max_memory_bytes": 1}
        monkeypatch.chdir(config.parent)
        assert await status_of(Path("gateway.yaml")) == STATUS, "as the gateway was started, or otherwise"
        assert await asyncio.gather(*(status_of(config) for _ in range(50))) == [STATUS] * 50
    with pytest.raises(NoStatusError, match=r"no gateway with the configuration \S+gateway.yaml"):
        await status_of(config)


async def test_the_next_control_process_has_the_name_again(config: Path) -> None:
    for _ in range(3):
        async with serving(config):
            assert await status_of(config) == STATUS


async def test_a_name_in_use_costs_the_local_status_alone(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(config):
        second = StatusSocket(config, NotImplemented)
        await second.start()
        assert "--server alone" in caplog.text
        await second.aclose()
        assert await status_of(config) == STATUS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
async def test_another_user_gets_nothing(config: Path) -> None:
    code = f"""
import os, socket
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect({name_of(config)!r})
    print(sock.recv(9))
"""
    async with serving(config):
        command = sys.executable, "-c", code
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        printed, _ = await asyncio.wait_for(process.communicate(), 30)
    assert printed == b"b''\n"


async def test_a_user_is_not_shown_what_another_user_serves(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.geteuid()
    async with serving(config):
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
        if real != 0:
            with pytest.raises(NoStatusError, match="another user"):
                await status_of(config)
        monkeypatch.setattr(status_socket, "_user_of", lambda _: 4711)
        with pytest.raises(NoStatusError, match="another user"):
            await status_of(config)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        with pytest.raises(NoStatusError, match="another user"):
            await status_of(config)  # root connects, and the gateway does not respond to this user


@pytest.mark.parametrize(
    "found",
    [b"hello", b"[]", b'{"items": [7]}', b'{"items": [{"version": "\\u001b[2J"}]}', b"[" * 100_000, b" " * (2 << 20)],
    ids=["no JSON", "a list", "no process", "a control character", "too deep", "too long"],
)
async def test_what_is_no_status_is_not_shown(config: Path, found: bytes) -> None:
    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(found)
        writer.close()

    sock = socket.socket(socket.AF_UNIX)
    sock.bind(name_of(config))
    async with await asyncio.start_unix_server(respond, sock=sock):
        with pytest.raises(NoStatusError, match="is no gateway"):
            await status_of(config)


@pytest.mark.timeout(10)
def test_one_that_does_not_end_is_not_awaited(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_socket, "PATIENCE", 0.1)
    over = threading.Event()

    def drip() -> None:
        near, _ = listener.accept()
        with near, contextlib.suppress(BrokenPipeError):
            while not over.wait(0.01):
                near.send(b" ")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name_of(config))
        listener.listen()
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(NoStatusError, match="has not responded"):
            read_status(config)
        over.set()
        thread.join()


async def test_a_gateway_that_hangs(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()

    async def hang() -> Mapping[str, object]:
        await never.wait()
        return {}

    made = StatusSocket(config, hang)
    await made.start()
    monkeypatch.setattr(status_socket, "PATIENCE", 0.05)
    try:
        with pytest.raises(NoStatusError, match=r"has not responded within 0\.05 s"):
            await status_of(config)
    finally:
        never.set()
        await made.aclose()
