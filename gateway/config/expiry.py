"""When the certificates of the gateway end, and the warnings before."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

from gateway.config.records import Certificate, Listener, Upstream

_log = logging.getLogger("gateway")

_DAY: Final = 86400
_STEPS: Final = (0, 7 * _DAY, 30 * _DAY)
"""Seconds before the end at which a warning is due."""
_LOOK_SECONDS: Final = 60.0


class Expiring(NamedTuple):
    """A certificate in use."""

    place: Literal["listen", "admin", "upstream"]
    """Where it is shown: to callers, to operators, or to an upstream."""
    where: str
    """The listener's address, as ``host:port``, or the upstream's name."""
    name: str
    """The first name in the certificate; empty: it has none."""
    expires_at: float
    """Seconds of the epoch."""


def expiring(
    listeners: Iterable[Listener], upstreams: Iterable[Upstream], admin: Iterable[Listener] = ()
) -> list[Expiring]:
    """The certificates that ``listeners`` and ``admin`` show, and those that are shown to ``upstreams``."""
    return [*_shown("listen", listeners), *_shown("admin", admin), *_shown_to(upstreams)]


def _shown(place: Literal["listen", "admin"], listeners: Iterable[Listener]) -> Iterator[Expiring]:
    for listener in listeners:
        for certificate in () if listener.tls is None else listener.tls.certificates:
            yield Expiring(place, str(listener.address), first_name(certificate), certificate.expires_at)


def _shown_to(upstreams: Iterable[Upstream]) -> list[Expiring]:
    return [
        Expiring("upstream", upstream.shown_name, certificate.name, certificate.expires_at)
        for upstream in upstreams
        if (certificate := upstream.tls.certificate) is not None
    ]


def first_name(certificate: Certificate) -> str:
    """Empty when the certificate has no name."""
    return certificate.names[0] if certificate.names else ""


class ExpiryWarnings:
    """Remembers which warnings were given: 30 days before the end, 7 days before, and at the end."""

    def __init__(self) -> None:
        self._given: dict[Expiring, int] = {}
        """The smallest step of which a warning was given."""

    def due(self, certificates: Iterable[Expiring], now: float) -> list[str]:
        """The sentences to log at the time ``now``, in seconds of the epoch."""
        sentences = []
        given, self._given = self._given, {}
        for certificate in certificates:
            left = certificate.expires_at - now
            step = next((step for step in _STEPS if left <= step), None)
            if step is None:
                continue
            self._given[certificate] = step
            if certificate not in given or step < given[certificate]:
                sentences.append(_sentence(certificate, left))
        return sentences


def _sentence(certificate: Expiring, left: float) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(certificate.expires_at))
    kind, peers = ("client certificate", "upstreams") if certificate.place == "upstream" else ("certificate", "clients")
    what = f"{certificate.place} {certificate.where}: the {kind} {certificate.name or 'without a name'}"
    if left <= 0:
        return f"{what} ended on {day}, so {peers} reject it; replace its files with new ones"
    days = int(left // _DAY)
    when = f"in {days} days" if days > 1 else "within two days"
    return f"{what} ends on {day}, {when}; replace its files with new ones"


async def warn(certificates: Callable[[], Iterable[Expiring]]) -> None:
    """Log each warning once, until it is cancelled. ``certificates``: those in use."""
    warnings = ExpiryWarnings()
    while True:
        for sentence in warnings.due(certificates(), time.time()):
            _log.warning("%s", sentence)
        await asyncio.sleep(_LOOK_SECONDS)
