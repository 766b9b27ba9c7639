"""The endpoints of identity providers: asked with bounds on time and size, and left alone while they fail.

Each URL has a breaker of its own, so that a provider that is away does not cost every call its time.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from gateway.config.networks import Destinations
from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome
from gateway.grants.errors import GrantError, ProviderAwayError, ProviderRefusedError

if TYPE_CHECKING:
    import socket

    from gateway.grants.flows import TokenRequest
    from gateway.policy.breaker import Breaker
    from gateway.upstream.forward_proxy import ForwardProxy

# Rooms of the data plane are imported where they are used: a control process without such connections has none.

SECONDS: Final = 10.0
"""The longest exchange with a provider."""
MOST_BYTES: Final = 65_536
FAILURES: Final = 3
RECOVERY_SECONDS: Final = 30.0
_ASKED_MOST: Final = 300.0
_ERROR: Final = re.compile(r'^\s*\{.*"error"|(?:^|&)error=', re.DOTALL)
"""A body that is one of OAuth (RFC 6749 5.2), and no page that speaks of an error."""
_TRANSIENT: Final = frozenset((408, 425, 429))
_PERMANENT: Final = {
    404: "there is nothing at this address; check token_url",
    405: "it takes no POST; check token_url",
    415: "it takes no form; check token_url",
}


class _DestinationError(ProviderRefusedError):
    """The gateway itself does not connect there. The text does not say what a name resolves to."""

    def __init__(self) -> None:
        message = "the address of the identity provider is denied to upstreams; allow it in upstream_networks"
        super().__init__("denied_address", message)


class _DialError(OSError):
    """In place of a connection to a denied address."""


class TokenEndpoint:
    """``seconds``: for a whole exchange. ``destinations``: the addresses that may be dialled, as they are now."""

    def __init__(
        self,
        clock: Clock = monotonic,
        seconds: float = SECONDS,
        destinations: Callable[[], Destinations] = Destinations,
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._destinations = destinations
        self._breakers: dict[str, Breaker] = {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """Whether it goes by a forward proxy, and the session."""

    async def post(self, request: TokenRequest) -> str:
        """The text of a response that may be read, whatever its status.

        Raises `ProviderAwayError`, and `ProviderRefusedError` for a status without an error of OAuth, and for an
        address that is denied.
        """
        from gateway.policy.machine import REFUSED

        breaker = self._breaker(request.url)
        permit = breaker.try_acquire()
        if permit == REFUSED:
            wait = max(1.0, breaker.until_probe())
            raise ProviderAwayError("the identity provider has failed several times, and is left alone", wait)
        outcome = Outcome.IGNORED
        try:
            text = await self._exchange(request)
            outcome = Outcome.SUCCESS
            return text
        except _DestinationError:
            raise  # a limit of our own says nothing about the provider
        except ProviderAwayError:
            outcome = Outcome.FAILURE
            raise
        except GrantError:
            outcome = Outcome.SUCCESS
            raise
        finally:
            breaker.release(permit, outcome)

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _breaker(self, url: str) -> Breaker:
        from gateway.policy.breaker import Breaker

        breaker = self._breakers.get(url)
        if breaker is None:
            breaker = self._breakers[url] = Breaker(FAILURES, RECOVERY_SECONDS, clock=self._clock)
        return breaker

    async def _exchange(self, request: TokenRequest) -> str:
        from gateway.upstream.forward_proxy import forward_proxy
        from gateway.upstream.origin import Origin

        if self._destinations().denial_of_url(request.url):
            raise _DestinationError
        try:
            proxy = forward_proxy(Origin.of(request.url))
            async with self._session(proxied=proxy is not None).post(
                request.url,
                data=request.body.encode(),
                headers=request.headers,
                allow_redirects=False,
                proxy=None if proxy is None else proxy.url,
                proxy_headers=_credentials(proxy),
            ) as response:
                body = await _limited(response)
                return _readable(response, body)
        except aiohttp.ClientConnectorCertificateError:
            raise ProviderAwayError("the certificate of the identity provider is rejected") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _DialError):
                raise _DestinationError from None
            raise ProviderAwayError(f"no connection to the identity provider ({_cause(error)})") from None
        except TimeoutError:
            raise ProviderAwayError(f"no response of the identity provider within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            name = type(error).__name__
            raise ProviderAwayError(f"the exchange with the identity provider broke off ({name})") from None

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        """A forward proxy was named by the operator: it may be anywhere."""
        from gateway.upstream.sockets import hardened_socket

        found = self._sessions.get(proxied)
        if found is None:
            # No connection is kept, because what is allowed may change: each one is checked as it is dialled.
            connector = aiohttp.TCPConnector(
                socket_factory=hardened_socket if proxied else self._socket, force_close=True
            )
            found = self._sessions[proxied] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return found

    def _socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        """For an address that a name has at this moment. Raises OSError when it is denied."""
        from gateway.upstream.sockets import hardened_socket

        host, port, *_ = addr_info[4]
        if self._destinations().denial(host, port):
            raise _DialError(errno.EACCES, "denied by upstream_networks")
        return hardened_socket(addr_info)


def _credentials(proxy: ForwardProxy | None) -> dict[str, str]:
    if proxy is None or proxy.credentials is None:
        return {}
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(*proxy.credentials, encoding="utf-8")}


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while more := await response.content.read(MOST_BYTES):
        body += more
        if len(body) > MOST_BYTES:
            raise ProviderAwayError(f"the response of the identity provider has more than {MOST_BYTES} bytes")
    return body


def _readable(response: aiohttp.ClientResponse, body: bytes) -> str:
    from gateway.wire.retry_after_field import retry_after_of

    status = response.status
    if status >= 500 or status in _TRANSIENT:
        line = f"Retry-After: {response.headers.get('Retry-After', '')}".encode()
        asked = retry_after_of([line], time.time()) or 0.0
        raise ProviderAwayError(f"the identity provider responds with status {status}", min(asked, _ASKED_MOST))
    if 300 <= status < 400:
        raise ProviderRefusedError(f"http_{status}", "the identity provider redirects, which is not followed")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if status >= 400 and not _ERROR.search(text):
        message = f"the identity provider responds with status {status}"
        more = _PERMANENT.get(status, "")
        raise ProviderRefusedError(f"http_{status}", f"{message}: {more}" if more else message)
    return text


def _cause(error: aiohttp.ClientConnectorError) -> str:
    return (error.os_error.strerror or type(error.os_error).__name__)[:100]
