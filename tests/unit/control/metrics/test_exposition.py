"""What the parsers of `test_metrics` do not look at."""

from __future__ import annotations

import pytest

from gateway.control.metrics.exposition import Exposition
from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.observe.metrics import Metrics


@pytest.mark.covers("FR-018", "T043")
def test_a_family_stands_together_under_its_comments() -> None:
    counters = CounterMap()
    Metrics(counters).retain(["a", "b"])
    lines = "".join(Exposition(counters).render(open_metrics=False)).splitlines()
    at = lines.index("# TYPE gateway_in_flight gauge")
    assert lines[at - 1].startswith("# HELP gateway_in_flight Permits in use")
    assert lines[at + 1 : at + 4] == [f'gateway_in_flight{{proxy="{name}"}} 0' for name in ("-", "a", "b")]


def test_open_metrics_names_a_counter_without_its_suffix() -> None:
    text = "".join(Exposition(CounterMap()).render(open_metrics=True))
    assert "# TYPE gateway_buffer_gets counter" in text
    assert "gateway_buffer_gets_total 0" in text


def test_no_template_outlives_its_proxy() -> None:
    counters = CounterMap()
    metrics, exposition = Metrics(counters), Exposition(counters)
    first = 0
    for number in range(50):
        metrics.retain([f"p{number}"])
        text = "".join(exposition.render(open_metrics=True))
        assert f'proxy="p{number}"' in text
        assert f'proxy="p{number - 1}"' not in text
        first = first or len(exposition._templates)
    assert len(exposition._templates) == first


def test_series_appear_with_their_first_observation_in_the_order_of_proxies_and_labels() -> None:
    counters = CounterMap()
    Metrics(counters).retain(["b", "a"])
    exposition, bases = Exposition(counters), dict(counters.live())

    def errors() -> list[str]:
        lines = "".join(exposition.render(open_metrics=False)).splitlines()
        return [line.partition("{")[2] for line in lines if line.startswith("gateway_retries_total{")]

    assert errors() == []
    stale, connect = families.RETRIED[:2]
    counters.ints[bases["b"] + families.RETRIES] = 1
    assert errors() == [f'proxy="b",reason="{stale}"}} 1']
    counters.ints[bases["b"] + families.RETRIES + 1] = 2
    counters.ints[bases["a"] + families.RETRIES + 1] = 3
    assert errors() == [
        f'proxy="a",reason="{connect}"}} 3',
        f'proxy="b",reason="{stale}"}} 1',
        f'proxy="b",reason="{connect}"}} 2',
    ]


def test_the_name_of_an_upstream_may_have_spaces() -> None:
    counters = CounterMap()
    for endpoint in ("http://a:1", "http://a:1 (10.0.0.1)"):
        assert counters.claim(f"fallback of chat {endpoint}", Kind.ENDPOINT) is not None
    at = counters.claim("fallback of chat", Kind.UPSTREAM)
    assert at is not None
    counters.ints[at + families.UPSTREAM_LIMIT] = 7
    exposition = Exposition(counters)
    for _ in range(2):
        text = "".join(exposition.render(open_metrics=False))
        assert 'gateway_endpoint_up{upstream="fallback of chat",endpoint="http://a:1"} 0\n' in text
        assert 'gateway_endpoint_up{upstream="fallback of chat",endpoint="http://a:1 (10.0.0.1)"} 0\n' in text
        assert 'gateway_upstream_concurrency_limit{upstream="fallback of chat"} 7\n' in text
    counters.release("fallback of chat", Kind.UPSTREAM)
    assert "gateway_upstream_" not in "".join(exposition.render(open_metrics=False))


def test_a_url_may_have_a_percent_sign() -> None:
    counters = CounterMap()
    at = counters.claim("ai http://a:1/x%20y%s", Kind.ENDPOINT)
    assert at is not None
    counters.ints[at + families.ENDPOINT_IN_FLIGHT] = 3
    text = "".join(Exposition(counters).render(open_metrics=True))
    assert 'gateway_endpoint_in_flight{upstream="ai",endpoint="http://a:1/x%20y%s"} 3\n' in text
