from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.observe.trace import Sampler, follow, parse

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (GOOD, (TRACE, SPAN, True)),
        (b"00-%b-%b-00" % (TRACE, SPAN), (TRACE, SPAN, False)),
        (b"00-%b-%b-03" % (TRACE, SPAN), (TRACE, SPAN, True)),
        (b"01-%b-%b-01-what comes later" % (TRACE, SPAN), (TRACE, SPAN, True)),
        (b"cc-%b-%b-01" % (TRACE, SPAN), (TRACE, SPAN, True)),
        (b"ff-%b-%b-01" % (TRACE, SPAN), None),
        (b"00-%b-%b-01-more" % (TRACE, SPAN), None),
        (b"01-%b-%b-01more" % (TRACE, SPAN), None),
        (b"00-%b-%b-01" % (TRACE.upper(), SPAN), None),
        (b"00-%b-%b-01" % (b"0" * 32, SPAN), None),
        (b"00-%b-%b-01" % (TRACE, b"0" * 16), None),
        (b"00-%b-%b" % (TRACE, SPAN), None),
        (GOOD + b", " + GOOD, None),  # sent twice
        (GOOD + b"\n", None),
        (b"", None),
    ],
)
def test_the_grammar(text: bytes, parsed: object) -> None:
    assert parse(text) == parsed


def asked(traceparent: bytes | None) -> Exchange:
    ex = exchange()
    if traceparent is not None:
        ex.request.known[b"traceparent"] = traceparent
    return ex


def sampler(share: float) -> Sampler:
    return Sampler(share, lambda: 0.5, lambda bits: (1 << bits) - 1)


def test_without_export_a_trace_is_noted_and_left_alone() -> None:
    ex = asked(GOOD)
    follow(ex, None)
    assert (ex.trace_id, ex.trace, ex.parent) == (TRACE, b"", b"")
    ex = asked(b"nonsense")
    follow(ex, None)
    assert (ex.trace_id, ex.trace) == (b"", b"")


def test_what_the_sender_sampled_gets_a_span_of_ours() -> None:
    ex = asked(GOOD)
    follow(ex, sampler(0.0))
    assert (ex.trace, ex.parent) == (b"00-%b-%b-01" % (TRACE, b"f" * 16), SPAN)


def test_what_the_sender_did_not_sample_is_not_touched() -> None:
    ex = asked(b"00-%b-%b-00" % (TRACE, SPAN))
    follow(ex, sampler(1.0))
    assert (ex.trace, ex.trace_id) == (b"", TRACE)


@pytest.mark.parametrize(("share", "traced"), [(0.0, False), (0.4, False), (0.6, True)])
def test_a_share_of_the_others_begins_a_trace(share: float, traced: bool) -> None:
    ex = asked(None)
    follow(ex, sampler(share))
    assert bool(ex.trace) == traced
    if traced:
        assert ex.trace == b"00-%b-%b-01" % (b"f" * 32, b"f" * 16)
        assert (ex.trace_id, ex.parent) == (b"f" * 32, b"")
