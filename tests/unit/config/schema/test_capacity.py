from __future__ import annotations

import pytest

from gateway.config.load import ConfigError, parse
from gateway.config.records import Capacity, Upstream

ONE = "name: ai, endpoints: [{url: http://a:1}]"


def loaded(keys: str) -> Upstream:
    return parse(f"upstreams: [{{{ONE}, {keys}}}]", "yaml", "f", {}).upstreams[0]


@pytest.mark.parametrize(
    ("keys", "record"),
    [
        ("capacity: null", Capacity()),
        ("capacity: {enabled: false}", Capacity()),
        ("max_concurrent: 9, capacity: {}", Capacity(True)),
        ("limiter: {adaptive: {}}, capacity: {}", Capacity(True)),
        (
            "capacity: {header: X-Load, max_age: 0.5, forward: true, mode: shadow}, max_concurrent: 9",
            Capacity(True, "X-Load", 0.5, True, "shadow"),
        ),
    ],
)
def test_the_keys(keys: str, record: Capacity) -> None:
    assert loaded(keys).capacity == record


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("capacity: {}", "set max_concurrent to the most that all endpoints together ever bear, or limiter.adaptive"),
        ("max_concurrent: 9, capacity: {header: 'X Load'}", "is not the name of a header field"),
        ("max_concurrent: 9, capacity: {header: connection}", "belongs to the connection"),
        ("max_concurrent: 9, capacity: {header: Retry-After}", "has another meaning in HTTP"),
        ("max_concurrent: 9, capacity: {max_age: 0}", "capacity.max_age"),
        ("max_concurrent: 9, capacity: {mode: off}", "capacity.mode"),
        ("max_concurrent: -1, capacity: {}", "max_concurrent"),
    ],
)
def test_mistakes(keys: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(keys)
    assert message in str(caught.value)


def test_a_proxy_with_a_url_has_the_same_keys() -> None:
    text = "proxies: [{name: a, path: /, upstream: http://a:1, max_concurrent: 4, capacity: {max_age: 5}}]"
    assert parse(text, "yaml", "f", {}).upstreams[0].capacity == Capacity(True, max_age=5.0)
