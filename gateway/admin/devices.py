"""Known devices: a cookie that says that its holder logged in to an account before.

It opens nothing and proves nobody's identity: it only takes a login out of the count of strangers' failures
(`gateway.admin.throttle`). Nothing of it is stored: it is sealed with the key that seals secrets, so that it is good
on every gateway of a fleet and after a restart. It ends by its time, with the account, and with the password.
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
    """Encrypts so that nobody else can make, read or change it."""

    def encrypt(self, text: str, place: str) -> bytes: ...
    def decrypt(self, envelope: bytes, place: str) -> str:
        """Raises an exception for what it has not sealed for this place."""
        ...


class Devices:
    """``clock`` gives seconds of the epoch."""

    def __init__(self, seal: Seal, clock: Callable[[], float]) -> None:
        self._seal = seal
        self._clock = clock

    def issue(self, owner: str, password_hash: str) -> str:
        """A cookie's value for a device that logged in just now to the account with the id ``owner``."""
        told = [owner, _mark(password_hash), int(self._clock()) + LIFETIME, secrets.token_hex(8)]
        return base64.urlsafe_b64encode(self._seal.encrypt(json.dumps(told), _PLACE)).decode()

    def recognise(self, cookie: str, owner: str, password_hash: str) -> str:
        """The device's id; empty when the cookie is not ours, has expired, or is of another account or password."""
        if not cookie or len(cookie) > _LONGEST:
            return ""
        try:
            told = json.loads(self._seal.decrypt(base64.b64decode(cookie, b"-_", validate=True), _PLACE))
        except Exception:  # whatever a stranger sends is a stranger's
            return ""
        whose, mark, until, number = told
        good = whose == owner and mark == _mark(password_hash) and self._clock() < until
        return str(number) if good else ""


def _mark(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]
