"""HTTP/2 to servers that people use: nghttpd of nghttp2, with prior knowledge and over TLS."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.client import request
from harness.debian import found, prepare
from harness.patience import eventually
from harness.ports import reserved_port
from harness.rig import GatewayFor, proxy_to
from harness.tls import authority, write_authority
from harness.toolbox import unavailable
from harness.upstream import Upstream

pytestmark = [pytest.mark.plain, pytest.mark.raw]
LARGE = bytes(range(256)) * 8192


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    prepare(("nghttp2-server",), "nghttpd")


@asynccontextmanager
async def nghttpd(directory: Path, *options: str, tls: bool = False) -> AsyncIterator[str]:
    """The URL of a server of ``directory``, which echoes uploads."""
    program = found("nghttpd")
    if not program:
        unavailable("nghttpd is not installed here")
    port = reserved_port()
    command = [program, "--address=127.0.0.1", f"--htdocs={directory}", "--echo-upload", *options]
    if tls:
        made = authority().issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(directory / "key.pem")
        made.cert_chain_pems[0].write_to_path(directory / "cert.pem")
        command += [str(port), str(directory / "key.pem"), str(directory / "cert.pem")]
    else:
        command += ["--no-tls", str(port)]
    null = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*command, stdout=null, stderr=null)

    def listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    try:
        await eventually(listens, "nghttpd listens")
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGKILL)
        await server.wait()


@pytest.mark.parametrize("tls", [False, True])
async def test_nghttpd(
    gateway_for: GatewayFor, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    del upstream
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(LARGE)
    async with nghttpd(tmp_path, "--max-concurrent-streams=10", tls=tls) as url:
        rig = await gateway_for(url, proxies=(proxy_to(url, http2="auto" if tls else "always"),))
        for _ in range(2):
            messages = await asyncio.gather(*(rig.ask("/small") for _ in range(40)))
            assert {(m.status, m.body) for m in messages} == {(200, b"small")}
        assert 4 <= rig.p.endpoints[0].pool.dials <= 8
        messages = await asyncio.gather(*(rig.ask("/large") for _ in range(4)))
        assert [m.body == LARGE for m in messages] == [True] * 4
        client = await rig.connect()
        await client.send(request("/large", method="HEAD"))
        message = await client.response("HEAD")
        assert (message.status, message.get("content-length")) == (200, b"%d" % len(LARGE))
        assert (await client.ask("/none")).status == 404
        for body in (b"", b"x", LARGE[:300_000]):
            message = await client.ask("/small", method="POST", body=body)
            assert (message.status, message.body) == (200, body)
        assert {line["upstream_protocol"] for line in await rig.log.wait(89)} == {"2"}


async def test_nghttpd_with_padding_and_small_windows(
    gateway_for: GatewayFor, upstream: Upstream, tmp_path: Path
) -> None:
    del upstream
    (tmp_path / "large").write_bytes(LARGE)
    async with nghttpd(tmp_path, "--padding=200", "--window-bits=14") as url:
        rig = await gateway_for(url, proxies=(proxy_to(url, http2="always"),))
        assert (await rig.ask("/large")).body == LARGE
        message = await rig.ask("/large", method="POST", body=LARGE[:200_000])
        assert message.body == LARGE[:200_000]


async def test_a_server_that_dies_and_comes_back(gateway_for: GatewayFor, upstream: Upstream, tmp_path: Path) -> None:
    del upstream
    (tmp_path / "small").write_bytes(b"small")
    async with nghttpd(tmp_path) as url:
        rig = await gateway_for(url, proxies=(proxy_to(url, http2="always"),))
        assert (await rig.ask("/small")).status == 200
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "its connection has ended")
    assert (await rig.ask("/small")).status == 502
