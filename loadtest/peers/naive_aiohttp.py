"""A reverse proxy as one writes it with aiohttp in an afternoon: what Breakwater has to be worth more than.

python loadtest/peers/naive_aiohttp.py PORT ORIGIN LOG
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Mapping

import aiohttp
import uvloop
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"}
SESSION = web.AppKey("session", aiohttp.ClientSession)
log = logging.getLogger("access")


def end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


async def handle(request: web.Request) -> web.StreamResponse:
    began = time.perf_counter()
    headers = end_to_end(request.headers) | {"X-Forwarded-For": request.remote or ""}
    body = request.content if request.can_read_body else None
    url = f"{sys.argv[2]}{request.raw_path}"
    send = request.app[SESSION].request
    async with send(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
        response = web.StreamResponse(status=answer.status, headers=end_to_end(answer.headers))
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    duration = (time.perf_counter() - began) * 1e3
    line = {"proxy_name": "p", "method": request.method, "path": request.path, "status_code": answer.status}
    log.info(json.dumps(line | {"duration_ms": duration, "client": request.remote, "bytes_out": response.body_length}))
    return response


async def session(app: web.Application) -> AsyncIterator[None]:
    connector = aiohttp.TCPConnector(limit=4096)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as app[SESSION]:
        yield


def main() -> None:
    logging.basicConfig(filename=sys.argv[3], level=logging.INFO, format="%(message)s")
    app = web.Application(client_max_size=0)
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handle)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
