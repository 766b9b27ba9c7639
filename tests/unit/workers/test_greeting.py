"""The line by which operators and tests find out where a gateway listens."""

from __future__ import annotations

import pytest

from gateway import __version__
from gateway.workers.greeting import greeting


@pytest.mark.parametrize(
    ("addresses", "proxies", "text"),
    [
        ([("127.0.0.1", 80)], 1, "serves 1 proxy on http://127.0.0.1:80"),
        ([("::1", 80), ("h", 81)], 0, "serves 0 proxies on http://[::1]:80, http://h:81"),
    ],
)
def test_addresses_are_urls(addresses: list[tuple[str, int]], proxies: int, text: str) -> None:
    assert greeting(addresses, proxies) == f"gateway {__version__} {text}"
