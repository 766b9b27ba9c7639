"""Access rules against a plain evaluator, and against any text whatever."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.rule import RuleError, compile_rule
from gateway.core.message import RequestHead
from gateway.core.principal import Principal

HEAD = RequestHead(b"GET", b"/p?q", 1, [b"X-A: 1"], {}, 0, True)
FIELDS: dict[str, object] = {
    "@request.auth.id": "u",
    "@request.auth.n": 3.0,
    "@request.auth.t": True,
    "@request.auth.none": None,
    "@request.auth.o.k": "v",
    "@request.method": "GET",
    "@request.path": "/p",
    "@request.headers.x_a": "1",
    "@request.headers.x_b": None,
}
CALLER = Principal("u", "jwt", claims={"id": "u", "n": 3, "t": True, "o": {"k": "v"}})
CONSTANTS: dict[str, object] = {
    "'u'": "u",
    "3": 3.0,
    "true": True,
    "false": False,
    "null": None,
    "''": None,
    '"1"': "1",
}


@dataclass(frozen=True)
class Text:
    """An expression as text, and what it is worth."""

    text: str
    worth: bool
    loose: bool = False
    """It has an || outside of brackets."""


operands = st.sampled_from([*FIELDS.items(), *CONSTANTS.items()])
blanks = st.sampled_from(["", " ", "  "])


@st.composite
def comparisons(draw: st.DrawFn) -> Text:
    (left, a), (right, b) = draw(operands), draw(operands)
    sign = draw(st.sampled_from(["=", "!="]))
    same = type(a) is type(b) and a == b
    text = f"{left}{draw(blanks)}{sign}{draw(blanks)}{right}"
    return Text(text, same if sign == "=" else not same)


def joined(inner: st.SearchStrategy[Text]) -> st.SearchStrategy[Text]:
    @st.composite
    def make(draw: st.DrawFn) -> Text:
        a, b = draw(inner), draw(inner)
        if draw(st.booleans()):
            return Text(f"{a.text}{draw(blanks)}||{draw(blanks)}{b.text}", a.worth or b.worth, True)
        left, right = (f"({x.text})" if x.loose or draw(st.booleans()) else x.text for x in (a, b))
        return Text(f"{left}{draw(blanks)}&&{draw(blanks)}{right}", a.worth and b.worth)

    return make()


@given(st.recursive(comparisons(), joined, max_leaves=12))
def test_a_rule_is_worth_what_a_plain_evaluator_says(expression: Text) -> None:
    if len(expression.text) <= 2000:
        assert compile_rule(expression.text)(CALLER, HEAD) is expression.worth


@given(st.text(max_size=80) | st.text(alphabet="@request.auh=!&|()'\" 1nu", max_size=60))
def test_any_text_is_a_rule_or_is_told_to_be_none(text: str) -> None:
    with contextlib.suppress(RuleError):
        assert compile_rule(text)(None, HEAD) in (True, False)
