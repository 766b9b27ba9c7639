from __future__ import annotations

import pytest

from gateway.core.hedge import LOST, RESULTS, WON, Hedge


@pytest.mark.parametrize(("sent", "won", "result"), [(False, False, ""), (True, False, LOST), (True, True, WON)])
def test_there_is_a_result_when_a_second_attempt_was_made(sent: bool, won: bool, result: str) -> None:
    hedge = Hedge()
    hedge.sent, hedge.won = sent, won
    assert hedge.result == result
    assert result in ("", *RESULTS)
