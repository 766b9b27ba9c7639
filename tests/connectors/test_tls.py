"""TLS with real databases: who is trusted, and that no one else gets the password."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import trustme
from harness import tls_databases
from harness.calling import Calling
from harness.tls import authority, pem_of
from harness.tls_databases import PASSWORD, SERVERS, wire

pytestmark = pytest.mark.timeout(240)

STATUS = (
    "SELECT variable_value <> '' AS spoken FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
)
ASKED = {
    "postgresql": (
        'statement: "SELECT ssl AS spoken FROM pg_stat_ssl WHERE pid = pg_backend_pid()"',
        [{"spoken": True}],
    ),
    "mariadb": (f'statement: "{STATUS}"', [{"spoken": 1}]),
    "redis": ("command: [GET, nothing]", None),  # it has no other port
}
"""An action that shows that TLS is spoken, and what it returns."""


@pytest.fixture(scope="module", params=SERVERS)
def speaking(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Its kind and its URL."""
    with SERVERS[request.param](speaks_tls=True) as url:
        yield request.param, url


@pytest.fixture(scope="module", params=SERVERS)
def plain(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """One that speaks no TLS."""
    with SERVERS[request.param](speaks_tls=False) as url:
        yield request.param, url


def calling(kind: str, url: str, port: int, ca: trustme.CA | None = None, *, host: str = "localhost") -> Calling:
    """``ca``: the authority that is trusted; None: those of the system."""
    name = "" if kind == "redis" else "reader"
    auth = f'{{type: basic, username: "{name}", password: "${{PASSWORD}}"}}'
    tls = "{mode: verify}" if ca is None else "{mode: verify, ca_pem: '${CA}'}"
    at = url.replace("localhost", host).replace(f":{urlsplit(url).port}", f":{port}")
    spoken = "redis" if kind == "redis" else "sql"
    connection = f"kind: {spoken}, url: '{at}', auth: {auth}, tls: {tls}, retry: once, connect_timeout_ms: 4000"
    text = f"connections: {{db: {{{connection}}}}}\nactions: {{ask: {{connection: db, {ASKED[kind][0]}}}}}"
    return Calling(text, {"PASSWORD": PASSWORD, "CA": "" if ca is None else pem_of(ca)})


@pytest.mark.covers("ACT-36")
async def test_an_authority_of_ones_own_is_trusted_when_it_is_named(speaking: tuple[str, str]) -> None:
    kind, url = speaking
    async with wire(urlsplit(url).port or 0) as seen:
        async with calling(kind, url, seen.port, authority()) as make:
            found = await make.body("ask")
            assert (found if kind == "redis" else found["rows"]) == ASKED[kind][1]
        assert PASSWORD.encode() not in seen.sent


WRONG = {
    "another authority": (True, "localhost", "its certificate is rejected"),
    "those of the system": (False, "localhost", "its certificate is rejected"),
    "another name": (None, "127.0.0.1", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
}


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_server_that_is_not_proved_gets_no_password(
    speaking: tuple[str, str], wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind, url = speaking
    other, host, says = WRONG[wrong]
    ca = authority() if other is None else trustme.CA() if other else None
    async with wire(urlsplit(url).port or 0) as seen:
        async with calling(kind, url, seen.port, ca, host=host) as make:
            assert await make.code("ask") == "tls_failed"
            assert make.upstream.limiter.in_flight == 0
        assert seen.sent, "the handshake"
        assert PASSWORD.encode() not in seen.sent
        assert b"reader" not in seen.sent
    assert says in caplog.text
    assert f"no TLS with {url.partition(':')[0]}" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.covers("ACT-36")
async def test_a_server_without_tls_gets_no_password(plain: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Someone on the way may have taken the offer of TLS away."""
    kind, url = plain
    async with wire(urlsplit(url).port or 0) as seen:
        async with calling(kind, url, seen.port, authority()) as make:
            # A Redis waits for the end of a line, which a handshake of TLS does not have.
            assert await make.code("ask") == ("dial_timeout" if kind == "redis" else "tls_failed")
        assert PASSWORD.encode() not in seen.sent
        assert b"reader" not in seen.sent
    if kind != "redis":
        assert "it does not speak TLS (not offered)" in caplog.text
    assert tls_databases.PASSWORD not in caplog.text
