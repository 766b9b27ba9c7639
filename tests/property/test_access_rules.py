"""Access rules against a plain evaluator, and against any text whatever."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.message import RequestHead
from gateway.core.principal import Principal
from gateway.rules.parser import compile_rule
from gateway.rules.tokens import RuleError

HEAD = RequestHead(b"GET", b"/p?q", 1, [b"X-A: 1", b"X-D: 1", b"x_d: u"], {}, 0, True)
CALLER = Principal(
    "u", "jwt", claims={"id": "u", "n": 3, "t": True, "e": "", "l": ["u"], "m": ["x", 3, True], "o": {"k": "v"}}
)
LIST = ["u"]
MIXED = ["x", 3.0, True]
"""Lists equal nothing, themselves included."""
OF_CALLER: dict[str, object] = {
    "@request.auth.id": "u",
    "@request.auth.n": 3.0,
    "@request.auth.t": True,
    "@request.auth.e": None,
    "@request.auth.l": LIST,
    "@request.auth.m": MIXED,
    "@request.auth.none": None,
    "@request.auth.o.k": "v",
    "@request.auth.id.k": None,
}
OF_REQUEST: dict[str, object] = {
    "@request.method": "GET",
    "@request.path": "/p",
    "@request.headers.x_a": "1",
    "@request.headers.X-A": "1",
    "@request.headers.x_b": None,
    "@request.headers.x-d": "1, u",
}
CONSTANTS: dict[str, object] = {
    "'get'": "get",
    "'u'": "u",
    "1": 1.0,
    "0": 0.0,
    "3": 3.0,
    "3.0": 3.0,
    "-3": -3.0,
    "true": True,
    "false": False,
    "null": None,
    "''": None,
    '"1"': "1",
    "'1, u'": "1, u",
    '"|| true"': "|| true",
}


@dataclass(frozen=True)
class Comparison:
    left: str
    sign: str
    right: str


@dataclass(frozen=True)
class Joined:
    sign: str
    parts: tuple[Expression, ...]


Expression = bool | Comparison | Joined


def worth(expression: Expression, logged_in: bool) -> bool:
    """What the text of the language says, with nothing clever in it."""
    if isinstance(expression, bool):
        return expression
    if isinstance(expression, Joined):
        values = [worth(part, logged_in) for part in expression.parts]
        return all(values) if expression.sign == "&&" else any(values)
    known = CONSTANTS | OF_REQUEST | {name: value if logged_in else None for name, value in OF_CALLER.items()}
    left, right = known[expression.left], known[expression.right]
    if "in" in expression.sign:
        members = right if isinstance(right, list) else []
        among = left is not None and any(type(m) is type(left) and m == left for m in members)
        return among is (expression.sign == "in")
    if "@request.method" in (expression.left, expression.right):
        left, right = (v.upper() if isinstance(v, str) else v for v in (left, right))
    same = not isinstance(left, list) and type(left) is type(right) and left == right
    return same if expression.sign == "=" else not same


names = st.sampled_from([*OF_CALLER, *OF_REQUEST, *CONSTANTS])
comparisons = st.builds(Comparison, names, st.sampled_from(["=", "!="]), names) | st.builds(
    Comparison, names, st.sampled_from(["in", "not in"]), st.sampled_from(list(OF_CALLER))
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    st.booleans() | comparisons,
    lambda inner: st.builds(Joined, st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=4).map(tuple)),
    max_leaves=12,
)
blanks = st.sampled_from(["", "", " ", "  ", "\t", "\n", "\r\n \f\v"])


@st.composite
def texts(draw: st.DrawFn, expression: Expression) -> str:
    """One way to write it: blanks anywhere, brackets where they must stand and where they need not."""

    def written(one: Expression, within: str) -> str:
        if isinstance(one, bool):
            text = str(one).lower()
        elif isinstance(one, Comparison):
            text = draw(blanks).join([one.left, one.sign, one.right])
            if "in" in one.sign:
                text = f"{one.left} {one.sign} {one.right}"
        else:
            text = f"{draw(blanks)}{one.sign}{draw(blanks)}".join(written(part, one.sign) for part in one.parts)
        needed = isinstance(one, Joined) and one.sign == "||" and within == "&&"
        for _ in range(max(needed, draw(st.sampled_from([0, 0, 0, 1, 2])))):
            text = f"({draw(blanks)}{text}{draw(blanks)})"
        return text

    return draw(blanks) + written(expression, "") + draw(blanks)


written_expressions = expressions.flatmap(lambda expression: st.tuples(st.just(expression), texts(expression)))


@given(written_expressions, st.booleans())
def test_a_rule_is_worth_what_a_plain_evaluator_says(written: tuple[Expression, str], logged_in: bool) -> None:
    expression, text = written
    if len(text) <= 2000:
        assert compile_rule(text)(CALLER if logged_in else None, HEAD) is worth(expression, logged_in)


def is_a_rule_or_is_told_to_be_none(text: str) -> None:
    with contextlib.suppress(RuleError):
        rule = compile_rule(text)
        assert rule(None, HEAD) in (True, False)
        assert rule(CALLER, HEAD) in (True, False)


any_character = st.characters(exclude_categories=())
"""Lone surrogates included, in which bytes of a file may come."""


@given(st.text(any_character, max_size=80) | st.text(alphabet="@request.auh=!&|()'\" 1nu", max_size=60))
def test_any_text_is_a_rule_or_is_told_to_be_none(text: str) -> None:
    is_a_rule_or_is_told_to_be_none(text)


@given(
    written_expressions, st.integers(0, 200), st.integers(0, 3), st.text(any_character | st.sampled_from("()=!&|'\"@."))
)
def test_so_is_a_rule_with_a_piece_changed(written: tuple[Expression, str], at: int, gone: int, new: str) -> None:
    text = written[1]
    is_a_rule_or_is_told_to_be_none(text[:at] + new + text[at + gone :])


@given(st.text("()", max_size=80), st.text("1=&|() ", max_size=40))
def test_so_are_brackets_in_any_number(brackets: str, rest: str) -> None:
    is_a_rule_or_is_told_to_be_none(brackets + rest)
    is_a_rule_or_is_told_to_be_none("(" * len(brackets) + "true" + ")" * len(rest))


@given(st.text("0123456789.-", min_size=1, max_size=40), st.integers(1, 990))
def test_so_are_numbers_of_any_size(number: str, digits: int) -> None:
    is_a_rule_or_is_told_to_be_none(f"@request.auth.n = {number}")
    is_a_rule_or_is_told_to_be_none(f"{'9' * digits} = -{'9' * digits}.0")
