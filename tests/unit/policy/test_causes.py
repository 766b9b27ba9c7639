from __future__ import annotations

import pytest

from gateway.core.fallback import CAUSES, STATUS
from gateway.errors import REASONS
from gateway.policy.causes import CAUSE_OF, Causes


def test_the_table_has_known_words_and_reasons_and_each_word_stands_for_some() -> None:
    assert set(CAUSE_OF.values()) == set(CAUSES) - {STATUS}
    assert CAUSE_OF.keys() <= REASONS.keys()


@pytest.mark.parametrize(("code", "word"), CAUSE_OF.items())
def test_a_reason_counts_where_its_word_is_listed(code: str, word: str) -> None:
    assert Causes([word]).word_for(code) == word
    assert Causes([other for other in CAUSES if other != word]).word_for(code) == ""


@pytest.mark.parametrize("code", ["client_gone", "template_missing", "upstream_denied", "local_resources", "draining"])
def test_what_is_not_the_upstream_s_doing_is_in_no_list(code: str) -> None:
    assert Causes(CAUSES).word_for(code) == ""


def test_statuses_are_listed_by_ranges() -> None:
    causes = Causes((), [(429, 429), (500, 502)])
    assert [status for status in range(200, 600) if causes.lists(status)] == [429, 500, 501, 502]
    assert causes.lists_statuses
    assert not Causes(["connect"]).lists_statuses
