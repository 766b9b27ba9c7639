"""The Date that the gateway adds to responses that have none (RFC 9110 6.6.1)."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Final


class HttpDate:
    """The value of Date (RFC 9110 6.6.1), made once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._line


DATE: Final = HttpDate()
