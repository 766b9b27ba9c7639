"""The line by which operators and tests find out where a gateway listens."""

from __future__ import annotations

import pytest

from gateway import __version__
from gateway.ipc.messages import InForce
from gateway.workers.greeting import greeting


@pytest.mark.parametrize(
    ("in_force", "proxies", "text"),
    [
        (InForce(1, (("127.0.0.1", 80),)), 1, "serves 1 proxy on http://127.0.0.1:80"),
        (
            InForce(1, (("::1", 80), ("h", 81), ("h", 80)), (("h", 81),)),
            0,
            "serves 0 proxies on http://[::1]:80, https://h:81, http://h:80",
        ),
    ],
)
def test_addresses_are_urls(in_force: InForce, proxies: int, text: str) -> None:
    assert greeting(in_force, proxies) == f"gateway {__version__} {text}"
