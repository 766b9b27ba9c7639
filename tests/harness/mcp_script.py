"""A server of the Model Context Protocol that a script plays, and a gateway whose connection it is."""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import AdHoc, Asked, Called
from harness.answers import answer, each_request
from harness.message import Message
from harness.upstream import Upstream

FILE = """
listen: 127.0.0.1:0
access_log: null
connections:
  peer: {{kind: mcp, base_url: "{url}/mcp", retry: once, auth: {{type: bearer, token: t}}, headers: {{X-A: b}},
          body: {{c: 1}}, max_concurrent: 5,
          circuit_breaker: {{enabled: true, failure_threshold: 2, recovery_timeout: 60}}{more}}}
actions:
  add: {{connection: peer, tool: add, parameters: [{{name: a, type: integer, required: true}}]}}
"""
JSON = "Content-Type: application/json"


def result(value: Any, *lines: str) -> bytes:
    return answer(json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode(), JSON, *lines)


def error(code: int, status: int = 200) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}}).encode()
    return answer(body, JSON, status=status)


class Server:
    """Plays a server: ``replies`` by method; others get an error of that era."""

    def __init__(self, upstream: Upstream, **replies: bytes | list[bytes]) -> None:
        self.upstream = upstream
        self.replies = {name.replace("__", "/"): reply for name, reply in replies.items()}
        self.methods: list[str] = []
        upstream.behaviour = each_request(self._reply)

    def _reply(self, message: Message) -> bytes:
        sent = json.loads(message.body)
        self.methods.append(sent["method"])
        reply = self.replies.get(sent["method"], answer(b"Bad Request", status=400))
        return _with_id(reply.pop(0) if isinstance(reply, list) else reply, sent.get("id"))


def _with_id(reply: bytes, number: object) -> bytes:
    """``reply`` as one to the request ``number``."""
    head, _, body = reply.partition(b"\r\n\r\n")
    made = re.sub(rb'"id": ?1\b', b'"id": %d' % number, body) if isinstance(number, int) else body
    length, new = (b"Content-Length: %d" % len(each) for each in (body, made))
    return head.replace(length, new) + b"\r\n\r\n" + made


DISCOVERED = result({"supportedVersions": ["2026-07-28"], "resultType": "complete"})
BEGUN = result({"protocolVersion": "2025-11-25", "capabilities": {}}, "Mcp-Session-Id: s1")
NOTED = answer(status=202)
DONE = {"content": [{"type": "text", "text": "3"}]}
NEWER = {"server__discover": DISCOVERED}
OLDER: dict[str, Any] = {"initialize": BEGUN, "notifications__initialized": NOTED}


class Peer:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def call(self, **changes: Any) -> Called:
        asked = Asked("default", "add", **{"input": {"a": 1}, **changes})
        return await self.gateway.actions.call(self.gateway.server, asked)

    async def tools(self, connection: str = "peer", **changes: Any) -> Called:
        asked = Asked("default", adhoc=AdHoc(connection, tools=True), **changes)
        return await self.gateway.actions.call(self.gateway.server, asked)

    async def __aenter__(self) -> Peer:
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.gateway.exchanges == 0
        await self.gateway.aclose()


def peer(url: str, more: str = "") -> Peer:
    return Peer(Gateway(load.parse(FILE.format(url=url, more=more), "yaml", "f", {})))
