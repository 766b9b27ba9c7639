"""Access rules: a small language, parsed once, that says which callers are admitted.

    rule    = any
    any     = all *( "||" all )
    all     = unit *( "&&" unit )
    unit    = "(" any ")" / "true" / "false" / operand ( "=" / "!=" ) operand
            / operand [ "not" ] "in" ( "@request.auth." name / "@request.tls.san" )
    operand = "@request.auth." name / "@request.headers." name / "@request.method" / "@request.path"
            / "@request.tls." ( "subject" / "san" / "fingerprint" )
            / "'" text "'" / DQUOTE text DQUOTE / number / "true" / "false" / "null"

Comparing is strict: text equals text, a number a number, a boolean a boolean, and nothing else. Whatever is not there
is null, and null equals the empty text too, so that ``@request.auth.id = ''`` means "not logged in". A list or an
object among the claims equals nothing. ``in`` is for lists: it is true when one member equals what stands on the left,
and false when the claim is no list; nothing that is null is a member.

``@request.method`` is compared without regard to case. ``@request.headers.host`` is compared as the router compares
hosts: case and a dot at the end do not count, text forms of an IPv6 address are equal, and the port counts only when
the other side names one.

``@request.path`` is the path as it was sent, without the query. When a back end may read another path in it
(`gateway.core.path`) and the verdict would be another one for that path, `gateway.identity.access` rejects the
request.

``@request.tls`` is the certificate that the caller has shown to a listener with ``client_auth``: its subject as RFC
4514 writes it, the list of its alternative names, and the SHA-256 of its DER form in lower-case hex digits. Without a
certificate all three are null.

A header that stands more than once is all its values joined by ", ", so that no single one of them decides. What
callers could claim about the way they came (`gateway.core.forwarded`) cannot be compared.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.core import forwarded
from gateway.rules import evaluate
from gateway.rules.evaluate import Constant, Field, Rule, Value
from gateway.rules.tokens import RuleError, Token, shown, tokens

_MAX_LENGTH: Final = 2000
_MAX_DEPTH: Final = 32

_WORDS: Final[dict[str, Value]] = {"true": True, "false": False, "null": None}
_TLS: Final = "@request.tls."
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
    return any(token.text == "@request.path" for token in tokens(text))


def asks_certificate(text: str) -> bool:
    """Whether the rule in ``text`` depends on ``@request.tls``. Raises `RuleError`."""
    return any(token.kind == "reference" and token.text.startswith(_TLS) for token in tokens(text))


def paths_in(text: str) -> list[str]:
    """The texts that the rule compares with ``@request.path``. Raises `RuleError`."""
    words = tokens(text)
    found = []
    for left, sign, right in zip(words, words[1:], words[2:], strict=False):
        if sign.text in ("=", "!=") and "@request.path" in (left.text, right.text):
            found += [token.text[1:-1] for token in (left, right) if token.kind == "text"]
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._next = 0

    def any(self, depth: int) -> Rule:
        parts = [self._all(depth)]
        while self._takes("||"):
            parts.append(self._all(depth))
        return evaluate.any_of(parts)

    def end(self) -> None:
        token = self._peek()
        if token.kind != "end":
            raise RuleError(token.at, f"did not expect {shown(token)}; join comparisons with && or ||")

    def _all(self, depth: int) -> Rule:
        parts = [self._unit(depth)]
        while self._takes("&&"):
            parts.append(self._unit(depth))
        return evaluate.all_of(parts)

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
                return evaluate.always if token.text == "true" else evaluate.never
            raise RuleError(
                sign.at,
                f"expected = or != instead of {shown(sign)}; compare with something, or write "
                "'TEXT' in @request.auth.NAME for a list",
            )
        self._next += 1
        if self._takes("="):
            raise RuleError(sign.at, "there is no operator ==; write =")
        right = self._operand()
        rule = evaluate.equal(left, right)
        return rule if sign.text == "=" else evaluate.negated(rule)

    def _member(self, left: Field | Constant) -> Rule:
        negated = self._takes("not")
        word = self._peek()
        if not self._takes("in"):
            raise RuleError(word.at, f"expected in instead of {shown(word)}; write not in")
        token = self._peek()
        right = self._operand()
        if isinstance(right, Constant) or right.kind not in ("claim", "names"):
            raise RuleError(
                token.at, "behind in stands a list of the caller's; write @request.auth.NAME or @request.tls.san"
            )
        rule = evaluate.member(left, right)
        return evaluate.negated(rule) if negated else rule

    def _operand(self) -> Field | Constant:
        token = self._peek()
        self._next += 1
        if token.kind == "reference":
            return _reference(token)
        if token.kind == "text":
            return Constant(token.text[1:-1] or None)
        if token.kind == "number":
            return Constant(evaluate.number(float(token.text) if "." in token.text else int(token.text)))
        if token.kind == "word" and token.text in _WORDS:
            return Constant(_WORDS[token.text])
        self._next -= 1
        if token.kind == "word":
            raise RuleError(token.at, f"{token.text} is not known; put text in quotes: '{token.text}'")
        raise RuleError(token.at, f"expected a field or a value instead of {shown(token)}")

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _takes(self, sign: str) -> bool:
        token = self._peek()
        if token.kind not in ("sign", "word") or token.text != sign:
            return False
        self._next += 1
        return True


def _reference(token: Token) -> Field:
    name = token.text
    if name == "@request.method":
        return Field(lambda principal, head: head.method.decode("latin-1"), "method")
    if name == "@request.path":
        return Field(lambda principal, head: head.target.partition(b"?")[0].decode("latin-1"))
    if name.startswith("@request.auth.") and _CLAIM.fullmatch(name[14:]):
        return Field(evaluate.claim(tuple(name[14:].split("."))), "claim")
    if name.startswith(_TLS) and name[13:] in ("subject", "san", "fingerprint"):
        return Field(evaluate.certificate(name[13:]), "names" if name[13:] == "san" else "")
    if name.startswith("@request.headers.") and _HEADER.fullmatch(name[17:]):
        header = name[17:].lower().replace("_", "-")
        if forwarded.is_claim(header.encode()):
            raise RuleError(token.at, f"callers may claim anything in {header}; no rule may rest on it")
        return Field(evaluate.header(header.encode()), "host" if header == "host" else "")
    raise RuleError(
        token.at,
        f"there is no field {name}; there are @request.auth.NAME, @request.headers.NAME, @request.method, "
        "@request.path, @request.tls.subject, @request.tls.san and @request.tls.fingerprint",
    )
