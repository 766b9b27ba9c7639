from __future__ import annotations

import pytest

from gateway.config.records import Cors
from gateway.proxy.cors import cors_fields

APP = Cors(("https://app.test", "http://localhost:3000"), ("X-A", "X-B"))
EXPOSED = b"Access-Control-Expose-Headers: X-A, X-B\r\n"


@pytest.mark.parametrize("origin", [b"https://app.test", b"http://localhost:3000", b"HTTPS://App.test"])
def test_a_listed_origin_may_read(origin: bytes) -> None:
    lines = b"Vary: Origin\r\nAccess-Control-Allow-Origin: %b\r\n" % origin
    assert cors_fields(APP, [b"X: 1", b"origin:  %b " % origin]) == lines + EXPOSED
    with_credentials = Cors(APP.allow_origins, (), True)
    assert (
        cors_fields(with_credentials, [b"Origin: %b" % origin]) == lines + b"Access-Control-Allow-Credentials: true\r\n"
    )


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"Origin: null"],
        [b"Origin:"],
        [b"Origin: http://app.test"],
        [b"Origin: https://app.test:8443"],
        [b"Origin: https://app.test.evil"],
        [b"Origin: https://evil.test, https://app.test"],
        [b"Origin: https://app.test", b"Origin: https://evil.test"],
        [b"X-Origin: https://app.test"],
    ],
)
def test_others_may_not_and_caches_are_told(fields: list[bytes]) -> None:
    assert cors_fields(Cors(APP.allow_origins, APP.expose_headers, True), fields) == b"Vary: Origin\r\n"


def test_all_origins_are_never_repeated() -> None:
    assert cors_fields(Cors(("*",), ()), [b"Origin: https://evil.test"]) == b"Access-Control-Allow-Origin: *\r\n"
    assert cors_fields(Cors(("*",), ("X-A", "X-B")), []) == b"Access-Control-Allow-Origin: *\r\n" + EXPOSED
