"""gRPC as its users have it: servers and clients of grpcio, whose HTTP/2 is its own. Messages are bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from harness.tls import authority

SERVICE = "test.Peer"
LARGEST = 16 << 20
_OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST),
    ("grpc.max_send_message_length", LARGEST),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # each channel has a connection of its own
    ("grpc.enable_retries", 0),
]


@dataclass
class Peer:
    """A server. Its methods: ``Echo`` (one to one), ``Join`` (many to one), ``Split`` (one to many), ``Chat`` (many to
    many), ``Hang`` (as Chat, without a response), ``Fail``."""

    url: str = ""
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    """Of each call, in order."""
    remaining: list[float] = field(default_factory=list)
    """What each call with a deadline had left."""
    cancelled: int = 0
    hanging: int = 0

    def _note(self, context: Any) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        left = context.time_remaining()
        if left is not None:
            self.remaining.append(left)

    async def echo(self, message: bytes, context: Any) -> bytes:
        self._note(context)
        given = dict(context.invocation_metadata()).get("given-bin", b"")
        await context.send_initial_metadata((("early", "1"), ("early-bin", given)))
        context.set_trailing_metadata((("late", "2"), ("late-bin", given)))
        return message

    async def join(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        self._note(context)
        return b",".join([message async for message in messages])

    async def split(self, message: bytes, context: Any) -> AsyncIterator[bytes]:
        self._note(context)
        for part in message.split(b","):
            yield part

    async def chat(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self._note(context)
        async for message in messages:
            yield message

    async def hang(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self._note(context)
        self.hanging += 1
        try:
            async for message in messages:
                yield message
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.hanging -= 1

    async def fail(self, message: bytes, context: Any) -> bytes:
        """With the status that the message names."""
        self._note(context)
        code = next(code for code in grpc.StatusCode if code.value[0] == int(message))
        await context.abort(code, "no — 100 %", (("grpc-status-details-bin", b"\x08\x05\x00\xff"), ("late", "3")))
        raise AssertionError

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
                "Join": grpc.stream_unary_rpc_method_handler(self.join),
                "Split": grpc.unary_stream_rpc_method_handler(self.split),
                "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
                "Hang": grpc.stream_stream_rpc_method_handler(self.hang),
                "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            },
        )


@asynccontextmanager
async def serving_grpc(
    *, tls: bool = False, port: int = 0, options: list[tuple[str, int]] | None = None
) -> AsyncIterator[Peer]:
    """A server, with a certificate of `harness.tls.authority` under ``tls``."""
    peer = Peer()
    server = grpc.aio.server(options=[*_OPTIONS, ("grpc.so_reuseport", 0), *(options or [])])
    server.add_generic_rpc_handlers((peer.handler(),))
    if tls:
        made = authority().issue_cert("127.0.0.1")
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        credentials = grpc.ssl_server_credentials([(made.private_key_pem.bytes(), chain)])
        bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    else:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    peer.url = f"{'https' if tls else 'http'}://127.0.0.1:{bound}"
    await server.start()
    try:
        yield peer
    finally:
        await server.stop(0)


class Stubs:
    """The methods of a `Peer`, called by way of ``channel``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.echo = channel.unary_unary(f"/{SERVICE}/Echo")
        self.join = channel.stream_unary(f"/{SERVICE}/Join")
        self.split = channel.unary_stream(f"/{SERVICE}/Split")
        self.chat = channel.stream_stream(f"/{SERVICE}/Chat")
        self.hang = channel.stream_stream(f"/{SERVICE}/Hang")
        self.fail = channel.unary_unary(f"/{SERVICE}/Fail")


@asynccontextmanager
async def calling_grpc(
    address: tuple[str, int], *, tls: bool = False, options: list[tuple[str, int]] | None = None
) -> AsyncIterator[Stubs]:
    """A client with one connection to ``address``."""
    target, settings = f"{address[0]}:{address[1]}", [*_OPTIONS, *(options or [])]
    if tls:
        credentials = grpc.ssl_channel_credentials(authority().cert_pem.bytes())
        channel = grpc.aio.secure_channel(target, credentials, settings)
    else:
        channel = grpc.aio.insecure_channel(target, settings)
    async with channel:
        yield Stubs(channel)


async def failed(call: Any) -> grpc.aio.AioRpcError:
    """The error of a call: one to be awaited, or a stream to be read."""
    try:
        if hasattr(call, "__await__"):
            await call
        else:
            async for _ in call:
                pass
    except grpc.aio.AioRpcError as error:
        return error.with_traceback(None)  # its frames hold the call, and that holds the connection open
    raise AssertionError("the call succeeded")
