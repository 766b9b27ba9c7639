"""TLS as an operator runs it: a renewed certificate is applied without a restart, with and without a database."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.test_one_process import OneProcess
from harness.answers import ok
from harness.client import request
from harness.deployment import Deployment
from harness.patience import eventually
from harness.tls import (
    TlsClient,
    TlsLink,
    TlsUpstream,
    authority,
    certificate,
    client_certificate,
    pem_of,
    trusting,
)
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)


def write(folder: Path, *names: str) -> str:
    """A certificate in ``a.pem`` and ``a.key``, each in the place of the one before; its chain."""
    made = certificate(*names)
    for name, text in (("a.key", made.key), ("a.pem", made.chain)):
        new = folder / f"{name}.new"
        new.write_text(text)
        new.rename(folder / name)
    return made.chain


async def shown(port: int, name: str = "a.test") -> str:
    """The certificate that a new connection gets, as PEM; it serves a request too."""
    client = await TlsClient.dial(("127.0.0.1", port), trusting(), name)
    try:
        assert client.refused is None, client.refused
        await client.send(request("/p/", host=name))
        assert (await client.response()).status == 200
        der = client.tls.getpeercert(True)
        assert der is not None
        return ssl.DER_cert_to_PEM_cert(der)
    finally:
        client.close()


async def until_shown(port: int, chain: str) -> None:
    end = time.monotonic() + 15
    while (pem := await shown(port)) not in chain:
        assert time.monotonic() < end, pem


@asynccontextmanager
async def one_process(
    folder: Path, upstream: Upstream, **proxy: object
) -> AsyncIterator[tuple[int, Callable[[], str]]]:
    gateway = OneProcess(folder)
    tls = {"certificates": [{"cert": "a.pem", "key": "a.key"}]}
    gateway.write(
        listen={"address": f"127.0.0.1:{gateway.port}", "tls": tls},
        proxies=[{"name": "p", "path": "/p", "upstream": upstream.url, "access_rule": "true", **proxy}],
    )
    async with gateway:
        await eventually(lambda: f"on https://127.0.0.1:{gateway.port}" in gateway.log.read_text(), "the greeting", 15)
        yield gateway.port, gateway.log.read_text


@asynccontextmanager
async def deployment(folder: Path, upstream: Upstream, **proxy: object) -> AsyncIterator[tuple[int, Callable[[], str]]]:
    proxies = json.dumps([{"name": "p", "path": "/p", "upstream": upstream.url, "access_rule": "true", **proxy}])
    listen = "{address: 127.0.0.1:0, tls: {certificates: [{cert: a.pem, key: a.key}]}}"
    async with Deployment(folder, proxies=proxies, listen=listen) as gateway:
        async with gateway.session.get(
            f"{gateway.admin}/api/gateway/metrics", headers={"Authorization": f"Bearer {gateway.token}"}
        ) as answer:
            text = await answer.text()
        assert 'gateway_certificate_expiry_seconds{listener="127.0.0.1:0",name="a.test"}' in text
        assert ('gateway_certificate_expiry_seconds{upstream="p",name="g.test"}' in text) is ("tls" in proxy)
        assert gateway.url.startswith("https://127.0.0.1:")
        yield int(gateway.url.rpartition(":")[2]), gateway.log.read_text


@pytest.mark.parametrize("run", [one_process, deployment])
async def test_a_renewed_certificate_is_applied(run: Callable[..., Any], tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    before = write(tmp_path, "a.test")
    async with run(tmp_path, upstream) as (port, log):
        assert await shown(port) in before
        await until_shown(port, write(tmp_path, "a.test"))
        # The files of two certificates: nothing changes, and the log says why, once.
        (tmp_path / "a.key").write_text(certificate("a.test").key)
        await eventually(lambda: "does not belong to the private key" in log(), "the reason", 15)
        current = await shown(port)
        last = write(tmp_path, "a.test")
        await until_shown(port, last)
        assert current not in last
        assert log().count("does not belong to the private key") == 1


@pytest.mark.parametrize("run", [one_process, deployment])
async def test_a_renewed_client_certificate_is_shown(run: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, "a.test")
    (tmp_path / "authority.pem").write_text(pem_of(authority()))
    tls = {"ca": "authority.pem", "client_cert": "g.pem", "client_key": "g.key", "server_name": "ai.test"}

    def renew() -> str:
        made = client_certificate("g.test", issuer=authority())
        (tmp_path / "g.key").write_text(made.key)
        (tmp_path / "g.pem").write_text(made.chain)
        return made.chain

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("ai.test").configure_cert(context)
    authority().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with TlsUpstream(ok()) as upstream:
        upstream.context = context

        def seen() -> str:
            link = upstream.links[-1]
            assert isinstance(link, TlsLink)
            return ssl.DER_cert_to_PEM_cert(link.tls.getpeercert(True) or b"")

        first = renew()
        async with run(tmp_path, upstream, tls=tls) as (port, _):
            await shown(port)
            assert seen() in first
            second = renew()
            end = time.monotonic() + 15
            while seen() not in second:
                assert time.monotonic() < end, "the renewed certificate is never shown"
                await shown(port)


async def test_the_admin_listener_shows_its_renewed_certificate(tmp_path: Path) -> None:
    """And names the command for other changes alone."""
    before = write(tmp_path, "localhost", "127.0.0.1")
    admin = "{listen: 127.0.0.1:0, tls: {certificates: [{cert: a.pem, key: a.key}]}}"
    async with Deployment(tmp_path, admin=admin) as gateway:
        port = int(gateway.admin.rpartition(":")[2])
        assert gateway.admin == f"https://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {gateway.token}"}
        where = f"{gateway.admin}/api/gateway/metrics"
        async with gateway.session.get(where, headers=headers, ssl=trusting()) as answer:
            text = await answer.text()
        assert 'gateway_certificate_expiry_seconds{listener="admin 127.0.0.1:0",name="localhost"}' in text

        async def seen() -> str:
            client = await TlsClient.dial(("127.0.0.1", port), trusting(), "localhost")
            try:
                return ssl.DER_cert_to_PEM_cert(client.tls.getpeercert(True) or b"")
            finally:
                client.close()

        assert await seen() in before
        after = write(tmp_path, "localhost", "127.0.0.1")
        end = time.monotonic() + 15
        while await seen() not in after:
            assert time.monotonic() < end, "the renewed certificate is never shown"
            await asyncio.sleep(0.05)
        assert "only a new control process" not in gateway.log.read_text()
        gateway.admin_section = admin.replace("listen:", "session_ttl: 600, listen:")
        gateway.write("[]")
        said = "admin.session_ttl: only a new control process applies a change"
        await eventually(lambda: said in gateway.log.read_text(), "the warning", 15)


async def test_the_admin_listener_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with Deployment(tmp_path, admin=f"{{listen: 'unix:{path}'}}") as gateway:
        assert gateway.admin == f"unix:{path}"
        command = ["proxy", "list", "--server", gateway.admin, "--token", gateway.token]
        result = gateway.cli(*command, config=False)
        assert (result.returncode, result.stdout[:4]) == (0, "NAME"), result.stderr
        control = gateway.pid("control")
        gateway.kill("control")  # its socket file stays, and the next one replaces it
        await gateway.replaced("control", control)
        await gateway.greeted(2)
        assert gateway.cli(*command, config=False).returncode == 0
        gateway.signal(signal.SIGTERM)
        await gateway.ended()
        assert not path.exists()
