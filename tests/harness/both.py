"""Hold each dialogue over plain TCP and over TLS; the conftest.py of a folder imports both names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.tls import TlsUpstream, write_authority
from harness.upstream import Upstream

__all__ = ["pytest_generate_tests", "upstream_class"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked ``plain`` or ``secure`` runs once: over TCP alone, or over TLS alone. One that is marked
    ``protocols`` has callers over each protocol besides."""
    if "upstream_class" in metafunc.fixturenames:
        classes = [Upstream, TlsUpstream]
        if metafunc.definition.get_closest_marker("plain") is not None:
            classes = [Upstream]
        if metafunc.definition.get_closest_marker("secure") is not None:
            classes = [TlsUpstream]
        metafunc.parametrize("upstream_class", classes, ids=[made.scheme for made in classes], indirect=True)
    if "gateway_for" in metafunc.fixturenames and metafunc.definition.get_closest_marker("protocols") is not None:
        metafunc.parametrize("over", ["plain", "tls"], indirect=True)


@pytest.fixture
def upstream_class(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Upstream]:
    """What upstreams are made of; gateways of the test trust its certificate."""
    made: type[Upstream] = request.param
    if made is TlsUpstream:
        monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    return made
