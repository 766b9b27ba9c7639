"""HTTP/1.1 responses of an upstream that are no HTTP, that two recipients end at two places, or that break off.

Names quote the rule, where there is one: number of the RFC and section.
"""

from __future__ import annotations

from harness.answers import LAST_CHUNK, chunk, head

BAD = {
    "9112-6.3 length and chunked": head("Content-Length: 5", "Transfer-Encoding: chunked")
    + chunk(b"hello")
    + b"0\r\n\r\n",
    "9112-6.3 repeated length": head("Content-Length: 2", "Content-Length: 3") + b"ok!",
    "9112-6.3 length that is no number": head("Content-Length: two") + b"ok",
    "9112-6.3 negative length": head("Content-Length: -2") + b"ok",
    "9112-6.1 coding that is unknown": head("Transfer-Encoding: gzip") + b"ok",
    "9112-6.1 chunked twice": head("Transfer-Encoding: chunked, chunked") + LAST_CHUNK,
    "9112-6.1 chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST_CHUNK,
    "9112-4 no status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "9112-4 two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "9112-4 four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "9112-4 no space behind the status": b"HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n",
    "9110-15 status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "9110-15 status 600": b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n",
    "9110-15 status 999": b"HTTP/1.1 999 Higher\r\nContent-Length: 0\r\n\r\n",
    "9112-2.3 HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "9112-2.3 another protocol": b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    "9112-2.2 a head of bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "9112-2.2 bare CR in a value": head("X: a\rSet-Cookie: evil=1", "Content-Length: 0"),
    "9112-2.2 bare LF in a value": head("X: a\nSet-Cookie: evil=1", "Content-Length: 0"),
    "9110-5.5 NUL in a value": head("X: a\0b", "Content-Length: 0"),
    "9110-5.6.2 no token as a name": head("X(: a", "Content-Length: 0"),
    "9112-5 no colon": head("garbage", "Content-Length: 0"),
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 1_000_000,
    "a banner of SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "random bytes": bytes(range(256)),
    "a body without a head": b"hello world\r\n\r\n",
}

MENDED = {
    "9112-5.2 obs-fold": head("X-Odd: a\r\n b", "Content-Length: 2") + b"ok",
    "9112-5.1 white space before the colon": head("X-Odd : a", "Content-Length: 2") + b"ok",
}

# -- those that break off: the bytes, and what the upstream does behind them (``close``, ``reset`` or ``stay``)

CUT = {
    "length, closed": (head("Content-Length: 100") + b"x" * 60, "close"),
    "length, reset": (head("Content-Length: 100") + b"x" * 60, "reset"),
    "chunked, closed between chunks": (head("Transfer-Encoding: chunked") + chunk(b"x" * 60), "close"),
    "chunked, closed in a chunk": (head("Transfer-Encoding: chunked") + b"64\r\n" + b"x" * 60, "close"),
    "chunked, closed before the last CRLF": (head("Transfer-Encoding: chunked") + chunk(b"x" * 60) + b"0\r\n", "close"),
    "chunked, a size that is no number": (head("Transfer-Encoding: chunked") + chunk(b"x" * 60) + b"zz\r\n", "stay"),
    "chunked, no CRLF behind a chunk": (head("Transfer-Encoding: chunked") + b"3c\r\n" + b"x" * 70, "stay"),
    "chunked, a trailer that is no field": (
        head("Transfer-Encoding: chunked") + chunk(b"x" * 60) + b"0\r\nX Y: a\r\n\r\n",
        "stay",
    ),
    "until close, reset": (head() + b"x" * 60, "reset"),
}
