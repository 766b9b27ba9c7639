"""What is counted, seen through the official parsers of both text formats."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from unit.scene import exchange, set_facts, told

from gateway import errors
from gateway.control.metrics.exposition import Exposition
from gateway.core.exchange import Exchange
from gateway.core.fallback import FellBack
from gateway.core.usage import Usage
from gateway.observe import families
from gateway.observe.counters import CounterMap, create
from gateway.observe.families import PROCESS, PROXY
from gateway.observe.metrics import Metrics
from gateway.observe.sheet import METHODS, Requests, Values
from gateway.observe.timing import PHASES, phases
from gateway.policy import retry
from gateway.policy.learned import CAUSES

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Counted:
    """One map with proxies ``p`` and ``q``."""

    def __init__(self, counters: CounterMap | None = None) -> None:
        self.counters = CounterMap() if counters is None else counters
        self.metrics = Metrics(self.counters)
        self.metrics.retain(["p", "q"])
        self.exposition = Exposition(self.counters)

    def record(self, *, method: bytes = b"GET", **known: Any) -> Exchange:
        ex = exchange(method)
        known = {"proxy": "p", "status": 200, "start_at": 100.0, "end_at": 100.5} | known
        set_facts(ex, **known)
        self.metrics.record(ex.proxy, [ex], [phases(ex)])
        return ex

    def text(self, *, open_metrics: bool = False) -> str:
        return "".join(self.exposition.render(open_metrics=open_metrics))

    def samples(self) -> Samples:
        """Parsed twice, by the strict parser and by the lenient one, which must agree."""
        found: Samples = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                assert key not in found, "a series stands twice"
                found[key] = sample.value
        strict: Samples = {}
        for family in openmetrics_parser.text_string_to_metric_families(self.text(open_metrics=True) + "# EOF\n"):
            for sample in family.samples:
                strict[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        assert strict == pytest.approx(found, abs=0.1)
        return found

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.mark.covers("FR-019", "T037", "T038", "T040", "T044")
def test_requests_by_method_and_status(counted: Counted) -> None:
    counted.record()
    counted.record()
    counted.record(method=b"POST", status=503)
    counted.record(proxy="q", method=b"BREW", status=200)
    counted.record(proxy="", status=404)
    of = "gateway_requests_total"
    assert counted.value(of, proxy="p", method="GET", status="200") == 2
    assert counted.value(of, proxy="p", method="POST", status="503") == 1
    assert counted.value(of, proxy="q", method="OTHER", status="200") == 1
    assert counted.value(of, proxy="-", method="GET", status="404") == 1


def test_what_callers_invent_makes_no_series(counted: Counted) -> None:
    for number in range(300):
        counted.record(method=b"M%d" % number, status=200 + number)
    rows = [key for key in counted.samples() if key[0] == "gateway_requests_total"]
    assert len(rows) == families.REQUESTS.room
    total = sum(value for key, value in counted.samples().items() if key[0] == "gateway_requests_total")
    assert total == 300, "what finds no room is counted together"
    assert counted.value("gateway_requests_total", proxy="p", method="OTHER", status="other") == 300 - len(rows) + 1


@pytest.mark.covers("FR-019", "T038", "T044")
@pytest.mark.parametrize("code", list(errors.REASONS))
def test_each_reason_is_counted_with_whose_doing_it_was(counted: Counted, code: str) -> None:
    counted.record(reason=code)
    source = errors.REASONS[code].source.value
    assert counted.value("gateway_errors_total", proxy="p", reason=code, source=source) == 1
    assert sum(1 for key in counted.samples() if key[0] == "gateway_errors_total") == 1


@pytest.mark.covers("FR-019", "T038", "T040", "T044")
def test_a_latency_of_half_a_second_lands_in_its_bucket(counted: Counted) -> None:
    counted.record(
        asked_at=100.0, sent_at=100.0, first_byte_at=100.5, commit_at=100.5, last_byte_at=100.5, end_at=100.5
    )
    of = "gateway_upstream_latency_seconds_bucket"
    assert counted.value(of, proxy="p", le="0.25") == 0
    assert counted.value(of, proxy="p", le="0.5") == 1, "a bound belongs to its bucket"
    assert counted.value(of, proxy="p", le="+Inf") == 1
    assert counted.value("gateway_upstream_latency_seconds_sum", proxy="p") == pytest.approx(0.5)
    assert counted.value("gateway_upstream_latency_seconds_count", proxy="p") == 1


def test_the_phases_add_up_to_the_wall_time(counted: Counted) -> None:
    wall = 0.0
    for _ in range(50):
        cuts = sorted(random.uniform(100.0, 101.0) for _ in range(6))
        ex = counted.record(
            start_at=cuts[0], asked_at=cuts[1], sent_at=cuts[2], first_byte_at=cuts[3], commit_at=cuts[3] + 1e-4,
            last_byte_at=cuts[4], end_at=cuts[5] + 0.2, blocked=0.01, streamed=True,
        )  # fmt: skip
        wall += ex.end_at - ex.start_at
    total = sum(counted.value("gateway_phase_seconds_total", proxy="p", phase=phase) or 0.0 for phase in PHASES)
    assert total == pytest.approx(wall)
    assert counted.value("gateway_request_duration_seconds_sum", proxy="p") == pytest.approx(wall)
    assert counted.value("gateway_stream_duration_seconds_count", proxy="p") == 50
    assert counted.value("gateway_time_to_first_byte_seconds_count", proxy="p") == 50


def test_the_rest_of_an_exchange(counted: Counted) -> None:
    counted.record(queued=0.3, bytes_in=5, bytes_out=7, failures=("stale",), shadow="queue_full")
    assert counted.value("gateway_queue_seconds_bucket", proxy="p", le="0.5") == 1
    assert counted.value("gateway_request_bytes_total", proxy="p") == 5
    assert counted.value("gateway_response_bytes_total", proxy="p") == 7
    assert counted.value("gateway_retries_total", proxy="p", reason="stale") == 1
    assert counted.value("gateway_shadow_refusals_total", proxy="p", reason="queue_full") == 1


class Told:
    """What an exchange knows of its retries."""

    def __init__(self, withheld: str, shadowed: str) -> None:
        self.withheld, self.shadowed = withheld, shadowed


def test_retries_by_why_they_were_made_and_why_not(counted: Counted) -> None:
    counted.record(failures=("stale", "503", "429", "connect"), retries=Told("budget", ""))
    counted.record(retries=Told("", "502"))
    counted.record(retries=Told("", "timeout"))
    counted.record(retries=Told("", ""))

    def count(name: str, **labels: str) -> float | None:
        return counted.value(f"gateway_{name}_total", proxy="p", **labels)

    found = {reason: count("retries", reason=reason) for reason in ("stale", "status", "connect", "reset")}
    assert found == {"stale": 1, "status": 2, "connect": 1, "reset": None}
    assert count("retries_withheld", cause="budget") == 1
    assert (count("shadow_retries", reason="status"), count("shadow_retries", reason="timeout")) == (1, 1)


def test_retries_before_a_fallback_count_beside_its_own(counted: Counted) -> None:
    behind = FellBack("reset", "upstream_reset", "h:1", 1, "budget", "reset")
    counted.record(fallback=behind, retries=Told("attempts", "503"))
    counted.record(fallback=behind)
    for cause, times in (("budget", 2), ("attempts", 1)):
        assert counted.value("gateway_retries_withheld_total", proxy="p", cause=cause) == times
    for reason, times in (("reset", 2), ("status", 1)):
        assert counted.value("gateway_shadow_retries_total", proxy="p", reason=reason) == times


def test_retries_have_the_words_of_their_policy() -> None:
    assert (families.RETRIED, families.WITHHELD) == (retry.RETRIED, retry.WITHHELD)


def test_a_request_that_its_fallback_rejects_is_counted_apart(counted: Counted) -> None:
    """The retries behind it are its own again, and count once."""
    behind = FellBack("connect", "dial_failed", "u:1", 1, "budget", "connect")
    behind.rejected = "rate_limit"
    counted.record(fallback=behind, retries=Told("budget", "connect"))
    assert counted.value("gateway_fallbacks_withheld_total", proxy="p", cause="rate_limit") == 1
    assert counted.value("gateway_retries_withheld_total", proxy="p", cause="budget") == 1
    assert counted.value("gateway_shadow_retries_total", proxy="p", reason="connect") == 1
    assert counted.value("gateway_fallbacks_total", proxy="p", cause="connect") is None


@pytest.mark.parametrize("many", [False, True])
def test_what_a_fallback_has_served(counted: Counted, many: bool) -> None:
    behind = [FellBack("connect", "dial_failed", "h:1", 2), *[FellBack("503", "", "h:1", 1)] * (4 if many else 1)]
    exchanges = []
    for each in behind:
        ex = exchange()
        set_facts(ex, proxy="p", start_at=1.0, end_at=2.0, fallback=each, attempts=each.attempts + 1)
        exchanges.append(ex)
    counted.metrics.record("p", exchanges, [phases(ex) for ex in exchanges])
    assert counted.value("gateway_fallbacks_total", proxy="p", cause="connect") == 1
    assert counted.value("gateway_fallbacks_total", proxy="p", cause="status") == len(behind) - 1
    assert counted.value("gateway_retries_total", proxy="p", reason="status") is None, "it is no retry"


def test_the_protocols_of_both_sides(counted: Counted) -> None:
    for minor, upstream in ((0, "1.1"), (1, ""), (2, "2"), (2, "2"), (2, "1.1")):
        ex = exchange()
        ex.request.minor = minor
        set_facts(ex, proxy="p", start_at=1.0, end_at=2.0, http_version=upstream)
        counted.metrics.record("p", [ex], [phases(ex)])
    found = counted.samples()
    name, of = "gateway_requests_by_protocol_total", ("proxy", "p")
    spoken = {
        (side, version): found.get((name, (("protocol", version), of, ("side", side))))
        for side in ("downstream", "upstream")
        for version in ("1.0", "1.1", "2")
    }
    assert list(spoken.values()) == [1, 1, 3, None, 2, 2]


class Ended:
    def __init__(self, ending: str) -> None:
        self.ending = ending


def test_a_tunnel_counts_as_a_request_up_to_its_switch(counted: Counted) -> None:
    for ending in ("client", "client", "drained", ""):
        ex = exchange()
        facts = {"proxy": "p", "status": 101, "start_at": 100.0, "commit_at": 100.5, "end_at": 3700.5, "bytes_in": 3}
        set_facts(ex, **facts, asked_at=100.1, sent_at=100.1, first_byte_at=100.4, last_byte_at=3700.0)
        ex.downstream.tunnel = Ended(ending)  # type: ignore[assignment]
        counted.metrics.record_tunnel(ex, phases(ex))
    found = counted.samples()
    p = ("proxy", "p")
    assert found["gateway_requests_total", (("method", "GET"), p, ("status", "101"))] == 4
    assert found["gateway_request_duration_seconds_sum", (p,)] == pytest.approx(2.0)
    assert ("gateway_phase_seconds_total", (("phase", "transfer"), p)) not in found
    assert found["gateway_request_bytes_total", (p,)] == 12
    assert found["gateway_tunnel_bytes_total", (("direction", "in"), p)] == 12
    assert found["gateway_tunnels_ended_total", (("end", "client"), p)] == 2
    assert found["gateway_tunnels_ended_total", (("end", "drained"), p)] == 1
    assert ("gateway_tunnels_ended_total", (("end", "cut"), p)) not in found
    assert found["gateway_tunnel_duration_seconds_sum", (p,)] == pytest.approx(4 * 3600.0)
    assert found["gateway_tunnel_duration_seconds_bucket", (("le", "3600.0"), p)] == 4


def test_a_tunnel_of_a_deleted_proxy_is_not_counted(counted: Counted) -> None:
    ex = exchange()
    set_facts(ex, proxy="gone", status=101, start_at=1.0, commit_at=2.0, end_at=3.0)
    counted.metrics.record_tunnel(ex, phases(ex))
    assert not any(("proxy", "gone") in labels for _, labels in counted.samples())


@pytest.mark.covers("T042")
def test_a_breaker_that_was_open_between_two_scrapes_is_seen(counted: Counted) -> None:
    moves = counted.metrics.breaker_moved
    moves("p", "closed", "open", "failure_threshold", 10.0)
    moves("p", "open", "half_open", "recovery_timeout", 10.2)
    moves("p", "half_open", "closed", "probe_succeeded", 10.21)
    of = "gateway_circuit_breaker_transitions_total"
    found = {key for key, value in counted.samples().items() if key[0] == of and value == 1}
    assert len(found) == 3
    assert counted.value("gateway_circuit_breaker_open_seconds_total", proxy="p") == pytest.approx(0.2)


def test_decisions_of_an_adaptive_limit_count_by_cause(counted: Counted) -> None:
    assert families.DECISION_CAUSES == CAUSES
    for cause in ("late", "probe", "late"):
        counted.metrics.limit_decided("p", cause)
    assert counted.value("gateway_adaptive_decisions_total", proxy="p", cause="late") == 2
    assert counted.value("gateway_adaptive_decisions_total", proxy="p", cause="probe") == 1


def test_time_that_an_open_breaker_spends_now_counts_already(counted: Counted) -> None:
    counted.metrics.breaker_moved("p", "closed", "open", "failure_threshold", time.monotonic() - 5.0)
    seconds = counted.value("gateway_circuit_breaker_open_seconds_total", proxy="p")
    assert seconds == pytest.approx(5.0, abs=1.0)
    counted.metrics.note_open("p", 0.0, time.monotonic())  # its machine was replaced
    assert counted.value("gateway_circuit_breaker_open_seconds_total", proxy="p") == pytest.approx(5.0, abs=1.0)


def test_deleted_proxies_disappear_and_come_back_empty(counted: Counted) -> None:
    counted.record()
    counted.metrics.retain(["q", "r"])
    counted.record()
    assert {dict(labels).get("proxy") for _, labels in counted.samples()} == {None, "-", "q", "r"}
    counted.metrics.retain(["p"])
    assert counted.value("gateway_requests_total", proxy="p", method="GET", status="200") is None


def test_the_next_process_goes_on_counting() -> None:
    descriptor = create()
    Counted(CounterMap(descriptor)).record()
    heir = Counted(CounterMap(descriptor))
    heir.record()
    assert heir.value("gateway_requests_total", proxy="p", method="GET", status="200") == 2


def test_exemplars_name_a_request_or_its_trace(counted: Counted) -> None:
    counted.record(request_id=b"first")
    counted.record(request_id=b'quote"d', end_at=100.51)
    counted.record(request_id=b"third", end_at=200.0, trace_id=b"0af7651916cd43dd8448eb211c80319c")
    counted.record(request_id=b"x" * 128, end_at=103.0)
    found = {}
    text = counted.text(open_metrics=True) + "# EOF\n"
    for family in openmetrics_parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.exemplar is not None:
                assert float(sample.exemplar.timestamp) == pytest.approx(time.time(), abs=60)
                found[sample.labels["le"]] = (sample.exemplar.labels, sample.exemplar.value)
    assert found["0.5"] == ({"request_id": "first"}, 0.5), "one a second for each bucket"
    assert found["+Inf"] == ({"trace_id": "0af7651916cd43dd8448eb211c80319c"}, 100.0)
    assert found["5.0"] == ({"request_id": "x" * 64}, 3.0)
    assert "#" not in counted.text().replace("# HELP", "").replace("# TYPE", "")


@pytest.mark.covers("T039")
def test_gauges_are_there_from_the_start(counted: Counted) -> None:
    counted.metrics.note([(families.IN_FLIGHT, 3), (families.MODE + 2, 1)], "p")
    counted.metrics.add([(families.DIALS, 2)], "p")
    counted.metrics.add([(families.DIALS, 2)], "p")
    counted.metrics.note([(families.CONNECTIONS, 9)])
    assert counted.value("gateway_in_flight", proxy="p") == 3
    assert counted.value("gateway_in_flight", proxy="q") == 0
    assert counted.value("gateway_protection_mode", proxy="p", protection="breaker") == 1
    assert counted.value("gateway_pool_dials_total", proxy="p") == 4
    assert counted.value("gateway_connections") == 9
    counted.metrics.note([(families.IN_FLIGHT, 3)], "no one")


def test_every_family_follows_the_conventions() -> None:
    shown = [family.name for family in [*PROCESS.families, *PROXY.families]]
    assert len(set(shown)) == len(shown)
    for family in [*PROCESS.families, *PROXY.families]:
        assert family.name.startswith("gateway_")
        assert family.help.endswith(".")
        counter = isinstance(family, Requests) or (isinstance(family, Values) and family.kind == "counter")
        assert family.name.endswith("_total") == counter
    assert len(METHODS) < 16, "a key has four bits for the method"


def test_upstreams_that_outlive_their_clients_are_timed(counted: Counted) -> None:
    counted.metrics.upstream_closed("p", 0.004)
    counted.metrics.upstream_closed("gone", 0.004)
    of = "gateway_client_gone_to_upstream_closed_seconds_bucket"
    assert counted.value(of, proxy="p", le="0.005") == 1
    assert counted.value(of, proxy="p", le="0.0025") == 0


def test_many_at_a_time_are_counted_as_each_alone() -> None:
    chance = random.Random(1)
    alone, together = Counted(), Counted()
    exchanges = []
    for _ in range(200):
        queued = chance.choice([0.0, chance.random()])
        ex = alone.record(
            end_at=100.0 + chance.lognormvariate(-4, 3) + queued, queued=queued, bytes_in=chance.randrange(9),
            status=chance.choice([200, 404, 503]), streamed=chance.random() < 0.5, attempts=2,
            reason=chance.choice(["", "internal"]), http_version=chance.choice(["", "1.1", "2"]),
        )  # fmt: skip
        exchanges.append(ex)
    together.metrics.record("p", exchanges, [phases(ex) for ex in exchanges])
    assert together.samples() == pytest.approx(alone.samples())


class Limited:
    """What rate limits say of an exchange."""

    shown = False

    def __init__(self, *limited: int) -> None:
        self.limited = limited

    def lines(self) -> bytes:
        return b""


def test_rate_limits_count_what_they_refuse_by_their_keys() -> None:
    counted = Counted()
    counted.record(status=429, reason="rate_limit", quota=Limited(0, 1))
    counted.record(shadow="rate_limit", quota=Limited(1))
    counted.record(quota=Limited())
    assert counted.value("gateway_rate_limited_total", proxy="p", key="all") == 1
    assert counted.value("gateway_rate_limited_total", proxy="p", key="client") == 2
    assert counted.value("gateway_rate_limited_total", proxy="p", key="header") is None
    assert counted.value("gateway_shadow_refusals_total", proxy="p", reason="rate_limit") == 1


@pytest.mark.parametrize("many", [False, True])
def test_what_models_say_of_their_tokens(counted: Counted, many: bool) -> None:
    usage = Usage("")
    usage.input, usage.output, usage.first_token_at, usage.read_at = 19, 11, 100.25, 102.25
    facts = [{"usage": usage}, {"usage": Usage("absent")}, {}, {}, {}] if many else [{"usage": usage}]
    exchanges = [told(**{"proxy": "p", "status": 200, "start_at": 100.0, "end_at": 101.0} | each) for each in facts]
    counted.metrics.record("p", exchanges, [phases(ex) for ex in exchanges])
    assert counted.value("gateway_ai_tokens_total", proxy="p", kind="input") == 19
    assert counted.value("gateway_ai_tokens_total", proxy="p", kind="output") == 11
    assert counted.value("gateway_ai_tokens_total", proxy="p", kind="cached") is None
    assert counted.value("gateway_ai_time_to_first_token_seconds_sum", proxy="p") == 0.25
    assert counted.value("gateway_ai_tokens_per_second_sum", proxy="p") == 5.0
    assert counted.value("gateway_ai_usage_unknown_total", proxy="p", cause="absent") == (1 if many else None)


def test_gauges_are_written_again_only_where_something_differs(counted: Counted) -> None:
    metrics = counted.metrics
    assert [metrics.differs("p", stance) for stance in ((1,), (1,), (2,), None, None, (2,))] == [
        True, False, True, True, True, True,
    ]  # fmt: skip
    assert metrics.differs("q", (2,)), "each proxy for itself"
    assert not metrics.differs("unknown", (2,))
    metrics.retain(["p"])
    metrics.retain(["p", "q"])
    assert (metrics.differs("p", (2,)), metrics.differs("q", (2,))) == (False, True), "a slab that is new is all 0"
