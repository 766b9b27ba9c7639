"""Access rules: a small language, parsed once, that says who is let in.

    rule    = any
    any     = all *( "||" all )
    all     = unit *( "&&" unit )
    unit    = "(" any ")" / "true" / "false" / operand ( "=" / "!=" ) operand
            / operand [ "not" ] "in" "@request.auth." name
    operand = "@request.auth." name / "@request.headers." name / "@request.method" / "@request.path"
            / "'" text "'" / DQUOTE text DQUOTE / number / "true" / "false" / "null"

Comparing is strict: text equals text, a number a number, a boolean a boolean, and nothing else. Whatever is not there
is null, and null equals the empty text too, so that ``@request.auth.id = ''`` says "nobody logged in". A list or an
object among the claims equals nothing. ``in`` is for lists: it is true when one member equals what stands on the left,
and false when the claim is no list; nothing that is null is a member.

``@request.method`` is compared without regard to case. ``@request.headers.host`` is compared as the router compares
hosts: case and a dot at the end do not count, text forms of an IPv6 address are equal, and the port counts only when
the other side names one.

``@request.path`` is the path as it was sent, without the query. When a back end may read another path in it
(`gateway.core.path`) and the verdict would be another one for that path, `gateway.identity.access` rejects the
request.

A header that stands more than once is all its values joined by ", ", so that no single one of them decides. What
callers could claim about the way they came (`gateway.core.forwarded`) can not be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway.core import forwarded, host
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

_Read = Callable[[Principal | None, Head], object]
_Same = Callable[[object, object], bool]


class RuleError(ValueError):
    """A text that is no rule: what is wrong at which character, counted from 1, and how to mend it."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(f"at character {at + 1}: {message}")
        self.at = at


class _Constant(NamedTuple):
    value: Value


class _Field(NamedTuple):
    read: _Read
    kind: str = ""
    """``claim``, ``method`` or ``host``; empty for those that are compared like any text."""


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


def compile_rule(text: str) -> Rule:
    """The rule in ``text``. Raises `RuleError`."""
    if len(text) > _MAX_LENGTH:
        raise RuleError(_MAX_LENGTH, f"a rule has at most {_MAX_LENGTH} characters; shorten it")
    parser = _Parser(text)
    rule = parser.any(0)
    parser.end()
    return rule


def asks_path(text: str) -> bool:
    """Whether the rule in ``text`` depends on ``@request.path``. Raises `RuleError`."""
    return any(token.text == "@request.path" for token in _tokens(text))


def paths_in(text: str) -> list[str]:
    """The texts that the rule compares with ``@request.path``. Raises `RuleError`."""
    tokens = _tokens(text)
    found = []
    for left, sign, right in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if sign.text in ("=", "!=") and "@request.path" in (left.text, right.text):
            found += [token.text[1:-1] for token in (left, right) if token.kind == "text"]
    return found


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
        if sign.kind == "word" and sign.text in ("in", "not"):
            return self._member(left)
        if sign.kind != "sign" or sign.text not in ("=", "!="):
            if token.kind == "word" and token.text in ("true", "false"):
                return _always if token.text == "true" else _never
            raise RuleError(
                sign.at,
                f"expected = or != instead of {_shown(sign)}; compare with something, or write "
                "'TEXT' in @request.auth.NAME for a list",
            )
        self._next += 1
        if self._takes("="):
            raise RuleError(sign.at, "there is no operator ==; write =")
        right = self._operand()
        rule = _equal(left, right)
        return rule if sign.text == "=" else _not(rule)

    def _member(self, left: _Field | _Constant) -> Rule:
        negated = self._takes("not")
        word = self._peek()
        if not self._takes("in"):
            raise RuleError(word.at, f"expected in instead of {_shown(word)}; write not in")
        token = self._peek()
        right = self._operand()
        if isinstance(right, _Constant) or right.kind != "claim":
            raise RuleError(token.at, "behind in stands a list of the caller's; write @request.auth.NAME")
        rule = _among(left, right)
        return _not(rule) if negated else rule

    def _operand(self) -> _Field | _Constant:
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
        if token.kind not in ("sign", "word") or token.text != sign:
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
        return f"there is no operator {text.strip()}; there are =, !=, in, not in, && and ||"
    return f"{text[0]!a} has no meaning here; put text in quotes"


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else token.text


def _reference(token: _Token) -> _Field:
    name = token.text
    if name == "@request.method":
        return _Field(lambda principal, head: head.method.decode("latin-1"), "method")
    if name == "@request.path":
        return _Field(lambda principal, head: head.target.partition(b"?")[0].decode("latin-1"))
    if name.startswith("@request.auth.") and _CLAIM.fullmatch(name[14:]):
        return _Field(_claim(tuple(name[14:].split("."))), "claim")
    if name.startswith("@request.headers.") and _HEADER.fullmatch(name[17:]):
        header = name[17:].lower().replace("_", "-")
        if forwarded.is_claim(header.encode()):
            raise RuleError(token.at, f"callers may claim anything in {header}; no rule may rest on it")
        return _Field(_header(header.encode()), "host" if header == "host" else "")
    raise RuleError(
        token.at,
        f"there is no field {name}; there are @request.auth.NAME, @request.headers.NAME, @request.method and "
        "@request.path",
    )


def _claim(path: tuple[str, ...]) -> _Read:
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


def _header(name: bytes) -> _Read:
    size = len(name)

    def read(principal: Principal | None, head: Head) -> object:
        values = []
        travels = False
        for line in head.fields:
            if line.find(b":") == size and forwarded.folded(line[:size]) == name:
                values.append(line[size + 1 :].strip(b" \t"))
                travels = travels or line[:size].lower() == name
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


def _same_method(a: object, b: object) -> bool:
    return isinstance(a, str) and isinstance(b, str) and a.upper() == b.upper()


def _same_host(sent: object, text: object) -> bool:
    """``sent``: the Host of the request."""
    if not isinstance(sent, str) or not isinstance(text, str):
        return sent is None and text is None
    port, wanted = host.split_port(sent.encode("latin-1"))[1], host.split_port(_bracketed(text))[1]
    return (not wanted or port == wanted) and _host_name(sent) == _host_name(text)


def _host_name(text: str) -> bytes:
    return host.normal_host(_bracketed(text))


def _bracketed(text: str) -> bytes:
    """An IPv6 address may stand in a rule without its brackets, as in ``hosts``."""
    text = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    return text.encode("utf-8")


def _sameness(left: _Field | _Constant, right: _Field | _Constant) -> _Same:
    kinds = [operand.kind if isinstance(operand, _Field) else "" for operand in (left, right)]
    if kinds[0] == "host":
        return _same_host
    if kinds[1] == "host":
        return lambda a, b: _same_host(b, a)
    return _same_method if "method" in kinds else _same


def _equal(left: _Field | _Constant, right: _Field | _Constant) -> Rule:
    if isinstance(left, _Constant):
        left, right = right, left
    same = _sameness(left, right)
    if isinstance(left, _Constant):
        assert isinstance(right, _Constant)
        return _always if _same(left.value, right.value) else _never
    read = left.read
    if not isinstance(right, _Constant):
        other = right.read
        return lambda principal, head: same(read(principal, head), other(principal, head))
    value, kind = right.value, type(right.value)
    if same is not _same:
        return lambda principal, head: same(read(principal, head), value)

    def equals(principal: Principal | None, head: Head) -> bool:
        found = read(principal, head)
        return type(found) is kind and found == value

    return equals


def _among(left: _Field | _Constant, right: _Field) -> Rule:
    same, read_list = _sameness(left, right), right.read
    constant = left.value if isinstance(left, _Constant) else None
    read_one = left.read if isinstance(left, _Field) else None

    def among(principal: Principal | None, head: Head) -> bool:
        members = read_list(principal, head)
        value = constant if read_one is None else read_one(principal, head)
        if value is None or not isinstance(members, list):
            return False
        return any(same(value, _plain(member)) for member in members)

    return among


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
