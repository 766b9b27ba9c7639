"""A breaker in figures and words: its present state, what it counts, and why it has opened."""

from __future__ import annotations

from gateway.ipc.explanation import BreakerView, CallersView, MoveView, OutcomeView, WindowView
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import FAILURE_RATE, FAILURE_THRESHOLD, Figures, Rules
from gateway.policy.breaker_store import Judged, Move, State
from gateway.policy.window import Tally


def breaker_view(breaker: Breaker, now: float, epoch: float) -> BreakerView:
    """``now`` is on the monotonic clock; ``epoch``: what the wall clock is ahead of that."""
    left, tally = breaker.until_probe(), breaker.tally
    return {
        "mode": "shadow" if breaker.shadow else "enforce",
        "state": breaker.state.api_word,
        "since": breaker.since + epoch,
        "failures": breaker.failures,
        "failure_threshold": breaker.failure_threshold,
        "recovery_timeout": breaker.recovery_timeout,
        "half_open_requests": breaker.half_open_requests,
        "probes": breaker.probes,
        "next_probe": now + left + epoch if breaker.state is State.OPEN else 0.0,
        "outcomes": [_outcome(judged, epoch) for judged in breaker.outcomes],
        "moves": [_move(move, epoch) for move in breaker.moves],
        "window": _window(breaker.rules, tally),
        "callers": _callers(breaker.rules, tally),
    }


def opened_by(breaker: Breaker) -> str:
    """The rule that opened it, when it was none of its probes."""
    moves = breaker.moves
    figures = moves[-1].figures if moves else None
    return "" if figures is None else f": {_in_words(moves[-1].cause, figures)}"


def _in_words(rule: str, by: Figures) -> str:
    """By which figures ``rule`` opened the breaker, as in ``12 of 20 attempts failed in the last 30 s, rule
    failure_rate 0.5``."""
    callers = f" ({by.callers} callers)" if by.callers else ""
    if rule == FAILURE_THRESHOLD:
        what = f"{by.bad} failures in a row{callers}"
    elif rule == FAILURE_RATE:
        what = f"{by.bad} of {by.total} attempts failed in the last {by.window:g} s{callers}"
    else:
        slow = f"took more than {by.slow_call:g} s to the first byte in the last {by.window:g} s"
        what = f"{by.bad} of {by.total} attempts {slow}{callers}"
    return f"{what}, rule {rule} {by.bound:g}"


def _window(rules: Rules, tally: Tally) -> WindowView | None:
    if not rules.width:
        return None
    return {
        "seconds": rules.window,
        "total": tally.total,
        "failed": tally.failed,
        "slow": tally.slow,
        "minimum_requests": rules.minimum_requests,
        "failure_rate": rules.failure_rate,
        "slow_rate": rules.slow_rate,
        "slow_call": rules.slow_call,
    }


def _callers(rules: Rules, tally: Tally) -> CallersView | None:
    if rules.distinct_callers <= 1:
        return None
    return {
        "distinct_callers": rules.distinct_callers,
        "in_a_row": tally.run_callers,
        "failed": tally.failed_callers,
        "slow": tally.slow_callers,
    }


def _outcome(judged: Judged, epoch: float) -> OutcomeView:
    ident, _, action = judged.request_id.partition(b" ")
    shown: OutcomeView = {
        "at": judged.at + epoch,
        "outcome": judged.outcome.value,
        "reason": judged.reason,
        "status": judged.status,
        "request_id": ident.decode("latin-1"),
    }
    if action:
        shown["action"] = action.decode("latin-1")
    if judged.worker >= 0:
        shown["worker"] = judged.worker
    return shown


def _move(move: Move, epoch: float) -> MoveView:
    shown: MoveView = {
        "at": move.at + epoch,
        "old": move.old.api_word,
        "new": move.new.api_word,
        "cause": move.cause,
        "by": move.by,
        "outcomes": [_outcome(judged, epoch) for judged in move.outcomes],
    }
    if move.figures is not None:
        shown["figures"] = _in_words(move.cause, move.figures)
    return shown
