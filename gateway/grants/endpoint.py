"""The endpoints of identity providers: asked with bounds on time and size, and left alone while they fail.

Each URL has a breaker of its own, so that a provider that is away does not cost every call its time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import aiohttp

from gateway.config.networks import Destinations
from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome
from gateway.grants.errors import GrantError, ProviderAwayError, ProviderRefusedError
from gateway.grants.outbound import DeniedError, Outbound

if TYPE_CHECKING:
    from gateway.grants.flows import TokenRequest
    from gateway.policy.breaker import Breaker

# Policies are imported where they are used, as in `gateway.grants.outbound`.

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
        self._outbound = Outbound(seconds, destinations)
        self._breakers: dict[str, Breaker] = {}

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
        await self._outbound.aclose()

    def _breaker(self, url: str) -> Breaker:
        from gateway.policy.breaker import Breaker

        breaker = self._breakers.get(url)
        if breaker is None:
            breaker = self._breakers[url] = Breaker(FAILURES, RECOVERY_SECONDS, clock=self._clock)
        return breaker

    async def _exchange(self, request: TokenRequest) -> str:
        body = request.body.encode()
        try:
            async with self._outbound.exchange("POST", request.url, body, request.headers) as response:
                return _readable(response, await _limited(response))
        except DeniedError:
            raise _DestinationError from None
        except aiohttp.ClientConnectorCertificateError:
            raise ProviderAwayError("the certificate of the identity provider is rejected") from None
        except aiohttp.ClientConnectorError as error:
            raise ProviderAwayError(f"no connection to the identity provider ({_cause(error)})") from None
        except TimeoutError:
            raise ProviderAwayError(f"no response of the identity provider within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            name = type(error).__name__
            raise ProviderAwayError(f"the exchange with the identity provider broke off ({name})") from None


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
