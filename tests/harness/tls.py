"""The other end of a TLS connection of the gateway, as exact as the plain one: each byte, FIN, close_notify and RST by
itself."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Self

import trustme

from gateway.config.records import Certificate, ClientCertificate, Tls
from harness.client import Client
from harness.stream import RESET_ON_CLOSE, Stream
from harness.upstream import Link, Upstream


@functools.cache
def authority() -> trustme.CA:
    """One certificate authority for all tests of a process: to make one costs more than a handshake."""
    return trustme.CA()


@functools.cache
def server_context() -> ssl.SSLContext:
    """Of an upstream at 127.0.0.1, with a certificate of `authority`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("127.0.0.1", "upstream.test").configure_cert(context)
    return context


def certificate(*names: str, client_auth: str = "none", client_ca: trustme.CA | None = None) -> Certificate:
    """Of a listener, signed by `authority`."""
    issued = authority().issue_cert(*names)
    chain = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
    pem = "" if client_ca is None else pem_of(client_ca)
    return Certificate(chain, issued.private_key_pem.bytes().decode(), names, 4e9, client_auth, pem)


def client_certificate(name: str, *, issuer: trustme.CA, key: str = "") -> ClientCertificate:
    """That the gateway shows to an upstream; with ``key``, which belongs to another, if it is given."""
    issued = issuer.issue_cert(name)
    chain = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
    return ClientCertificate(chain, key or issued.private_key_pem.bytes().decode(), name, 4e9)


def pem_of(issuer: trustme.CA) -> str:
    """The certificate of an authority."""
    return issuer.cert_pem.bytes().decode()


@functools.cache
def listener_tls() -> Tls:
    """Of the listener of most tests."""
    return Tls((certificate("gateway.test", "127.0.0.1"),))


def trusting(**versions: ssl.TLSVersion) -> ssl.SSLContext:
    """Of a client that trusts `authority`; with what ``versions`` names, ``minimum_version`` or ``maximum_version``."""
    context = ssl.create_default_context(cadata=authority().cert_pem.bytes().decode())
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def write_certificates(directory: Path) -> None:
    """The files of the examples in the schema: ``a.pem``, ``a.key``, ``b.pem``, ``b.key``, and two authorities."""
    for name in ("a", "b"):
        made = certificate(f"{name}.test")
        (directory / f"{name}.pem").write_text(made.chain)
        (directory / f"{name}.key").write_text(made.key)
    for name in ("callers", "partners"):
        trustme.CA().cert_pem.write_to_path(directory / f"{name}.pem")


def write_authority(directory: Path) -> str:
    """The path of a file with the certificate of `authority`, for SSL_CERT_FILE."""
    path = directory / "authority.pem"
    authority().cert_pem.write_to_path(path)
    return str(path)


class TlsStream(Stream):
    """A `Stream` through TLS; `half_close` and `close` send close_notify before the FIN, `cut` and `reset` do not."""

    def secure(self, context: ssl.SSLContext, *, server_side: bool, name: str = "") -> None:
        """TLS from here on; then `open`."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side, name or None)
        self._writing = asyncio.Lock()
        self._offered = b""
        """Bytes of a record that `offer` could not give to the kernel."""
        self.notified = False
        """The gateway said close_notify."""
        self.refused: ssl.SSLError | None = None
        """Why the handshake failed."""

    async def open(self) -> bool:
        """Complete the handshake; False when the gateway does not."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._receive():
                    return False
            except ssl.SSLError as error:
                self.refused = error
                return False
            else:
                await self._flush()
                return True

    async def fill(self, size: int = 65536) -> bool:
        while not self.ended and not self.closed:
            try:
                data = self.tls.read(size)
            except ssl.SSLWantReadError:
                if not await self._receive():
                    return False
                continue
            except ssl.SSLError as error:
                self.refused = error
                data = b""
            else:
                self.notified = not data
            self._note(data)
            return bool(data)
        return False

    async def send(self, *parts: bytes) -> Self:
        data = b"".join(parts)
        if data:
            self.tls.write(data)
            await self._flush()
        return self

    def push(self, data: bytes) -> None:
        self.tls.write(data)
        super().push(self._outgoing.read())

    def offer(self, data: bytes) -> int:
        if not self._offered:
            taken = self.tls.write(data[:16384])
            self._offered = self._outgoing.read()
        else:
            taken = 0  # the rest of a record goes first
        with suppress(BlockingIOError):
            self._offered = self._offered[self.sock.send(self._offered) :]
        return taken

    def half_close(self) -> None:
        self._say_goodbye()
        super().half_close()

    def close(self) -> None:
        if not self.closed:
            self._say_goodbye()
        super().close()

    def cut(self) -> None:
        """FIN without close_notify: what an attacker on the way can do (RFC 8446 6.1)."""
        super().close()

    def reset(self) -> None:
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        super().close()

    async def _receive(self) -> bool:
        """Read once from the socket."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        except ConnectionError:
            self.ended = "reset"
            return False
        if not data:
            self.ended = "eof"
        self._incoming.write(data)
        return bool(data)

    async def _flush(self) -> None:
        async with self._writing:
            if data := self._outgoing.read():
                try:
                    await asyncio.get_running_loop().sock_sendall(self.sock, data)
                except ConnectionError:
                    self.ended = self.ended or "reset"

    def _say_goodbye(self) -> None:
        with suppress(ssl.SSLError):  # SSLWantReadError above all: the gateway has not said it yet
            self.tls.unwrap()
        with suppress(OSError):
            self.sock.send(self._outgoing.read())


class TlsLink(TlsStream, Link):
    """One connection of the gateway, as an upstream behind TLS sees it."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        super().__init__(sock)
        self.secure(context or server_context(), server_side=True)


class TlsClient(TlsStream, Client):
    """A caller of a listener with TLS."""

    @classmethod
    async def dial(
        cls, address: tuple[str, int], context: ssl.SSLContext, name: str = "gateway.test", *, receive_buffer: int = 0
    ) -> TlsClient:
        """Connected, and with an attempt at the handshake: `refused` has the error of one that failed."""
        client = await cls.connect(address, receive_buffer=receive_buffer)
        client.secure(context, server_side=False, name=name)
        await client.open()
        return client


class TlsUpstream(Upstream):
    """An `Upstream` behind TLS: a connection counts as accepted once its handshake is complete."""

    scheme = "https"
    context: ssl.SSLContext | None = None
    """In the place of `server_context`, for the connections from now on."""

    def _take(self, sock: socket.socket) -> None:
        self._spawn(self._open(TlsLink(sock, self.context)))

    async def _open(self, link: TlsLink) -> None:
        if await link.open():
            self._add(link)
        else:
            link.close()
