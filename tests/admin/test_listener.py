"""The admin listener over TLS and on a Unix socket: on real sockets, also against peers that never finish."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest
import trustme
from admin.conftest import EMAIL, PASSWORD, Api
from click.testing import CliRunner, Result
from harness.patience import eventually
from harness.tls import TlsClient, authority, certificate, pem_of, trusting

from gateway.admin.seats import Seats
from gateway.api.route import BASE
from gateway.api.server import AdminListener
from gateway.api.socket_file import SocketFile
from gateway.api.times import Times
from gateway.cli import main
from gateway.config.records import Tls
from gateway.core.address import Address, UnixSocket

NAMES = ("localhost", "127.0.0.1")
HEALTHZ = f"GET {BASE}/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Settings:
    """The settings of the file, as they are now."""

    def __init__(self, tls: Tls | None = None) -> None:
        self.tls: Tls | None = Tls((certificate(*NAMES),)) if tls is None else tls

    def __call__(self) -> Tls | None:
        return self.tls


@asynccontextmanager
async def listening(
    api: Api, tls: Callable[[], Tls | None], seats: Seats | None = None, **times: float
) -> AsyncIterator[AdminListener]:
    where = Address("127.0.0.1", 0)
    listener = AdminListener(api.administration, api.plane, where, (), Times(**times), seats, tls)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.aclose()


def address_of(listener: AdminListener) -> tuple[str, int]:
    return "127.0.0.1", int(listener.url.rpartition(":")[2])


async def dial(listener: AdminListener, context: ssl.SSLContext | None = None) -> TlsClient:
    return await TlsClient.dial(address_of(listener), context or trusting(), "localhost")


async def test_all_of_the_api_over_tls(api: Api) -> None:
    async with listening(api, Settings()) as listener:
        assert listener.url.startswith("https://127.0.0.1:")
        login = {"email": EMAIL, "password": PASSWORD}
        async with api.session.post(f"{listener.url}{BASE}/auth/login", json=login, ssl=trusting()) as answer:
            assert answer.status == 200
            cookie = SimpleCookie(answer.headers["Set-Cookie"])["gateway_device"]
            assert cookie["secure"], "a browser sends it over TLS alone"
            token = (await answer.json())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with api.session.get(f"{listener.url}{BASE}/proxies", headers=headers, ssl=trusting()) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await api.session.get(f"{listener.url}{BASE}/healthz")


async def test_without_tls_the_cookie_is_for_both(api: Api) -> None:
    answer = await api.call("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD}, token="")
    assert not SimpleCookie(answer.headers["Set-Cookie"])["gateway_device"]["secure"]


async def test_plain_http_gets_nothing(api: Api) -> None:
    seats = Seats()
    async with listening(api, Settings(), seats) as listener:
        reader, writer = await asyncio.open_connection(*address_of(listener))
        writer.write(HEALTHZ)
        assert b"HTTP" not in await reader.read()
        writer.close()
        await eventually(lambda: len(seats) == 0, "the seat is free")


async def test_a_request_that_comes_with_the_end_of_the_handshake(api: Api) -> None:
    """TLS 1.3: a client may send at once, in one packet with its last message of the handshake."""
    async with listening(api, Settings()) as listener:
        client = await TlsClient.connect(address_of(listener))
        client.secure(trusting(), server_side=False, name="localhost")
        done = False
        while not done:
            try:
                client.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                await client._flush()
                assert await client._receive()
        client.tls.write(HEALTHZ)
        await client._flush()
        assert (await client.response()).status == 200
        client.close()


async def test_a_renewed_certificate_is_shown_to_new_connections(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings()
    async with listening(api, settings) as listener:
        old = await dial(listener)
        before = old.tls.getpeercert(True)
        settings.tls = Tls((certificate(*NAMES),))
        new = await dial(listener)
        renewed = new.tls.getpeercert(True)
        assert renewed != before
        for client in (old, new):
            await client.send(HEALTHZ)
            assert (await client.response()).status == 200
        settings.tls = Tls((replace(certificate(*NAMES), key=certificate(*NAMES).key),))
        for _ in range(2):
            again = await dial(listener)
            assert again.tls.getpeercert(True) == renewed
            again.close()
        settings.tls = None  # whether there is TLS is decided at the start
        last = await dial(listener)
        assert last.tls.getpeercert(True) == renewed
        for client in (old, new, last):
            client.close()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert told[0].startswith("admin.tls: the certificate cannot be used: ")
    assert told[0].endswith("the certificate before stays in use")


async def test_a_certificate_that_cannot_be_used_at_the_start(api: Api) -> None:
    bad = Tls((replace(certificate(*NAMES), key=certificate(*NAMES).key),))
    with pytest.raises(OSError, match=r"admin\.tls: the certificate cannot be used"):
        AdminListener(api.administration, api.plane, Address("127.0.0.1", 0), tls=lambda: bad)


async def test_certificates_of_operators(api: Api) -> None:
    operators = trustme.CA()
    wanted = Tls((certificate(*NAMES, client_auth="required", client_ca=operators),))
    seats = Seats()
    async with listening(api, Settings(wanted), seats) as listener:
        stranger = await dial(listener)
        assert await stranger.rest() == b""
        assert stranger.ended
        stranger.close()
        await eventually(lambda: len(seats) == 0, "the stranger has no seat")
        context = trusting()
        operators.issue_cert("operator.test").configure_cert(context)
        known = await dial(listener, context)
        await known.send(HEALTHZ)
        assert (await known.response()).status == 200
        known.close()


async def test_handshakes_that_never_end_are_cut(api: Api) -> None:
    seats = Seats()
    async with listening(api, Settings(), seats, head=0.1) as listener:
        reader, writer = await asyncio.open_connection(*address_of(listener))
        assert await reader.read() == b""
        writer.close()
        await eventually(lambda: len(seats) == 0, "the seat is free")


async def test_silent_peers_do_not_keep_an_operator_out(api: Api) -> None:
    """They have seats from the first packet on, so the oldest makes room."""
    seats = Seats(most=8, reserved=0)
    async with listening(api, Settings(), seats) as listener:
        silent = [socket.create_connection(address_of(listener)) for _ in range(20)]
        await eventually(lambda: len(seats) == 8, "all seats are taken")
        client = await dial(listener)
        await client.send(HEALTHZ)
        assert (await client.response()).status == 200
        client.close()
        for sock in silent:
            sock.close()


async def test_its_end_waits_for_no_handshake(api: Api) -> None:
    async with listening(api, Settings()) as listener:
        silent = socket.create_connection(address_of(listener))
        idle = await dial(listener)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    silent.close()
    idle.close()


# -- on a Unix socket


@asynccontextmanager
async def on_socket(api: Api, path: Path, seats: Seats | None = None) -> AsyncIterator[AdminListener]:
    listener = AdminListener(api.administration, api.plane, UnixSocket(str(path)), seats=seats)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.aclose()


async def status(path: Path, host: str = "localhost") -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get(f"http://localhost{BASE}/healthz", headers={"Host": host}) as answer,
    ):
        return answer.status


async def test_a_socket_for_user_and_group(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    before = os.umask(0o077)
    try:
        async with on_socket(api, path) as listener:
            assert listener.url == f"unix:{path}"
            assert stat.filemode(path.stat().st_mode) == "srw-rw----"
            assert await status(path) == 200
            assert await status(path, "gateway.example") == 421
    finally:
        os.umask(before)
    assert not path.exists()


async def test_a_peer_on_the_socket_is_of_this_machine(api: Api, tmp_path: Path) -> None:
    """Seats are reserved for it."""
    seats = Seats(most=2, reserved=2)
    async with on_socket(api, tmp_path / "admin.sock", seats):
        assert await status(tmp_path / "admin.sock") == 200


async def test_the_socket_of_a_process_that_is_gone_is_replaced(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()
    assert path.is_socket()
    async with on_socket(api, path):
        assert await status(path) == 200


async def test_one_that_is_in_use_stays(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with on_socket(api, path):
        with pytest.raises(OSError, match=f"cannot listen on unix:{path}: another process does; stop that program"):
            async with on_socket(api, path):
                pass
        assert await status(path) == 200


async def test_what_is_no_socket_stays(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match=r"there is a file that is no socket; remove it, or change admin\.listen"):
        async with on_socket(api, path):
            pass
    assert path.read_text() == "mine"


async def test_a_folder_that_is_missing(api: Api, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No such file or directory; make the folder .*/no \(RuntimeDirectory="):
        async with on_socket(api, tmp_path / "no" / "admin.sock"):
            pass


async def test_the_socket_of_another_gateway_is_not_removed(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with on_socket(api, path):
        path.unlink()
        async with on_socket(api, path):
            first = path.stat().st_ino
            SocketFile(str(path)).remove()
            assert path.stat().st_ino == first
    assert not path.exists()


async def test_a_backlog_that_is_full_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "admin.sock"

    def late(self: socket.socket, _: object) -> None:
        raise TimeoutError

    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        monkeypatch.setattr("gateway.api.socket_file.socket.socket.connect", late)
        with pytest.raises(OSError, match="in use") as caught:
            SocketFile(str(path)).open()
    assert caught.value.errno == errno.EADDRINUSE


# -- the commands


async def command(api: Api, folder: Path, *arguments: str) -> Result:
    env = {"GATEWAY_TOKEN": api.token, "GATEWAY_CA": None, "GATEWAY_CERT": None}
    return await asyncio.to_thread(CliRunner().invoke, main, ["proxy", "list", *arguments], env=env)


async def test_commands_over_tls(api: Api, tmp_path: Path) -> None:
    operators = trustme.CA()
    (tmp_path / "ca.pem").write_text(pem_of(authority()))
    made = operators.issue_cert("operator.test")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    wanted = Tls((certificate(*NAMES, client_auth="required", client_ca=operators),))
    async with listening(api, Settings(wanted)) as listener:
        known = ("--ca", str(tmp_path / "ca.pem"))
        good = await command(api, tmp_path, "--server", listener.url, *known, "--cert", str(tmp_path / "own.pem"))
        assert (good.exit_code, good.stdout[:4]) == (0, "NAME"), good.output
        stranger = await command(api, tmp_path, "--server", listener.url)
        assert stranger.exit_code == 1
        assert "shows a certificate that is rejected" in stranger.stderr
        assert "name its authority in --ca" in stranger.stderr
        without = await command(api, tmp_path, "--server", listener.url, *known)
        assert (without.exit_code, "cannot be reached" in without.stderr) == (1, True)
        for option in ("--ca", "--cert"):
            bad = await command(api, tmp_path, "--server", listener.url, option, str(tmp_path / "no.pem"))
            assert (bad.exit_code, f"{option}: {tmp_path}/no.pem cannot be read" in bad.stderr) == (1, True)


async def test_commands_on_a_unix_socket(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with on_socket(api, path):
        good = await command(api, tmp_path, "--server", f"unix:{path}")
        assert (good.exit_code, good.stdout[:4]) == (0, "NAME"), good.output
    away = await command(api, tmp_path, "--server", f"unix:{path}")
    assert (away.exit_code, f"unix:{path} cannot be reached" in away.stderr) == (1, True)
