"""WebSocket from a page in a real browser, through the gateway, to a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.tls import listener_tls
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import PerMessageDeflate

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

OPEN = """(url) => new Promise((done, failed) => {
  const ws = window.ws = new WebSocket(url, ['chat']);
  window.got = [];
  window.ended = new Promise((note) => {
    ws.onclose = ({ code, reason, wasClean }) => note({ code, reason, wasClean });
  });
  ws.onmessage = ({ data }) => window.got.push(data);
  ws.onopen = () => done([ws.protocol, ws.extensions]);
  ws.onerror = () => failed(new Error('it did not open'));
})"""
TALK = """async (messages) => {
  const before = window.got.length;
  for (const message of messages) window.ws.send(message);
  while (window.got.length < before + messages.length) await new Promise((go) => setTimeout(go, 5));
  return window.got.slice(before);
}"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("protocol", ["1.1", "2"])
async def test_a_page_talks_to_an_upstream(gateway_for: GatewayFor, browser: Browser, protocol: str) -> None:
    """Over HTTP/2 (RFC 8441) a browser uses the connection on which the page came, if the server has announced it."""
    seen: list[ServerConnection] = []
    both = protocol == "2"

    async def echo(ws: ServerConnection) -> None:
        seen.append(ws)
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        tls = listener_tls() if both else None
        rig = await gateway_for(f"http://127.0.0.1:{port}", websocket=True, max_concurrent=2, http2=both, tls=tls)
        host, own_port = rig.gateway.addresses[0]
        url = f"{'wss' if both else 'ws'}://{host}:{own_port}/chat"

        async def visit() -> Page:
            page = await browser.new_page(ignore_https_errors=True)
            if both:
                await page.goto(f"https://{host}:{own_port}/")
            return page

        page = await visit()
        chosen, extensions = await page.evaluate(OPEN, url)
        assert chosen == "chat"
        assert extensions.startswith("permessage-deflate")
        assert any(isinstance(extension, PerMessageDeflate) for extension in seen[0].protocol.extensions)
        messages = ["", "hello", "ä" * 1000, "x" * 200_000, *(str(number) for number in range(500))]
        assert await page.evaluate(TALK, messages) == messages
        await page.evaluate("ws.close(4000, 'enough')")
        assert await page.evaluate("ended") == {"code": 4000, "reason": "enough", "wasClean": True}
        await rig.settled()

        await page.evaluate(OPEN, url)
        await page.close()  # a tab that is closed
        await eventually(lambda: rig.gateway.exchanges == 0, "its permit is free", 5)

        page = await visit()
        await page.evaluate(OPEN, url)
        assert await page.evaluate(TALK, ["last"]) == ["last"]
        draining = asyncio.create_task(rig.gateway.drain(10))
        assert await page.evaluate("ended") == {"code": 1001, "reason": "", "wasClean": True}
        assert await draining, "nothing had to be cut"
        await page.close()
    await eventually(lambda: sum("tunnel" in line for line in rig.log.lines()) == 3, "a line for each")
    lines = [line for line in rig.log.lines() if "tunnel" in line]
    assert [(line["protocol"], line["status_code"]) for line in lines] == [(protocol, 101)] * 3
    assert lines[-1]["tunnel"]["end"] == "drained"
