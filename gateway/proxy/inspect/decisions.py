"""Why an adaptive limit stands where it stands: its newest decisions, each with its figures and in a sentence."""

from __future__ import annotations

from gateway.config import records
from gateway.ipc.explanation import AdaptiveView, DecisionView
from gateway.policy.adaptive import Adaptive
from gateway.policy.learned import Decision
from gateway.policy.lessons import usual_of


def adaptive_view(adaptive: Adaptive, settings: records.Adaptive, epoch: float) -> AdaptiveView:
    """``epoch``: what the wall clock is ahead of the monotonic one."""
    learned, bound = adaptive.store.read(), adaptive.store.bound
    return {
        "limit": learned.limit,
        "min": settings.min,
        "max": settings.max,
        "signal": settings.signal,
        "usual": usual_of(learned),
        "bound": bound if learned.samples else 0.0,
        "decisions": [_decision(decision, epoch) for decision in learned.decisions],
    }


def _decision(decision: Decision, epoch: float) -> DecisionView:
    return {
        "at": decision.at + epoch,
        "old": decision.old,
        "new": decision.new,
        "cause": decision.cause,
        "why": _why(decision),
        "sent": decision.sent,
        "begun": decision.begun,
        "overdue": decision.overdue,
        "usual": decision.usual,
        "bound": decision.bound,
        "busy": decision.busy,
    }


def _why(decision: Decision) -> str:
    at_work = f"{decision.begun} of {decision.sent} responses had begun"
    match decision.cause:
        case "probe":
            return f"the limit was used up, and responses began within {decision.bound:.3g} s"
        case "late":
            waits = f"{decision.overdue} were late (after {decision.bound:.3g} s)"
            return f"{at_work}, {waits}, and the upstream worked on {decision.busy:.1f} at a time"
        case "dropped":
            share = 100 * decision.dropped / max(1.0, decision.timely + decision.dropped)
            return f"{share:.0f} % of the newest requests got 429 or 503, or no response in time"
        case "relearn":
            return f"{at_work}, and later than usual for long: what is usual is measured again"
        case _:
            return "the configuration has other bounds"
