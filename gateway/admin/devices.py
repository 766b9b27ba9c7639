"""Known devices: a cookie proves that its holder logged in to an account before.

The cookie grants no access and proves no identity: it only excludes a login from the failure count of unknown clients
(`gateway.admin.throttle`). It is not stored. The key that seals secrets seals it too, so it is valid on every gateway
of a fleet and after a restart. It becomes invalid when it expires, when the account is deleted, and when the password
changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Final, Protocol

LIFETIME: Final = 180 * 86400
"""Seconds."""
_PLACE: Final = "devices"
_LONGEST: Final = 1000


class Seal(Protocol):
    """Encrypts a text so that no one without the key can make, read or change it."""

    def encrypt(self, text: str, place: str) -> bytes: ...
    def decrypt(self, envelope: bytes, place: str) -> str:
        """Raises an exception for a text that it has not sealed for this place."""
        ...


class Devices:
    """``clock`` gives seconds of the epoch."""

    def __init__(self, seal: Seal, clock: Callable[[], float]) -> None:
        self._seal = seal
        self._clock = clock

    def issue(self, owner: str, password_hash: str) -> str:
        """The cookie value for a device that just logged in to the account with the id ``owner``."""
        told = [owner, _mark(password_hash), int(self._clock()) + LIFETIME, secrets.token_hex(8)]
        return base64.urlsafe_b64encode(self._seal.encrypt(json.dumps(told), _PLACE)).decode()

    def recognise(self, cookie: str, owner: str, password_hash: str) -> str:
        """The device's id; empty when the cookie is invalid, has expired, or is of another account or password."""
        if not cookie or len(cookie) > _LONGEST:
            return ""
        try:
            told = json.loads(self._seal.decrypt(base64.b64decode(cookie, b"-_", validate=True), _PLACE))
        except Exception:  # any invalid cookie means an unknown device
            return ""
        whose, mark, until, number = told
        good = whose == owner and mark == _mark(password_hash) and self._clock() < until
        return str(number) if good else ""


def _mark(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]
