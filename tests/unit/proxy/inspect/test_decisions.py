from __future__ import annotations

import pytest

from gateway.config import records
from gateway.policy.adaptive import Adaptive
from gateway.policy.learned import Decision, Learned
from gateway.policy.lessons import Bounds
from gateway.policy.limiter import Limiter
from gateway.proxy.inspect.decisions import adaptive_view

EPOCH = 1_700_000_000.0


def decision(cause: str, old: int = 10, new: int = 8) -> Decision:
    return Decision(5.0, old, new, cause, 10, 8, 2, 9.0, 3.0, 1.0, 0.2, 0.268, 8.0)


WHY = {
    "probe": "the limit was used up, and responses began within 0.268 s",
    "late": "8 of 10 responses had begun, 2 were late (after 0.268 s), and the upstream worked on 8.0 at a time",
    "dropped": "10 % of the newest requests got 429 or 503, or no response in time",
    "relearn": "8 of 10 responses had begun, and later than usual for long: what is usual is measured again",
    "bounds": "the configuration has other bounds",
}


@pytest.mark.parametrize("cause", WHY)
def test_each_decision_has_its_figures_and_a_sentence(cause: str) -> None:
    adaptive = Adaptive(Limiter(4), Bounds(4, 1, 8))
    adaptive.store.write(Learned(limit=8, samples=[0.1, 0.3], decisions=[decision(cause)]), 0.4)
    told = adaptive_view(adaptive, records.Adaptive(4, 1, 8, "first_event"), EPOCH)
    assert (told["limit"], told["min"], told["max"], told["signal"]) == (8, 1, 8, "first_event")
    assert (told["usual"], told["bound"]) == (pytest.approx(0.2), 0.4)
    assert told["decisions"] == [
        {
            "at": EPOCH + 5.0,
            "old": 10,
            "new": 8,
            "cause": cause,
            "why": WHY[cause],
            "sent": 10,
            "begun": 8,
            "overdue": 2,
            "usual": 0.2,
            "bound": 0.268,
            "busy": 8.0,
        }
    ]


def test_before_the_first_response_nothing_is_known() -> None:
    adaptive = Adaptive(Limiter(4), Bounds(4, 1, 8))
    told = adaptive_view(adaptive, records.Adaptive(), EPOCH)
    assert (told["limit"], told["usual"], told["bound"], told["decisions"]) == (0, 0.0, 0.0, [])
