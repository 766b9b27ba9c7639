from __future__ import annotations

import json

import pytest
from unit.scene import told

from gateway.core.fallback import BREAKERS, FellBack
from gateway.core.hedge import Hedge
from gateway.core.peer import Peer
from gateway.core.usage import Usage
from gateway.observe.access_log import (
    events_line,
    having_retries,
    line,
    tunnel_line,
    with_breaker_of_upstream,
    with_fallback,
    with_hedge,
    with_usage,
)
from gateway.observe.timing import phases


@pytest.mark.covers("FR-021", "T045")
def test_every_field_of_a_line() -> None:
    ex = told(
        request_id=b'a"b\\c', proxy="p", status=200, reason="", start_at=10.0, asked_at=10.3, sent_at=10.3,
        first_byte_at=10.4, commit_at=10.401, last_byte_at=10.4, end_at=10.402, queued=0.2, dialled=0.05,
        identified=0.01, pooled=0.001, bytes_in=3, bytes_out=4, breaker="closed", concurrent=2, endpoint="u:1",
        http_version="2", attempts=1, reused=True, shadow="queue_full", trace_id=b"0af7651916cd43dd8448eb211c80319c",
    )  # fmt: skip
    ex.request.target = b'/a"b\\c?key=secret'
    raw = line(ex, phases(ex), 1000.0)
    assert raw.endswith(b"\n")
    assert b"secret" not in raw
    assert json.loads(raw) == {
        "ts": 1010.402,
        "request_id": 'a"b\\c',
        "proxy_name": "p",
        "method": "GET",
        "path": '/a"b\\c',
        "status_code": 200,
        "reason": "",
        "upstream_latency_ms": 100.0,
        "proxy_latency_ms": 41.0,
        "queue_ms": 200.0,
        "duration_ms": 402.0,
        "identity_ms": 10.0,
        "pool_ms": 1.0,
        "dial_ms": 50.0,
        "upload_ms": 0.0,
        "transfer_ms": 0,
        "blocked_ms": 0,
        "bytes_in": 3,
        "bytes_out": 4,
        "circuit_state": "closed",
        "concurrent_count": 2,
        "protocol": "1.1",
        "client": "192.0.2.1:5000",
        "peer": "192.0.2.1:5000",
        "tls": "",
        "client_certificate": "",
        "upstream": "u:1",
        "attempts": 1,
        "reused": True,
        "upstream_protocol": "2",
        "shadow": "queue_full",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


def test_the_line_of_a_call_of_grpc_has_its_status() -> None:
    ex = told(request_id=b"a", status=200, start_at=10.0, end_at=10.5, grpc_status=14)
    plain = told(request_id=b"a", status=200, start_at=10.0, end_at=10.5)
    assert json.loads(line(ex, phases(ex), 0.0)) == json.loads(line(plain, phases(plain), 0.0)) | {"grpc_status": 14}


class Ended:
    ending, clean = "upstream", True


@pytest.mark.parametrize(("tunnel", "end", "clean"), [(Ended(), "upstream", True), (None, "", False)])
def test_the_line_of_a_tunnel(tunnel: Ended | None, end: str, clean: bool) -> None:
    ex = told(request_id=b"a", status=101, start_at=10.0, commit_at=10.5, end_at=70.5)
    ex.downstream.tunnel = tunnel  # type: ignore[assignment]
    described = json.loads(tunnel_line(ex, phases(ex), 1000.0))
    plain = json.loads(line(ex, phases(ex), 1000.0))
    assert described == plain | {
        "tunnel": {"protocol": "websocket", "end": end, "clean": clean, "open_ms": 60_000.0},
    }


def test_the_line_of_one_that_the_breaker_of_the_upstream_rejects() -> None:
    ex = told(request_id=b"a", status=503, start_at=10.0, end_at=10.5)
    plain = line(ex, phases(ex), 0.0)
    assert json.loads(with_breaker_of_upstream(plain)) == json.loads(plain) | {"breaker": "upstream"}


class Seen:
    count, longest_gap = 3, 0.25

    def __init__(self, first_at: float) -> None:
        self.first_at = first_at


@pytest.mark.parametrize(("first_at", "first_ms"), [(10.5, 500.0), (0.0, None)])
def test_the_line_of_a_stream_of_events(first_at: float, first_ms: float | None) -> None:
    ex = told(request_id=b"a", status=200, start_at=10.0, end_at=20.0)
    plain = json.loads(events_line(ex, phases(ex), 0.0))
    ex.events = Seen(first_at)  # type: ignore[assignment]
    seen = {"count": 3, "first_ms": first_ms, "longest_gap_ms": 250.0}
    assert json.loads(events_line(ex, phases(ex), 0.0)) == plain | {"events": seen}


class Told:
    """What an exchange knows of its retries."""

    def __init__(self, withheld: str, shadowed: str) -> None:
        self.withheld, self.shadowed = withheld, shadowed


@pytest.mark.parametrize(
    ("failures", "retries", "shown"),
    [
        (("stale",), None, {"failures": ["stale"], "withheld": "", "shadow": ""}),
        (("503", "reset"), Told("budget", ""), {"failures": ["503", "reset"], "withheld": "budget", "shadow": ""}),
        ((), Told("", "503"), {"failures": [], "withheld": "", "shadow": "503"}),
        ((), Told("method", ""), {"failures": [], "withheld": "method", "shadow": ""}),
        ((), Told("", ""), None),
    ],
)
def test_the_line_of_what_was_sent_again(
    failures: tuple[str, ...], retries: Told | None, shown: dict[str, object] | None
) -> None:
    ex = told(request_id=b"a", status=200, start_at=10.0, end_at=20.0, failures=failures, retries=retries)
    plain = line(ex, phases(ex), 0.0)
    expected = json.loads(plain) | ({} if shown is None else {"retries": shown})
    assert json.loads(having_retries(plain, ex)) == expected


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({}, None),
        ({"after": 0.5, "sent": True, "won": True, "endpoint": "u:1"}, {"result": "won", "other": "u:1"}),
        ({"after": 0.5, "sent": True, "endpoint": "u:1"}, {"result": "lost", "other": "u:1"}),
        ({"after": 0.5, "withheld": "permit"}, {"withheld": "permit"}),
        ({"after": 0.5, "shadowed": True}, {"shadow": True}),
    ],
)
def test_the_line_of_what_was_hedged(facts: dict[str, object], shown: dict[str, object] | None) -> None:
    ex, hedge = told(request_id=b"a", status=200, start_at=10.0, end_at=20.0), Hedge()
    for name, value in facts.items():
        setattr(hedge, name, value)
    plain = line(ex, phases(ex), 0.0)
    nothing = {"after_ms": 500.0, "result": "", "other": "", "withheld": "", "shadow": False}
    expected = json.loads(plain) | ({} if shown is None else {"hedge": nothing | shown})
    assert json.loads(with_hedge(plain, hedge)) == expected


@pytest.mark.parametrize(
    ("own", "logged"),
    [(None, ("budget", "reset")), (Told("", ""), ("budget", "reset")), (Told("attempts", "503"), ("attempts", "503"))],
)
def test_the_retries_before_a_fallback_are_logged_where_it_has_none_to_tell(
    own: Told | None, logged: tuple[str, str]
) -> None:
    ex = told(start_at=1.0, end_at=2.0, retries=own)
    ex.fallback = FellBack("reset", "upstream_reset", "u:1", 1, "budget", "reset")
    found = json.loads(having_retries(line(ex, phases(ex), 0.0), ex))["retries"]
    assert found == {"failures": [], "withheld": logged[0], "shadow": logged[1]}


@pytest.mark.parametrize(("length", "logged"), [(2048, 2048), (2049, "...+1"), (60_000, "...+57952")])
def test_a_long_path_is_cut_and_says_so(length: int, logged: int | str) -> None:
    ex = told(start_at=1.0, end_at=2.0)
    ex.request.target = b"/" + b"p" * (length - 1) + b"?q"
    path = json.loads(line(ex, phases(ex), 0.0))["path"]
    assert path == "/" + "p" * 2047 + ("" if isinstance(logged, int) else logged)


def test_a_long_method_is_cut_too() -> None:
    ex = told(start_at=1.0, end_at=2.0)
    ex.request.method = b"M" * 100
    assert json.loads(line(ex, phases(ex), 0.0))["method"] == "M" * 64 + "...+36"


def test_what_was_no_request_is_not_taken_for_the_last_such_one() -> None:
    """All of them share one head."""
    ex = told(start_at=1.0, end_at=2.0)
    ex.request.target = b""
    assert json.loads(line(ex, phases(ex), 0.0))["client"] == "192.0.2.1:5000"
    ex.downstream.peer = Peer("192.0.2.9", 1, b"http", lambda address: False)
    assert json.loads(line(ex, phases(ex), 0.0))["client"] == "192.0.2.9:1"


def test_an_upstream_that_never_answered_has_no_latency() -> None:
    ex = told(start_at=1.0, asked_at=1.1, sent_at=1.1, end_at=2.0)
    assert json.loads(line(ex, phases(ex), 0.0))["upstream_latency_ms"] is None


@pytest.mark.parametrize("breaker", BREAKERS)
def test_whose_breaker_it_was_is_in_the_line(breaker: str) -> None:
    behind = FellBack("breaker", "breaker_open", "", 0, breaker=breaker, of="search")
    behind.rejected = "queue"
    assert json.loads(with_fallback(b'{"a":1}\n', behind)) == {
        "a": 1,
        "fallback": {
            "cause": "breaker",
            "reason": "breaker_open",
            "upstream": "",
            "breaker": breaker,
            "of": "search",
            "withheld": "queue",
        },
    }


def test_the_line_of_an_exchange_that_its_fallback_has_served() -> None:
    ex = told(request_id=b"a", status=200, start_at=10.0, end_at=20.0)
    plain = line(ex, phases(ex), 0.0)
    behind = FellBack("connect", "dial_failed", "u:1", 1)
    assert json.loads(with_fallback(plain, behind)) == json.loads(plain) | {
        "fallback": {"cause": "connect", "reason": "dial_failed", "upstream": "u:1"}
    }


def test_the_line_of_a_response_of_a_model() -> None:
    usage = Usage("")
    usage.model, usage.input, usage.output, usage.cached = "gpt-4o", 19, 11, 4
    usage.first_token_at, usage.read_at = 10.25, 12.25
    ex = told(request_id=b"a", status=200, start_at=10.0, end_at=20.0, usage=usage)
    plain = line(ex, phases(ex), 0.0)
    assert json.loads(with_usage(plain, ex, usage)) == json.loads(plain) | {
        "ai": {
            "model": "gpt-4o", "input_tokens": 19, "output_tokens": 11, "cached_tokens": 4, "first_token_ms": 250.0,
            "tokens_per_second": 5.0, "unknown": "",
        }
    }  # fmt: skip
    assert json.loads(with_usage(plain, ex, Usage("encoded")))["ai"] == {
        "model": "", "input_tokens": None, "output_tokens": None, "cached_tokens": None, "first_token_ms": None,
        "tokens_per_second": None, "unknown": "encoded",
    }  # fmt: skip
