from __future__ import annotations

import dataclasses
import http
import re

import pytest

from gateway import errors
from gateway.errors import REASONS, GatewayError, Reason, Source

STATUSES = {
    400: {"bad_request", "bad_framing"},
    401: {"unauthenticated"},
    403: {"forbidden"},
    404: {"no_route", "proxy_disabled"},
    413: {"body_too_large"},
    414: {"uri_too_long"},
    429: {"rate_limit", "concurrency_limit", "queue_full", "queue_timeout", "queue_predicted_timeout"},
    431: {"headers_too_large"},
    499: {"client_gone"},
    500: {"internal"},
    501: {"websocket_disabled", "not_implemented"},
    502: {"dial_failed", "dns_failed", "tls_failed", "upstream_reset", "upstream_bad_response", "upstream_denied"}
    | {"answer_too_large"},
    503: {"breaker_open", "draining", "local_resources", "overloaded"},
    504: {"dial_timeout", "header_timeout", "total_timeout", "tunnel_idle_timeout", "stream_stalled"},
    508: {"loop_detected"},
}
"""What callers and dashboards rely on; the table may have more."""

EACH = pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.code)


@pytest.mark.covers("T053", "T054")
@pytest.mark.parametrize(("status", "codes"), STATUSES.items())
def test_the_promised_reasons_keep_their_status(status: int, codes: set[str]) -> None:
    assert {REASONS[code].status for code in codes} == {status}


def test_the_table_holds_every_reason_of_the_module() -> None:
    assert set(REASONS.values()) == {value for value in vars(errors).values() if isinstance(value, Reason)}


@EACH
def test_a_reason_has_one_word(reason: Reason) -> None:
    assert REASONS[reason.code] is reason
    assert getattr(errors, reason.code.upper()) is reason
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.code), "the word is a header value and a metric label"


@EACH
def test_a_reason_is_told_in_words_that_need_no_escaping(reason: Reason) -> None:
    for text in (reason.title, reason.details):
        assert text
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set('"\\')


@EACH
def test_the_status_is_a_real_one(reason: Reason) -> None:
    assert reason.status == 499 or http.HTTPStatus(reason.status) >= 400


@EACH
def test_blame_and_status_agree(reason: Reason) -> None:
    if reason.source is Source.UPSTREAM:
        assert reason.status in (502, 504) or reason is errors.TOKEN_UNAVAILABLE  # no request was made: try later
    if reason.source is Source.DOWNSTREAM:
        assert reason.status < 500 or reason.status == 501


def test_a_reason_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        errors.NO_ROUTE.status = 200  # type: ignore[misc]


def test_an_error_takes_its_details_from_the_reason() -> None:
    error = GatewayError(errors.BREAKER_OPEN)
    assert error.reason is errors.BREAKER_OPEN
    assert error.details == "Circuit breaker is open, upstream service is experiencing issues"
    assert (error.retryable, error.retry_after, error.headers) == (False, 0, ())


def test_an_error_may_tell_more() -> None:
    error = GatewayError(
        errors.DIAL_FAILED, "nobody listens", retryable=True, retry_after=3, headers=(("X-Circuit-Breaker", "open"),)
    )
    assert (error.details, error.retryable, error.retry_after) == ("nobody listens", True, 3)
    assert error.headers == (("X-Circuit-Breaker", "open"),)
    assert error.args == ("dial_failed", "nobody listens"), "a traceback names the reason and the details"


def test_no_reason_names_a_version_that_the_caller_may_not_speak() -> None:
    assert not [reason.code for reason in REASONS.values() if "HTTP/" in reason.details]
