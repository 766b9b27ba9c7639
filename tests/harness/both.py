"""What a dialogue is held over, plain TCP, TLS or HTTP/2; the conftest.py of a folder imports both names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.tls import TlsUpstream, write_authority
from harness.upstream import Upstream

__all__ = ["pytest_generate_tests", "upstream_class"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A dialogue is held once, over plain TCP. With the mark ``protocols`` it is held over TLS on both sides too, and
    with callers of HTTP/2, where it is not marked ``http1``.

    ``plain`` and ``secure`` choose for the upstream's side alone. `make test-protocols` holds all others over TLS and
    HTTP/2, because most do not depend on it, and three times the time of each is too much for each change.
    """
    marked = metafunc.definition.get_closest_marker
    called = "gateway_for" in metafunc.fixturenames
    if "upstream_class" not in metafunc.fixturenames:
        return
    ways = ["plain", "tls"] if marked("http1") is not None or marked("raw") is not None else ["plain", "tls", "h2"]
    if marked("plain") is None and marked("secure") is None and marked("protocols") is not None:
        if called:
            both = [(TlsUpstream if way == "tls" else Upstream, way) for way in ways]
            metafunc.parametrize("upstream_class,over", both, ids=ways, indirect=True)
        else:
            metafunc.parametrize("upstream_class", [Upstream, TlsUpstream], ids=["plain", "tls"], indirect=True)
        return
    secure = marked("secure") is not None or (marked("plain") is None and os.environ.get("TESTS_OVER") == "tls")
    made = TlsUpstream if secure else Upstream
    metafunc.parametrize("upstream_class", [made], ids=[made.scheme], indirect=True)
    if called and marked("protocols") is not None:
        metafunc.parametrize("over", ways, indirect=True)


@pytest.fixture
def upstream_class(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Upstream]:
    """What upstreams are made of; gateways of the test trust its certificate."""
    made: type[Upstream] = request.param
    if made is TlsUpstream:
        monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    return made
