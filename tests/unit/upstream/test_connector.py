"""Dialling on real sockets: each way to fail has its reason."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import trustme
from harness.descriptors import no_descriptor_left
from harness.patience import eventually
from harness.toolbox import unavailable
from harness.upstream import BlackHole, refused_url

from gateway.config.networks import Destinations
from gateway.config.records import Timeouts, UpstreamNetworks
from gateway.config.tls_context import client_context
from gateway.errors import GatewayError
from gateway.upstream.connector import HardenedConnector
from gateway.upstream.guard import Guard
from gateway.upstream.origin import Origin
from gateway.upstream.tls import EndpointTls
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ClientConnection
from gateway.wire.h1.head import HeadParser


def secured(context: ssl.SSLContext | None = None) -> EndpointTls:
    return EndpointTls(context or client_context(), context or client_context())


@asynccontextmanager
async def connector(
    url: str, tls: ssl.SSLContext | None = None, guard: Guard | None = None, **timeouts: float
) -> AsyncIterator[HardenedConnector]:
    made = HardenedConnector(
        Origin.of(url), Timeouts(**timeouts), BufferPool(), HeadParser(), secured(tls), guard=guard
    )
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def listener(  # type: ignore[no-untyped-def]
    handle, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    served: list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append((asyncio.current_task(), writer))
        await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in served:
            writer.transport.abort()
            if task is not None:
                await asyncio.wait([task])


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def code_of_dial(made: HardenedConnector) -> str:
    with pytest.raises(GatewayError) as caught:
        await made.dial()
    return caught.value.reason.code


@pytest.mark.covers("T004")
async def test_a_connection_is_kept_alive_by_the_kernel() -> None:
    async with listener(silence) as port, connector(f"http://127.0.0.1:{port}") as made:
        connection = await made.dial()
        assert connection.alive
        assert connection.transport is not None
        raw = connection.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        connection.abort()


async def test_refused() -> None:
    async with connector(refused_url()) as made:
        assert await code_of_dial(made) == "dial_failed"


async def test_no_such_name() -> None:
    async with connector("http://does-not-exist.invalid") as made:
        assert await code_of_dial(made) == "dns_failed"


@pytest.mark.covers("T003")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nobody_accepts(black_hole: BlackHole, scheme: str) -> None:
    async with connector(black_hole.url.replace("http", scheme, 1), dial=0.05, tls_handshake=30) as made:
        assert await code_of_dial(made) == "dial_timeout"


@pytest.mark.covers("T009")
async def test_a_handshake_that_never_ends() -> None:
    async with listener(silence) as port, connector(f"https://127.0.0.1:{port}", tls_handshake=0.05) as made:
        assert await code_of_dial(made) == "tls_timeout"


async def test_a_peer_that_speaks_no_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listener(plain) as port, connector(f"https://127.0.0.1:{port}") as made:
        assert await code_of_dial(made) == "tls_failed"


async def test_certificates_are_verified() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    async with listener(silence, server) as port:
        async with connector(f"https://127.0.0.1:{port}") as stranger:
            assert await code_of_dial(stranger) == "tls_failed"
        trusting = client_context()
        authority.configure_trust(trusting)
        async with connector(f"https://127.0.0.1:{port}", trusting) as friend:
            connection = await friend.dial()
            assert connection.alive
            connection.abort()


async def test_a_name_that_the_certificate_does_not_hold() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(server)
    trusting = client_context()
    authority.configure_trust(trusting)
    async with listener(silence, server) as port, connector(f"https://127.0.0.1:{port}", trusting) as made:
        assert await code_of_dial(made) == "tls_failed"


@pytest.mark.covers("T010b")
async def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY: a CONNECT first, then TLS with the endpoint, and our own protocol on top."""
    asked: list[bytes] = []
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("origin.test").configure_cert(server)

    async with listener(silence, server) as endpoint:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", endpoint)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    sink.write(data)
                sink.close()

            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

        async with listener(tunnel) as port:
            monkeypatch.setenv("https_proxy", f"http://u:p@127.0.0.1:{port}")
            monkeypatch.setenv("no_proxy", "")
            trusting = client_context()
            authority.configure_trust(trusting)
            async with connector(f"https://origin.test:{endpoint}", trusting) as made:
                connection = await made.dial()
                assert connection.alive
                assert type(connection).__name__ == "H1Client"
                connection.abort()
    assert asked[0].startswith(b"CONNECT origin.test:%d HTTP/1.1\r\n" % endpoint)
    assert b"Proxy-Authorization: Basic dTpw" in asked[0]


# -- several addresses


class Resolver(aiohttp.abc.AbstractResolver):
    """Every name has these addresses; without any, resolving never ends."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        if not self.addresses:
            await asyncio.get_running_loop().create_future()
        return [
            aiohttp.abc.ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None: ...


class Broken(Resolver):
    """Fails as resolvers other than the system's do: with an error of no particular type (aiohttp's AsyncResolver)."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        raise OSError(None, "DNS lookup failed")


@asynccontextmanager
async def resolving(url: str, resolver: Resolver, **timeouts: float) -> AsyncIterator[HardenedConnector]:
    async with connector(url, **timeouts) as made:
        made._resolver = resolver
        yield made


def peer_of(connection: ClientConnection) -> str:
    assert connection.transport is not None
    return str(connection.transport.get_extra_info("peername")[0])


async def test_an_address_that_refuses_is_followed_by_the_next() -> None:
    addresses = Resolver("127.0.0.3", "127.0.0.2", "127.0.0.1")
    async with listener(silence) as port, resolving(f"http://many.test:{port}", addresses) as made:
        connection = await made.dial()
        assert connection.transport is not None
        raw = connection.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert peer_of(connection) == "127.0.0.1"
        connection.abort()


async def test_an_address_that_says_nothing_is_overtaken_by_the_next(black_hole: BlackHole) -> None:
    """RFC 8305: a quarter of a second after the first, the next is tried beside it."""
    before = sockets()
    async with (
        listener(silence, host="127.0.0.2", port=black_hole.port),
        resolving(f"http://many.test:{black_hole.port}", Resolver("127.0.0.1", "127.0.0.2"), dial=2) as made,
    ):
        connection = await made.dial()
        assert peer_of(connection) == "127.0.0.2"
        connection.abort()
    await eventually(lambda: sockets() <= before, "the loser's socket is closed")


async def test_names_are_resolved_by_the_system_whatever_aiohttp_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes another resolver as soon as that is installed, and the same name would then lead elsewhere."""
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", partial(Resolver, "127.0.0.2"))
    monkeypatch.setattr(aiohttp, "ThreadedResolver", partial(Resolver, "127.0.0.1"))
    async with listener(silence) as port, connector(f"http://many.test:{port}") as made:
        connection = await made.dial()
        assert peer_of(connection) == "127.0.0.1"
        connection.abort()


async def test_when_every_address_refuses() -> None:
    port = Origin.of(refused_url()).port
    async with resolving(f"http://many.test:{port}", Resolver("127.0.0.1", "127.0.0.2")) as made:
        assert await code_of_dial(made) == "dial_failed"


async def test_when_no_address_answers(black_hole: BlackHole) -> None:
    addresses = Resolver("127.0.0.1", "127.0.0.1")
    async with resolving(f"http://many.test:{black_hole.port}", addresses, dial=0.05) as made:
        assert await code_of_dial(made) == "dial_timeout"


async def test_a_resolver_that_hangs_is_a_dial_that_takes_too_long() -> None:
    async with resolving("http://slow.test", Resolver(), dial=0.05) as made:
        assert await code_of_dial(made) == "dial_timeout"


async def test_whatever_a_resolver_raises_it_is_the_names_fault() -> None:
    async with resolving("http://some.test", Broken()) as made:
        assert await code_of_dial(made) == "dns_failed"


# -- what this machine lacks


async def test_no_descriptor_for_a_dial_and_one_a_moment_later() -> None:
    async with listener(silence) as port, connector(f"http://127.0.0.1:{port}") as made:
        with no_descriptor_left():
            assert await code_of_dial(made) == "local_resources"
        connection = await made.dial()
        assert connection.alive
        connection.abort()


async def test_no_descriptor_for_any_of_several_addresses() -> None:
    async with resolving("http://many.test:9", Resolver("127.0.0.1", "127.0.0.2")) as made:
        await made._addresses()
        with no_descriptor_left():
            assert await code_of_dial(made) == "local_resources"


async def test_no_descriptor_for_the_resolver() -> None:
    async with connector("http://does-not-exist.invalid") as made:
        with no_descriptor_left():
            assert await code_of_dial(made) == "local_resources"
    async with connector("http://does-not-exist.invalid") as other:
        assert await code_of_dial(other) == "dns_failed"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_descriptor_for_the_forward_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    async with listener(silence) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        async with connector(f"{scheme}://origin.test") as made:
            with no_descriptor_left():
                assert await code_of_dial(made) == "local_resources"


IN_A_SMALL_NETWORK = """
import asyncio, sys
sys.path[:0] = [{tests!r}]
import uvloop
from unit_of_dialling import connector, listener, resolving, Resolver, silence, code_of_dial, eventually, GatewayError

async def main():
    async with listener(silence) as port, connector(f"http://127.0.0.1:{{port}}") as made:
        held = []
        while True:
            try:
                held.append(await made.dial())
            except GatewayError as error:
                print(error.reason.code)
                break
        async with resolving(f"http://many.test:{{port}}", Resolver("127.0.0.1", "127.0.0.1")) as many:
            print(await code_of_dial(many))
        async with resolving(f"http://many.test:{{port}}", Resolver("127.0.0.1", "127.0.0.2")) as mixed:
            print(await code_of_dial(mixed))
        freed = held.pop()
        freed.reset()
        await eventually(lambda: freed.transport is None)
        held.append(await made.dial())
        print(held[-1].alive)

uvloop.run(main())
"""
"""Four local ports in all: soon a connection to one address has none (EADDRNOTAVAIL)."""


async def test_no_local_port_left() -> None:
    """Nobody listens on the second address of the mixed name, which is a fault of the other side."""
    here = Path(__file__)
    program = IN_A_SMALL_NETWORK.format(tests=str(here.parents[2])).replace(
        "from unit_of_dialling import",
        f"import importlib.util as u; s = u.spec_from_file_location('unit_of_dialling', {str(here)!r}); "
        "m = sys.modules['unit_of_dialling'] = u.module_from_spec(s); s.loader.exec_module(m)\n"
        "from unit_of_dialling import",
    )
    ports = "ip link set lo up && echo 50000 50003 >/proc/sys/net/ipv4/ip_local_port_range && exec"
    process = await asyncio.create_subprocess_exec(
        *[
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "sh",
            "-c",
            f'{ports} "$@"',
            "sh",
            sys.executable,
            "-c",
            program,
        ],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode and b"unshare" in err:
        unavailable("this machine gives no network namespace of its own")
    assert out.decode().split() == ["local_resources", "local_resources", "dial_failed", "True"], err.decode()


# -- addresses


async def test_an_address_that_is_denied() -> None:
    async with connector("http://169.254.169.254") as made:
        assert await code_of_dial(made) == "upstream_denied"


async def test_a_name_that_leads_to_a_denied_address() -> None:
    async with resolving("http://metadata.test", Resolver("169.254.169.254")) as made:
        assert await code_of_dial(made) == "upstream_denied"


async def test_of_several_addresses_those_that_are_denied_are_not_tried() -> None:
    async with (
        listener(silence) as port,
        resolving(f"http://many.test:{port}", Resolver("169.254.169.254", "127.0.0.1")) as made,
    ):
        connection = await made.dial()
        assert peer_of(connection) == "127.0.0.1"
        assert made.current == {"127.0.0.1"}
        connection.abort()


@pytest.mark.parametrize(
    "url", ["http://0x7f000001:{}", "http://2130706433:{}", "http://0177.0.0.1:{}", "http://127.1:{}"]
)
async def test_other_spellings_of_an_address_are_not_dialled(url: str) -> None:
    """`gateway check` refuses them already; should one come through, it is no way around."""
    async with listener(silence) as port, connector(url.format(port)) as made:
        made._guard.destinations = Destinations(own=[("127.0.0.1", port)])
        assert await code_of_dial(made) in ("upstream_denied", "dial_failed", "dns_failed")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_forward_proxy_may_be_anywhere_and_leads_to_no_denied_address(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    asked = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    async with listener(proxy) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        guard = Guard(Destinations(UpstreamNetworks(deny=("127.0.0.0/8",))))
        async with connector(f"{scheme}://169.254.169.254", guard=guard) as made:
            assert await code_of_dial(made) == "upstream_denied"
        assert not asked.is_set()
        async with connector(f"{scheme}://name.test", guard=guard, dial=0.2, tls_handshake=0.1) as made:
            if scheme == "http":
                (await made.dial()).abort()
            else:
                assert await code_of_dial(made) == "dial_timeout"
        await asked.wait()


def zoned_addresses() -> list[str]:
    """Link-local addresses of this machine, each with its zone; ``::1`` where there are none."""
    found = []
    with suppress(FileNotFoundError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, _, name = line.split()
            if scope == "20":
                found.append(f"{ipaddress.IPv6Address(bytes.fromhex(digits))}%25{name}")
    return found or ["::1%25lo"]


@pytest.mark.parametrize("address", [*zoned_addresses(), "::1%25lo", "::1%251"])
async def test_a_zone_is_dialled(address: str) -> None:
    """RFC 6874; without its zone a link-local address leads nowhere."""
    bare, _, zone = address.partition("%25")
    with suppress(OSError):
        async with listener(silence, host=bare if bare == "::1" else f"{bare}%{zone}") as port:
            guard = Guard(Destinations(UpstreamNetworks(allow=("fe80::/10",))))
            async with connector(f"http://[{address}]:{port}", guard=guard) as made:
                connection = await made.dial()
                assert peer_of(connection).partition("%")[0] == bare
                assert made.endpoint.authority == f"[{bare}]:{port}"
                connection.abort()
            return
    unavailable("no IPv6 here")


async def test_a_zone_that_this_machine_does_not_have() -> None:
    guard = Guard(Destinations(UpstreamNetworks(allow=("fe80::/10",))))
    async with connector("http://[fe80::1%25none0]:9", guard=guard) as made:
        assert await code_of_dial(made) == "local_resources"


# -- cancelled dials


def sockets() -> int:
    """How many this process holds."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that listed the others
            count += str(descriptor.readlink()).startswith("socket:")
    return count


async def cancel_dials(made: HardenedConnector, count: int = 200) -> None:
    """Cancel ``count`` dials, each a little later than the one before; a connection that was ready first is closed."""
    before = sockets()
    for number in range(count):
        task = asyncio.ensure_future(made.dial())
        for _ in range(number % 40):
            await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, asyncio.CancelledError), outcome
        else:
            outcome.abort()
    await eventually(lambda: sockets() <= before, "every socket is closed")


async def test_cancelled_while_nobody_answers(black_hole: BlackHole) -> None:
    async with connector(black_hole.url) as made:
        await cancel_dials(made)


async def test_cancelled_while_several_addresses_are_tried(black_hole: BlackHole) -> None:
    addresses = Resolver("127.0.0.1", "127.0.0.1", "127.0.0.1")
    async with resolving(f"http://many.test:{black_hole.port}", addresses) as made:
        await cancel_dials(made)


async def test_cancelled_while_resolving() -> None:
    async with resolving("http://slow.test", Resolver()) as made:
        await cancel_dials(made)


async def test_cancelled_at_any_step_of_a_dial_that_would_succeed() -> None:
    async with listening(b"") as port, connector(f"http://127.0.0.1:{port}") as made:
        await cancel_dials(made)


async def test_cancelled_while_shaking_hands() -> None:
    async with listening(b"") as port, connector(f"https://127.0.0.1:{port}") as made:
        await cancel_dials(made)


async def test_cancelled_while_a_tunnel_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(b"") as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        async with connector("https://origin.test") as made:
            await cancel_dials(made)


async def test_cancelled_while_shaking_hands_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        async with connector("https://origin.test") as made:
            await cancel_dials(made)


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[int]:
    """A listener that says ``answer`` and no more. A process of its own, so that the sockets here are the dialler's."""
    program = (
        "import socket, sys\n"
        "s = socket.create_server(('127.0.0.1', 0), backlog=512)\n"
        "print(s.getsockname()[1], flush=True)\n"
        "kept = []\n"
        "while True:\n"
        "    c, _ = s.accept()\n"
        f"    c.sendall({answer!r})\n"
        "    kept = [*kept[-300:], c]\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


# -- TLS without a limit, and forward proxies


def authority_for(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's context, a client's that trusts it)."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(server)
    trusting = client_context()
    authority.configure_trust(trusting)
    return server, trusting


async def test_a_handshake_without_a_limit() -> None:
    server, trusting = authority_for("127.0.0.1")
    async with (
        listener(silence, server) as port,
        connector(f"https://127.0.0.1:{port}", trusting, tls_handshake=0) as made,
    ):
        connection = await made.dial()
        assert connection.alive
        connection.abort()


async def test_a_handshake_without_a_limit_waits() -> None:
    async with listener(silence) as port, connector(f"https://127.0.0.1:{port}", dial=0.2, tls_handshake=0) as made:
        dial = asyncio.ensure_future(made.dial())
        done, _ = await asyncio.wait([dial], timeout=0.4)
        assert not done
        dial.cancel()
        await asyncio.wait([dial])


async def test_a_forward_proxy_that_speaks_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY=https://...: the request travels to the proxy under TLS, in absolute-form."""
    server, trusting = authority_for("127.0.0.1")
    got = asyncio.get_running_loop().create_future()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.readexactly(5))

    async with listener(proxy, server) as port:
        monkeypatch.setenv("http_proxy", f"https://u:p@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        async with connector("http://origin.test", trusting) as made:
            assert made.absolute_form == b"http://origin.test"
            assert made.proxy_fields == [(b"Proxy-Authorization", b"Basic dTpw")]
            connection = await made.dial()
            connection.write(b"hello")
            assert await got == b"hello"
            connection.abort()


async def test_a_forward_proxy_that_fails_at_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    server, _ = authority_for("127.0.0.1")
    async with listener(silence, server) as port, listener(silence) as silent:
        monkeypatch.setenv("http_proxy", f"https://127.0.0.1:{port}")
        async with connector("http://origin.test") as stranger:
            assert await code_of_dial(stranger) == "tls_failed"
        monkeypatch.setenv("http_proxy", f"https://127.0.0.1:{silent}")
        async with connector("http://origin.test", tls_handshake=0.05) as made:
            assert await code_of_dial(made) == "tls_timeout"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "dial_failed"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "dial_failed"),
        (b"nonsense\r\n\r\n", "dial_failed"),
        (b"", "dial_failed"),
    ],
)
async def test_a_tunnel_that_is_refused(monkeypatch: pytest.MonkeyPatch, answer: bytes, code: str) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    before = sockets()
    async with listener(proxy) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        async with connector("https://origin.test") as made:
            assert await code_of_dial(made) == code
    await eventually(lambda: sockets() <= before, "the connection to the proxy is closed")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_tunnel_that_is_never_ready(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    async with listener(proxy) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        async with connector("https://origin.test", dial=0.05, tls_handshake=0.05) as made:
            assert await code_of_dial(made) == ("tls_timeout" if answer else "dial_timeout")


async def test_the_pure_python_parsers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOHTTP_NO_EXTENSIONS", "1")
    with pytest.raises(RuntimeError, match="AIOHTTP_NO_EXTENSIONS"):
        HardenedConnector(Origin.of("http://a"), Timeouts(), BufferPool(), HeadParser(), secured())


async def test_the_private_seams_of_aiohttp_are_still_there() -> None:
    wrap = inspect.signature(aiohttp.TCPConnector._wrap_create_connection)
    assert {"addr_infos", "req", "timeout", "client_error"} <= wrap.parameters.keys()
    assert [*inspect.signature(aiohttp.TCPConnector._resolve_host).parameters][:3] == ["self", "host", "port"]
    async with connector("http://127.0.0.1:1") as made:
        for name in (
            "_convert_hosts_to_addr_infos",
            "_happy_eyeballs_delay",
            "_interleave",
            "_socket_factory",
            "_loop",
        ):
            assert hasattr(made, name), name
