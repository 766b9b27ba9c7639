"""What is judged of a run: not the warm-up, not the last second, and windows only when they are whole."""

from __future__ import annotations

import math
import statistics

import pytest
from load.exposition import Scrape, between, beyond, highest, percentile
from load.findings import Run
from load.record import Record
from load.variant import Variant
from load.watch import Sample

BEGAN = 1000
"""By the monotonic clock."""
EMPTY = Scrape({}, {})


def run_of(seconds: int, latency: list[float], outcome: str = "200", samples: list[Sample] | None = None) -> Run:
    """Ten requests in each second, of the latency for that second, in seconds."""
    record = Record()
    for second in range(seconds):
        for part in range(10):
            began = BEGAN + second + part / 10
            record.add("answer", outcome, began, began, began + latency[second])
    return Run(Variant("v", "User", 1, seconds, 10.0), record, samples or [], [])


def test_the_warm_up_and_the_last_second_are_not_judged() -> None:
    run = run_of(100, [9.0] * 5 + [0.1] * 94 + [9.0])
    assert (run.warm, run.span) == (5, 94)
    assert run.latency().longest == pytest.approx(0.1, rel=0.011)
    assert run.good() == run.rate() == 10.0
    assert run.bad() == 0


def test_a_short_run_warms_up_for_a_tenth_of_it() -> None:
    assert (run_of(10, [0.1] * 10).warm, run_of(10, [0.1] * 10).span) == (1, 8)


def test_a_run_that_began_late_is_judged_to_its_last_whole_second() -> None:
    run = run_of(100, [0.1] * 100)
    for second in range(97, 100):
        del run.record.kinds["answer"][BEGAN + second]
    assert (run.warm, run.span) == (5, 91)
    assert run.rate() == 10.0


def test_jitter_is_the_coefficient_of_variation_of_whole_windows() -> None:
    run = run_of(36, [0.1] * 14 + [0.2] * 10 + [0.4] * 12)
    assert run.warm == 4
    windows = run.windows(99)
    assert [at for at, _ in windows] == [14, 24, 34]
    assert [value for _, value in windows] == pytest.approx([100, 200, 400], rel=0.011)
    expected = statistics.pstdev([100, 200, 400]) / statistics.fmean([100, 200, 400]) * 100
    assert run.jitter() == pytest.approx(expected, rel=0.02)


def test_one_window_has_no_jitter() -> None:
    assert math.isnan(run_of(15, [0.1] * 15).jitter())


def test_what_never_happened_is_no_success() -> None:
    run = run_of(20, [0.1] * 20)
    assert run.bad("other") == -1
    assert math.isnan(run.share("200", "other"))
    assert math.isnan(run.growth("rss"))
    assert math.isnan(run.gain("dials"))
    assert run.buckets("gateway_overhead_seconds") == {}


def test_requests_without_a_good_answer_are_counted() -> None:
    run = run_of(20, [0.1] * 20, "429")
    assert run.bad() == 17 * 10
    assert run.share("429") == 1.0
    assert run.good() == 0.0


def sample(second: int, rss: float, buckets: dict[float, float]) -> Sample:
    scrape = Scrape({"gateway_connections": 1.0}, {"gateway_overhead_seconds": buckets})
    return Sample(float(BEGAN + second), {"rss": rss, "dials": 2.0 * second}, scrape)


def test_growth_and_gain_are_those_of_the_judged_seconds() -> None:
    samples = [sample(n, 50.0 if n < 2 else 60.0 + n, {math.inf: n}) for n in range(20)]
    run = run_of(20, [0.1] * 20, samples=samples)
    assert run.growth("rss") == 16
    assert run.gain("dials") == 32
    assert run.most("rss") == 79.0


def test_a_histogram_is_what_came_between_the_first_and_the_last_judged_scrape() -> None:
    samples = [sample(n, 50.0, {0.01: 10.0 * n, 0.1: 11.0 * n, math.inf: 11.0 * n}) for n in range(20)]
    samples[7] = Sample(samples[7].at, {}, EMPTY)
    run = run_of(20, [0.1] * 20, samples=samples)
    assert run.buckets("gateway_overhead_seconds") == {0.01: 160, 0.1: 176, math.inf: 176}


@pytest.mark.parametrize(("percent", "bound"), [(50, 0.01), (90, 0.01), (91, 0.1), (99, math.inf)])
def test_a_percentile_of_buckets_is_the_upper_bound_of_its_bucket(percent: float, bound: float) -> None:
    assert percentile({0.01: 90, 0.1: 95, math.inf: 100}, percent) == bound


def test_nothing_is_neither_fast_nor_slow() -> None:
    assert math.isnan(percentile({}, 99))
    assert math.isnan(beyond({}, 0.01))


@pytest.mark.parametrize(
    ("counts", "bound"), [((0, 0, 0), 0.0), ((1, 1, 1), 0.01), ((1, 2, 2), 0.1), ((0, 0, 1), 1.0), ((5, 5, 6), 1.0)]
)
def test_the_highest_bucket_is_the_last_in_which_something_fell(counts: tuple[int, ...], bound: float) -> None:
    assert highest(dict(zip((0.01, 0.1, math.inf), counts, strict=True))) == bound


def test_beyond_counts_what_is_above_a_bucket() -> None:
    assert beyond({0.01: 90, 0.1: 95, math.inf: 100}, 0.01) == 10


def test_a_scrape_sums_over_labels() -> None:
    text = (
        "# TYPE gateway_waiting gauge\n"
        'gateway_waiting{proxy="p"} 2\ngateway_waiting{proxy="q"} 3\n'
        "# TYPE gateway_gc_pause_seconds histogram\n"
        'gateway_gc_pause_seconds_bucket{le="0.01"} 4\ngateway_gc_pause_seconds_bucket{le="+Inf"} 5\n'
        "gateway_gc_pause_seconds_sum 1\ngateway_gc_pause_seconds_count 5\n"
    )
    scrape = Scrape.of(text)
    assert scrape.value("gateway_waiting") == 5
    assert scrape.value("gateway_nothing") == 0
    assert between(EMPTY, scrape, "gateway_gc_pause_seconds") == {0.01: 4, math.inf: 5}
