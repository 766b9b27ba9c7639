"""Breakers in figures and words: their present state, what they count, why they have opened, and what they do with a
request.
"""

from __future__ import annotations

from collections import Counter

from gateway.ipc.explanation import BreakerView, CallersView, MoveView, OutcomeView, WindowView
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import FAILURE_RATE, FAILURE_THRESHOLD, Figures, Rules
from gateway.policy.breaker_store import Judged, Move, State
from gateway.policy.window import Tally
from gateway.proxy.inspect.status import standing
from gateway.upstream.upstream import Upstream

Verdict = tuple[str, str, str]
"""What becomes of a request: the word of an explanation, the code of the reason, and a sentence."""


def breaker_view(breaker: Breaker, now: float, epoch: float, *, whole: bool = False) -> BreakerView:
    """``now`` is on the monotonic clock; ``epoch``: what the wall clock is ahead of that. ``whole``: it judges all
    endpoints together."""
    left, tally = breaker.until_probe(), breaker.tally
    return {
        "mode": "shadow" if breaker.shadow else "enforce",
        "scope": "upstream" if whole else "endpoint",
        "state": breaker.state.api_word,
        "since": breaker.since + epoch,
        "failures": breaker.failures,
        "failure_threshold": breaker.failure_threshold,
        "recovery_timeout": breaker.recovery_timeout,
        "half_open_requests": breaker.half_open_requests,
        "probes": breaker.probes,
        "next_probe": now + left + epoch if breaker.state is State.OPEN else 0.0,
        "outcomes": [_outcome(judged, epoch) for judged in breaker.outcomes],
        "moves": [_move(move, epoch, _judged_by(breaker.rules)) for move in breaker.moves],
        "window": _window(breaker.rules, tally),
        "callers": _callers(breaker.rules, tally),
    }


def verdict_at_the_endpoints(upstream: Upstream, notes: list[str]) -> Verdict | None:
    """What its breakers and the choice of an endpoint do with a request, in the order of the pipeline; None: it goes to
    an endpoint. What a breaker does not do because of its shadow mode is added to ``notes``.
    """
    own, best, count = upstream.breaker, upstream.best, len(upstream.endpoints)
    found: Verdict | None = None
    if own is not None:
        whole = f"; it is the breaker of the upstream, which judges its {count} endpoints together" if count > 1 else ""
        found = _enforced(own, _fence(own), whole, notes)
    if found is not None and found[0] == "refuse":
        return found
    if (blocked := _unusable(upstream)) is not None:
        return blocked
    if best is not None:
        # It is the one of them that is closest to closed.
        others = _all_keep_away(upstream) if count > 1 else ""
        inner = _enforced(best, _fence(best), others, notes)
        if inner is not None and (found is None or inner[0] == "refuse"):
            return inner
    return found


def _enforced(breaker: Breaker, verdict: Verdict, others: str, notes: list[str]) -> Verdict | None:
    """``verdict`` where it is enforced. ``others``: what is said of a rejection besides."""
    word, reason, sentence = verdict
    if word == "admit":
        return None
    if word == "refuse":
        sentence += others
    if breaker.shadow:
        notes.append(f"without the breaker's shadow mode: {sentence}")
        return None
    return word, reason, sentence


def _all_keep_away(upstream: Upstream) -> str:
    """What stands behind the verdict of one breaker, where those of other endpoints reject too."""
    total = len(upstream.endpoints)
    eligible = total if upstream.group is None else len(upstream.group.eligible)
    if eligible == total:
        return f"; the breakers of all {total} endpoints keep requests away"
    found = Counter(standing(endpoint.member) for endpoint in upstream.endpoints)
    why = ", ".join(f"{count} {state}" for state, count in found.items())
    return f"; of {total} endpoints, {why}, and the breakers of those that may be used keep requests away"


def _unusable(upstream: Upstream) -> Verdict | None:
    """The verdict where no endpoint may be chosen."""
    if upstream.group is None or upstream.group.usable:
        return None
    found = Counter(standing(endpoint.member) for endpoint in upstream.endpoints)
    why = ", ".join(f"{count} {state}" for state, count in found.items())
    sentence = f"a request would be refused (503 no_healthy_endpoint): of {len(upstream.endpoints)} endpoints, {why}"
    return "refuse", "no_healthy_endpoint", sentence


def _fence(breaker: Breaker) -> Verdict:
    if breaker.state is State.OPEN:
        left = breaker.until_probe()
        if left:
            refused = f"a request would be refused (503 breaker_open) for {left:.1f} s more{opened_by(breaker)}"
            return "refuse", "breaker_open", refused
        return "probe", "", "a request would be forwarded as a probe: the recovery time is over"
    if breaker.state is State.HALF_OPEN:
        if breaker.probes >= breaker.half_open_requests:
            inside = f"{breaker.probes} of {breaker.half_open_requests} probes are inside"
            return "refuse", "breaker_open", f"a request would be refused (503 breaker_open) while {inside}"
        return "probe", "", "a request would be forwarded as a probe: the breaker is half-open"
    return "admit", "", ""


def opened_by(breaker: Breaker) -> str:
    """The rule that opened it, when it was none of its probes."""
    moves = breaker.moves
    figures = moves[-1].figures if moves else None
    return "" if figures is None else f": {_in_words(moves[-1].cause, figures, _judged_by(breaker.rules))}"


def _judged_by(rules: Rules) -> str:
    """Of what several have to fail."""
    return "endpoints" if rules.of_endpoints else "callers"


def _in_words(rule: str, by: Figures, of: str) -> str:
    """By which figures ``rule`` opened the breaker, as in ``12 of 20 attempts failed in the last 30 s, rule
    failure_rate 0.5``. ``of``: as `_judged_by`."""
    callers = f" ({by.callers} {of})" if by.callers else ""
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
        "of": _judged_by(rules),
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


def _move(move: Move, epoch: float, of: str) -> MoveView:
    shown: MoveView = {
        "at": move.at + epoch,
        "old": move.old.api_word,
        "new": move.new.api_word,
        "cause": move.cause,
        "by": move.by,
        "outcomes": [_outcome(judged, epoch) for judged in move.outcomes],
    }
    if move.figures is not None:
        shown["figures"] = _in_words(move.cause, move.figures, of)
    return shown
