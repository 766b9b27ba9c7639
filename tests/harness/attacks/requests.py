"""HTTP/1.1 requests that mean two things to two recipients, or nothing to one; and odd ones that are in order.

Each name quotes the rule: number of the RFC and section.
"""

from __future__ import annotations


def get(*lines: bytes) -> bytes:
    """A GET whose head is otherwise in order."""
    return b"\r\n".join([b"GET /a HTTP/1.1", b"Host: gateway.test", *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"hello") -> bytes:
    return b"\r\n".join([b"POST /a HTTP/1.1", b"Host: gateway.test", *lines, b"", b""]) + body


def line(request_line: bytes) -> bytes:
    return request_line + b"\r\nHost: gateway.test\r\n\r\n"


CHUNKED_HELLO = b"5\r\nhello\r\n0\r\n\r\n"

LENGTH = {
    "9112-6.1 content-length with transfer-encoding": post(
        b"Content-Length: 5", b"Transfer-Encoding: chunked", body=CHUNKED_HELLO
    ),
    "9112-6.1 transfer-encoding with content-length": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 5", body=CHUNKED_HELLO
    ),
    "9112-6.1 transfer-encoding with content-length 0": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 0", body=CHUNKED_HELLO
    ),
    "9110-8.6 repeated with the same value": post(b"Content-Length: 5", b"Content-Length: 5"),
    "9112-6.3 repeated with another value": post(b"Content-Length: 5", b"content-length: 6"),
    "9110-8.6 list of the same value": post(b"Content-Length: 5, 5"),
    "9112-6.3 list of other values": post(b"Content-Length: 5, 6"),
    "9110-8.6 list with an empty member": post(b"Content-Length: 5,"),
    "9110-8.6 plus sign": post(b"Content-Length: +5"),
    "9110-8.6 minus sign": post(b"Content-Length: -1"),
    "9110-8.6 hexadecimal": post(b"Content-Length: 0x5"),
    "9110-8.6 underscore": post(b"Content-Length: 1_0", body=b"0123456789"),
    "9110-8.6 space inside": post(b"Content-Length:  5 5"),
    "9110-8.6 empty": post(b"Content-Length:", body=b""),
    "9110-8.6 quoted": post(b'Content-Length: "5"'),
    "9110-8.6 fraction": post(b"Content-Length: 5.0"),
    "9110-8.6 digits that are not ASCII": post(b"Content-Length: \xd9\xa5"),
    "9110-8.6 more than 64 bits": post(b"Content-Length: 18446744073709551617"),
    "9110-8.6 thirty digits": post(b"Content-Length: 100000000000000000000000000005"),
    "9110-8.6 on GET too": get(b"Content-Length: x"),
}

CODING = {
    "9112-6.1 gzip alone": post(b"Transfer-Encoding: gzip"),
    "9112-6.1 identity": post(b"Transfer-Encoding: identity"),
    "9112-6.1 gzip, chunked": post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED_HELLO),
    "9112-6.1 chunked, gzip": post(b"Transfer-Encoding: chunked, gzip", body=CHUNKED_HELLO),
    "9112-6.1 chunked, chunked": post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED_HELLO),
    "9112-6.1 chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=CHUNKED_HELLO),
    "9112-6.1 chunked in two lines": post(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED_HELLO
    ),
    "9112-6.1 a second line with another coding": post(
        b"Transfer-Encoding: chunked", b"transfer-encoding: x", body=CHUNKED_HELLO
    ),
    "9112-6.1 xchunked": post(b"Transfer-Encoding: xchunked", body=CHUNKED_HELLO),
    "9112-6.1 chunked with a parameter": post(b"Transfer-Encoding: chunked;q=1", body=CHUNKED_HELLO),
    "9112-6.1 quoted": post(b'Transfer-Encoding: "chunked"', body=CHUNKED_HELLO),
    "9112-6.1 empty": post(b"Transfer-Encoding:", body=b""),
    "9112-6.1 empty member before": post(b"Transfer-Encoding: , chunked", body=CHUNKED_HELLO),
    "9112-5.1 vertical tab before": post(b"Transfer-Encoding: \x0bchunked", body=CHUNKED_HELLO),
    "9112-5.1 vertical tab behind": post(b"Transfer-Encoding: chunked\x0b", body=CHUNKED_HELLO),
    "9112-5.1 space before the colon": post(b"Transfer-Encoding : chunked", body=CHUNKED_HELLO),
    "9112-5.1 tab before the colon": post(b"Transfer-Encoding\t: chunked", body=CHUNKED_HELLO),
    "9112-5.2 on a folded line": post(b"Transfer-Encoding:", b" chunked", body=CHUNKED_HELLO),
    "9112-6.1 in HTTP/1.0": (
        b"POST /a HTTP/1.0\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED_HELLO
    ),
}

HOST = {
    "9112-3.2 missing": b"GET /a HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "9112-3.2 repeated": get(b"Host: gateway.test"),
    "9112-3.2 repeated with another value": get(b"host: other.test"),
    "9112-3.2 user information": b"GET /a HTTP/1.1\r\nHost: user@gateway.test\r\n\r\n",
    "9112-3.2 path": b"GET /a HTTP/1.1\r\nHost: gateway.test/x\r\n\r\n",
    "9112-3.2 space inside": b"GET /a HTTP/1.1\r\nHost: gateway .test\r\n\r\n",
    "9112-3.2 port that is no number": b"GET /a HTTP/1.1\r\nHost: gateway.test:http\r\n\r\n",
    "9112-3.2 two ports": b"GET /a HTTP/1.1\r\nHost: gateway.test:80:80\r\n\r\n",
    "9112-3.2 open bracket": b"GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "9112-3.2 query": b"GET /a HTTP/1.1\r\nHost: gateway.test?x\r\n\r\n",
    "9112-3.2 backslash": b"GET /a HTTP/1.1\r\nHost: gateway.test\\x\r\n\r\n",
    "9112-3.2 not ASCII": b"GET /a HTTP/1.1\r\nHost: g\xc3\xa4teway.test\r\n\r\n",
    "9112-3.2.2 absolute-form with an empty host field": b"GET http://gateway.test/a HTTP/1.1\r\nHost:\r\n\r\n",
    "9112-3.2.2 absolute-form that disagrees": b"GET http://other.test/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "9112-3.2.2 absolute-form with another port": b"GET http://gateway.test:1/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "9112-3.2.2 absolute-form without a host field": b"GET http://gateway.test/a HTTP/1.1\r\n\r\n",
    "9110-4.2.4 user information": b"GET http://u:p@gateway.test/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "9110-4.2.1 absolute-form with no host": b"GET http:///a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "9110-4.2 absolute-form with another scheme": b"GET ftp://gateway.test/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
}

LINES = {
    "9112-2.2 bare CR in a value": get(b"X: a\rb"),
    "9112-2.2 bare CR at the end of a value": get(b"X: a\r", b"Y: b"),
    "9112-2.2 bare CR hiding a line": get(b"X: a\rContent-Length: 5"),
    "9112-2.2 bare LF in a value": get(b"X: a\nY: b"),
    "9112-2.2 bare LF behind the request line": b"GET /a HTTP/1.1\nHost: gateway.test\r\n\r\n",
    "9112-2.2 a head of bare LF": b"GET /a HTTP/1.1\nHost: gateway.test\n\n",
    "9112-2.2 the empty line is a bare LF": b"GET /a HTTP/1.1\r\nHost: gateway.test\r\n\n",
    "9112-2.2 the empty line is a bare CR": b"GET /a HTTP/1.1\r\nHost: gateway.test\r\n\rX: y\r\n\r\n",
    "9112-5.2 obs-fold": get(b"X: a", b" b"),
    "9112-5.2 obs-fold with a tab": get(b"X: a", b"\tb"),
    "9112-2.2 white space before the first field": b"GET /a HTTP/1.1\r\n X: y\r\nHost: gateway.test\r\n\r\n",
    "9110-5.5 NUL in a value": get(b"X: a\x00b"),
    "9110-5.5 control byte in a value": get(b"X: a\x01b"),
    "9110-5.5 DEL in a value": get(b"X: a\x7fb"),
    "9110-5.5 form feed in a value": get(b"X: a\x0cb"),
    "9110-5.6.2 NUL in a name": get(b"X\x00: a"),
    "9112-5.1 space before the colon": get(b"X : a"),
    "9112-5.1 tab before the colon": get(b"X\t: a"),
    "9110-5.6.2 empty name": get(b": a"),
    "9110-5.6.2 space in a name": get(b"X Y: a"),
    "9110-5.6.2 parenthesis in a name": get(b"X(Y): a"),
    "9110-5.6.2 byte that is not ASCII in a name": get(b"X\xe4: a"),
    "9112-5 no colon": get(b"garbage"),
}

REQUEST_LINE = {
    "9112-3 two spaces behind the method": line(b"GET  /a HTTP/1.1"),
    "9112-3 two spaces before the version": line(b"GET /a  HTTP/1.1"),
    "9112-3 tab": line(b"GET\t/a HTTP/1.1"),
    "9112-3 tab before the version": line(b"GET /a\tHTTP/1.1"),
    "9112-3 space behind the version": line(b"GET /a HTTP/1.1 "),
    "9112-3 space before the method": line(b" GET /a HTTP/1.1"),
    "9112-3 space in the target": line(b"GET /a b HTTP/1.1"),
    "9112-3 no target": line(b"GET HTTP/1.1"),
    "9112-3 no version": line(b"GET /a"),
    "9112-2.3 lower-case version": line(b"GET /a http/1.1"),
    "9112-2.3 no dot": line(b"GET /a HTTP/11"),
    "9112-2.3 two digits": line(b"GET /a HTTP/1.10"),
    "9112-2.3 another protocol": line(b"GET /a ICY/1.1"),
    "9110-9.1 method that is no token": line(b"G@T /a HTTP/1.1"),
    "9112-3.2.1 no slash": line(b"GET a HTTP/1.1"),
    "9112-3.2.3 authority-form with GET": line(b"GET gateway.test:80 HTTP/1.1"),
    "9112-3.2.4 asterisk-form with GET": line(b"GET * HTTP/1.1"),
    "9110-7.1 fragment": line(b"GET /a#b HTTP/1.1"),
    "9112-3.2 target that is not ASCII": line(b"GET /\xc3\xa4 HTTP/1.1"),
    "9112-3.2 NUL in the target": line(b"GET /a\x00b HTTP/1.1"),
    "9112-3.2 control byte in the target": line(b"GET /a\x1fb HTTP/1.1"),
    "9112-3.2 DEL in the target": line(b"GET /a\x7f HTTP/1.1"),
    "9112-2.2 bare CR in the target": line(b"GET /a\rb HTTP/1.1"),
    "8446-4.1.2 a TLS ClientHello": bytes.fromhex("16030100a1010000 9d0303") + bytes(158),
}

VERSIONS = {
    "9110-2.5 HTTP/0.9": line(b"GET /a HTTP/0.9"),
    "9110-2.5 HTTP/1.2": line(b"GET /a HTTP/1.2"),
    "9110-15.6.6 HTTP/2.0": line(b"GET /a HTTP/2.0"),
    "9110-15.6.6 HTTP/3.0": line(b"GET /a HTTP/3.0"),
    "9113-3.4 the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

METHODS = {
    "9110-9.3.6 CONNECT": b"CONNECT gateway.test:443 HTTP/1.1\r\nHost: gateway.test:443\r\n\r\n",
    "9110-9.3.8 TRACE": line(b"TRACE /a HTTP/1.1"),
}

# -- bodies that go wrong after their head was in order

TWO_TO_64 = b"10000000000000000"
CHUNKS = {
    "9112-7.1 empty size": b"\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 plus sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 no number": b"G\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 more than 64 bits": TWO_TO_64 + b"\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 more than 64 bits that wrap to 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "9112-7.1 space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "9112-7.1 bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "9112-7.1 bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "9112-7.1 bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "9112-7.1 no CRLF behind the data": b"5\r\nhello0\r\n\r\n",
    "9112-7.1 data longer than its size": b"5\r\nhelloXX0\r\n\r\n",
    "9112-7.1.1 NUL in an extension": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "9112-7.1.1 bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "9112-7.1.1 bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "9112-7.1.1 extension without a name": b"5;=x\r\nhello\r\n0\r\n\r\n",
    "9112-7.1.1 endless extension": b"5;a=" + b"x" * 100_000,
    "9112-7.1.1 extensions without end": b"1;a=%b\r\nx\r\n" % (b"x" * 200) * 2000,
    "9112-7.1.2 space in a trailer's name": b"5\r\nhello\r\n0\r\nX Y: a\r\n\r\n",
    "9112-7.1.2 space before a trailer's colon": b"5\r\nhello\r\n0\r\nX : a\r\n\r\n",
    "9112-7.1.2 folded trailer": b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "9112-7.1.2 NUL in a trailer": b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n",
    "9112-7.1.2 bare LF behind a trailer": b"5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
    "9112-7.1.2 bare LF as the last line": b"5\r\nhello\r\n0\r\n\n",
    "9112-7.1.2 endless trailers": b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 20_000,
}

# -- what looks odd and is right

ACCEPTED = {
    "9112-2.2 an empty line before the request": b"\r\n" + get(),
    "9112-2.2 two empty lines before the request": b"\r\n\r\n" + get(),
    "9112-3.2.2 absolute-form that agrees": b"GET http://gateway.test/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "9112-3.2.2 absolute-form in another case": b"GET HTTP://GATEWAY.test/a HTTP/1.1\r\nHost: gateway.TEST\r\n\r\n",
    "9110-7.2 host with a port": b"GET /a HTTP/1.1\r\nHost: gateway.test:8080\r\n\r\n",
    "9110-7.2 host that is an IPv6 address": b"GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "9112-3.2 HTTP/1.0 without a host": b"GET /a HTTP/1.0\r\n\r\n",
    "9110-5.5 obs-text in a value": get(b"X: \xff\xfe"),
    "9110-5.5 tab in a value": get(b"X: a\tb"),
    "9110-5.5 empty value": get(b"X:"),
    "9110-5.6.2 every token character in a name": get(b"!#$%&'*+-.^_`|~09azAZ: 1"),
    "9112-6.3 content-length with leading zeros": post(b"Content-Length: 0005"),
    "9112-6.1 coding in another case": post(b"Transfer-Encoding: Chunked", body=CHUNKED_HELLO),
    "9112-7.1 size in upper case with leading zeros": post(
        b"Transfer-Encoding: chunked", body=b"00A\r\n0123456789\r\n000\r\n\r\n"
    ),
    "9112-7.1.1 extensions": post(
        b"Transfer-Encoding: chunked", body=b'5;a;b=c;d="e;\\" f" ; g = h\r\nhello\r\n0;x\r\n\r\n'
    ),
    "9112-3 target at the limit": line(b"GET /" + b"a" * 1023 + b" HTTP/1.1"),
    "9112-3.2 odd but plain target": line(b'GET /a%2Fb/../c//d?x=%zz&{}|\\^"<> HTTP/1.1'),
}

# -- a second request within the first

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
_SIZE = b"Content-Length: %d" % len(HIDDEN)
_AS_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)

SMUGGLED = {
    "9112-6.3 CL.TE": post(
        b"Content-Length: %d" % (5 + len(HIDDEN)), b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN
    ),
    "9112-6.3 TE.CL": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=_AS_CHUNK),
    "9112-6.3 TE.TE": post(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow", b"Content-Length: 4", body=_AS_CHUNK
    ),
    "9112-6.3 CL.CL": post(b"Content-Length: 0", _SIZE, body=HIDDEN),
    "9112-5.1 space hides the length": post(b"Content-Length : %d" % len(HIDDEN), body=HIDDEN),
    "9112-2.2 bare CR hides the length": post(b"X: y\r" + _SIZE, body=HIDDEN),
    "9112-5.2 folded line hides the coding": post(b"X: y", b" Transfer-Encoding: chunked", _SIZE, body=_AS_CHUNK),
}
"""Its recipient may refuse it, or read one request; two are the attack."""

CARRIED = {
    "9112-6.3 CL.0": post(_SIZE, body=HIDDEN),
    "9112-6.3 TE.0": post(b"Transfer-Encoding: chunked", body=_AS_CHUNK),
    "9112-6.3 CL.0 on GET": get(_SIZE) + HIDDEN,
    "9112-6.3 TE.0 on GET": get(b"Transfer-Encoding: chunked") + _AS_CHUNK,
    "9110-10.1.1 0.CL by an expectation": post(b"Expect: 100-continue", _SIZE, body=HIDDEN),
    "9110-10.1.1 0.CL by an unknown expectation": post(b"Expect: y 100-continue", _SIZE, body=HIDDEN),
    "9110-7.6.1 Connection names Content-Length": post(b"Connection: Content-Length", _SIZE, body=HIDDEN),
    "9110-7.6.1 Connection names Transfer-Encoding": post(
        b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=_AS_CHUNK
    ),
    "9110-7.6.1 Connection names Host": get(b"Connection: Host"),
    "9113-3.1 upgrade to h2c": get(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    ),
}
"""One request, whose body looks like another, or which has an upstream remove what frames it."""
