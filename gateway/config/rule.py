"""Access rules: a small language, parsed once, that says who is let in.

    rule    = any
    any     = all *( "||" all )
    all     = unit *( "&&" unit )
    unit    = "(" any ")" / "true" / "false" / operand ( "=" / "!=" ) operand
    operand = "@request.auth." name / "@request.headers." name / "@request.method" / "@request.path"
            / "'" text "'" / DQUOTE text DQUOTE / number / "true" / "false" / "null"

Comparing is strict: text equals text, a number a number, a boolean a boolean, and nothing else. Whatever is not there
is null, and null equals the empty text too, so that ``@request.auth.id = ''`` says "nobody logged in". A list or an
object among the claims equals nothing.

``@request.path`` is the path as it was sent, without the query: a rule that must hold for all spellings of a path
belongs to a proxy of its own, whose prefix is matched on the same bytes. A header that stands more than once is all its
values joined by ", ", so that no single one of them decides. What callers could claim about the way they came,
X-Forwarded-* and Forwarded, can not be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway.core.principal import Principal

_MAX_LENGTH: Final = 2000
_MAX_DEPTH: Final = 32

Value = str | int | float | bool | None


class Head(Protocol):
    """What a rule reads of a request's head: `gateway.core.message.RequestHead`."""

    method: bytes
    target: bytes
    fields: list[bytes]
    known: dict[bytes, bytes]


Rule = Callable[[Principal | None, Head], bool]
"""Whether this caller may make this request."""

_Operand = Callable[[Principal | None, Head], object]


class RuleError(ValueError):
    """A text that is no rule: what is wrong at which character, counted from 1, and how to mend it."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(f"at character {at + 1}: {message}")
        self.at = at


class _Constant(NamedTuple):
    value: Value


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<reference>@[A-Za-z_][\w.\-]*)
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>\|\||&&|!=|=|\(|\))
    )""",
    re.VERBOSE | re.ASCII,
)
_BLANKS: Final = " \t\n\r\f\v"
"""What may stand between tokens. `str.strip` takes more away: a no-break space would be blamed on its neighbour."""
_WORDS: Final[dict[str, Value]] = {"true": True, "false": False, "null": None}
_HEADER = re.compile(r"[A-Za-z0-9_\-]+")
_CLAIM = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_NOT_BELIEVED = re.compile(r"x-forwarded-.*|forwarded|x-real-ip")


def compile_rule(text: str) -> Rule:
    """The rule in ``text``. Raises `RuleError`."""
    if len(text) > _MAX_LENGTH:
        raise RuleError(_MAX_LENGTH, f"a rule has at most {_MAX_LENGTH} characters; shorten it")
    parser = _Parser(text)
    rule = parser.any(0)
    parser.end()
    return rule


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def any(self, depth: int) -> Rule:
        parts = [self._all(depth)]
        while self._takes("||"):
            parts.append(self._all(depth))
        return _any_of(parts)

    def end(self) -> None:
        token = self._peek()
        if token.kind != "end":
            raise RuleError(token.at, f"did not expect {_shown(token)}; join comparisons with && or ||")

    def _all(self, depth: int) -> Rule:
        parts = [self._unit(depth)]
        while self._takes("&&"):
            parts.append(self._unit(depth))
        return _all_of(parts)

    def _unit(self, depth: int) -> Rule:
        token = self._peek()
        if token.text == "(" and token.kind == "sign":
            if depth >= _MAX_DEPTH:
                raise RuleError(token.at, f"brackets lie more than {_MAX_DEPTH} deep; take some away")
            self._next += 1
            inner = self.any(depth + 1)
            if not self._takes(")"):
                raise RuleError(token.at, "this bracket is not closed; add )")
            return inner
        left = self._operand()
        sign = self._peek()
        if sign.kind != "sign" or sign.text not in ("=", "!="):
            if token.kind == "word" and token.text in ("true", "false"):
                return _always if token.text == "true" else _never
            raise RuleError(sign.at, f"expected = or != instead of {_shown(sign)}; compare with something")
        self._next += 1
        if self._takes("="):
            raise RuleError(sign.at, "there is no operator ==; write =")
        right = self._operand()
        rule = _equal(left, right)
        return rule if sign.text == "=" else _not(rule)

    def _operand(self) -> _Operand | _Constant:
        token = self._peek()
        self._next += 1
        if token.kind == "reference":
            return _reference(token)
        if token.kind == "text":
            return _Constant(token.text[1:-1] or None)
        if token.kind == "number":
            return _Constant(_number(float(token.text) if "." in token.text else int(token.text)))
        if token.kind == "word" and token.text in _WORDS:
            return _Constant(_WORDS[token.text])
        self._next -= 1
        if token.kind == "word":
            raise RuleError(token.at, f"{token.text} is not known; put text in quotes: '{token.text}'")
        raise RuleError(token.at, f"expected a field or a value instead of {_shown(token)}")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _takes(self, sign: str) -> bool:
        token = self._peek()
        if token.kind != "sign" or token.text != sign:
            return False
        self._next += 1
        return True


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            at = position + len(text[position:]) - len(text[position:].lstrip(_BLANKS))
            raise RuleError(at, _complaint(text[at : at + 2]))
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*found, _Token("end", "", end)]


def _complaint(text: str) -> str:
    if text[0] in "'\"":
        return "this quote is not closed; add the second one"
    if text[0] in "&|":
        return f"{text[0]} stands alone; write {text[0] * 2}"
    if text[0] in "!<>~?":
        return f"there is no operator {text.strip()}; there are =, !=, && and ||"
    return f"{text[0]!a} has no meaning here; put text in quotes"


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else token.text


def _reference(token: _Token) -> _Operand:
    name = token.text
    if name == "@request.method":
        return lambda principal, head: head.method.decode("latin-1")
    if name == "@request.path":
        return lambda principal, head: head.target.partition(b"?")[0].decode("latin-1")
    if name.startswith("@request.auth.") and _CLAIM.fullmatch(name[14:]):
        return _claim(tuple(name[14:].split(".")))
    if name.startswith("@request.headers.") and _HEADER.fullmatch(name[17:]):
        header = name[17:].lower().replace("_", "-")
        if _NOT_BELIEVED.fullmatch(header):
            raise RuleError(token.at, f"callers may claim anything in {header}; no rule may rest on it")
        return _header(header.encode())
    raise RuleError(
        token.at,
        f"there is no field {name}; there are @request.auth.NAME, @request.headers.NAME, @request.method and "
        "@request.path",
    )


def _claim(path: tuple[str, ...]) -> _Operand:
    if len(path) == 1:
        name = path[0]

        def read(principal: Principal | None, head: Head) -> object:
            value = None if principal is None else principal.claims.get(name)
            return value if type(value) is str and value else _plain(value)

        return read

    first, rest = path[0], path[1:]

    def deep(principal: Principal | None, head: Head) -> object:
        value: object = None if principal is None else principal.claims.get(first)
        for key in rest:
            value = value.get(key) if isinstance(value, dict) else None
        return _plain(value)

    return deep


def _header(name: bytes) -> _Operand:
    size = len(name)

    def read(principal: Principal | None, head: Head) -> object:
        values = []
        travels = False
        for line in head.fields:
            if line.find(b":") == size and (spelt := line[:size].lower()).replace(b"_", b"-") == name:
                values.append(line[size + 1 :].strip(b" \t"))
                travels = travels or spelt == name
        # What the gateway keeps for itself is not among the lines that travel on; another spelling of it may be.
        if not travels and name in head.known:
            values.append(head.known[name])
        return b", ".join(values).decode("latin-1") or None

    return read


def _plain(value: object) -> object:
    """A claim as rules compare it: 3.0 is 3, the empty text is null."""
    if isinstance(value, float):
        return _number(value)
    return None if value == "" else value


def _number(value: float) -> float:
    """Whole numbers as int, exact at any size: as floats, two identities beyond 2**53 could be the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b and not isinstance(a, dict | list)


def _equal(left: _Operand | _Constant, right: _Operand | _Constant) -> Rule:
    if isinstance(left, _Constant):
        left, right = right, left
    if isinstance(left, _Constant):
        assert isinstance(right, _Constant)
        return _always if _same(left.value, right.value) else _never
    if not isinstance(right, _Constant):
        one, other = left, right
        return lambda principal, head: _same(one(principal, head), other(principal, head))
    read, value, kind = left, right.value, type(right.value)

    def equals(principal: Principal | None, head: Head) -> bool:
        found = read(principal, head)
        return type(found) is kind and found == value

    return equals


def _not(rule: Rule) -> Rule:
    return lambda principal, head: not rule(principal, head)


def _all_of(parts: list[Rule]) -> Rule:
    """The first and the rest, folded into pairs: a generator would cost more than the comparisons."""
    if len(parts) == 1:
        return parts[0]
    first, rest = parts[0], _all_of(parts[1:])
    return lambda principal, head: first(principal, head) and rest(principal, head)


def _any_of(parts: list[Rule]) -> Rule:
    if len(parts) == 1:
        return parts[0]
    first, rest = parts[0], _any_of(parts[1:])
    return lambda principal, head: first(principal, head) or rest(principal, head)


def _always(principal: Principal | None, head: Head) -> bool:
    return True


def _never(principal: Principal | None, head: Head) -> bool:
    return False
