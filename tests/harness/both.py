"""What a dialogue is held over, plain TCP or TLS; the conftest.py of a folder imports both names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.tls import TlsUpstream, write_authority
from harness.upstream import Upstream

__all__ = ["pytest_generate_tests", "upstream_class"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A dialogue is held once, over plain TCP. With the mark ``protocols`` it is held over TLS on both sides too.

    ``plain`` and ``secure`` choose for the upstream's side alone. `make test-protocols` holds all others over TLS,
    because most do not depend on what is below HTTP, and twice the time of each is too much for each change.
    """
    marked = metafunc.definition.get_closest_marker
    called = "gateway_for" in metafunc.fixturenames
    if "upstream_class" not in metafunc.fixturenames:
        return
    if marked("plain") is None and marked("secure") is None and marked("protocols") is not None:
        names = "upstream_class,over" if called else "upstream_class"
        ways = [(Upstream, "plain"), (TlsUpstream, "tls")] if called else [Upstream, TlsUpstream]
        metafunc.parametrize(names, ways, ids=["plain", "tls"], indirect=True)
        return
    secure = marked("secure") is not None or (marked("plain") is None and os.environ.get("TESTS_OVER") == "tls")
    made = TlsUpstream if secure else Upstream
    metafunc.parametrize("upstream_class", [made], ids=[made.scheme], indirect=True)
    if called and marked("protocols") is not None:
        metafunc.parametrize("over", ["plain", "tls"], indirect=True)


@pytest.fixture
def upstream_class(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Upstream]:
    """What upstreams are made of; gateways of the test trust its certificate."""
    made: type[Upstream] = request.param
    if made is TlsUpstream:
        monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    return made
