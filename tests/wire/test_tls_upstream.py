"""Bodies through TLS to the upstream: as they come, in bounded memory, and to the last byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from harness.answers import chunk
from harness.client import request
from harness.rig import GatewayFor


@pytest.fixture
async def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The URL of an HTTPS server that responds with the body that it was sent."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def body(reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"content-length:" in head:
            return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        whole = b""
        while size := int(await reader.readline(), 16):
            whole += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return whole

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                got = await body(reader, head)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(got), got))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


UPLOADS = {
    "late": [b"x" * 100],
    "two pieces": [b"x" * 100, b"y" * 100],
    "five pieces": [b"%d" % number * 100 for number in range(5)],
    "a large one": [bytes([number]) * 100_000 for number in range(40)],
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("pieces", UPLOADS.values(), ids=UPLOADS.keys())
async def test_a_body_that_comes_after_its_head_is_relayed(
    gateway_for: GatewayFor, origin: str, pieces: list[bytes], framing: str
) -> None:
    rig = await gateway_for(origin)
    client = await rig.connect()
    for _ in range(2):  # on a new connection, then on a pooled one
        chunked = framing == "chunked"
        line = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, pieces))}"
        await client.send(request("/", line, method="POST"))
        for piece in pieces:
            await asyncio.sleep(0.02)  # paces the segments; nothing waits for it
            await client.send(chunk(piece) if chunked else piece)
        if chunked:
            await client.send(b"0\r\n\r\n")
        response = await client.response()
        assert (response.status, response.body) == (200, b"".join(pieces))
    await rig.aclose(check=True)
