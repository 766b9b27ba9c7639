"""What an access rule does with a request: reads fields of the caller and of the head, and compares them.

Comparing is strict: text equals text, a number a number, a boolean a boolean, and nothing else. Whatever is not there
is null, and null equals the empty text too. A list or an object among the claims equals nothing. ``in`` is for lists:
it is true when one member equals what stands on the left, and false when the claim is no list; nothing that is null is
a member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.core import forwarded, host
from gateway.core.peer import ClientCertificate
from gateway.core.principal import Principal

Value = str | int | float | bool | None


class Head(Protocol):
    """What a rule reads of a request's head: `gateway.core.message.RequestHead`."""

    method: bytes
    target: bytes
    fields: list[bytes]
    known: dict[bytes, bytes]


@dataclass(slots=True)
class CertifiedHead:
    """A request's head together with the certificate that its caller has shown."""

    method: bytes
    target: bytes
    fields: list[bytes]
    known: dict[bytes, bytes]
    certificate: ClientCertificate


Rule = Callable[[Principal | None, Head], bool]
"""Whether this caller may make this request."""

_Read = Callable[[Principal | None, Head], object]
_Same = Callable[[object, object], bool]


class Constant(NamedTuple):
    value: Value


class Field(NamedTuple):
    read: _Read
    kind: str = ""
    """``claim``, ``names``, ``method`` or ``host``; empty for those that are compared like any text."""


def claim(path: tuple[str, ...]) -> _Read:
    """Reads the claim at ``path``, which may lie within others."""
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


def header(name: bytes) -> _Read:
    """Reads a header field; one that stands more than once is all its values joined by ", "."""
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


def certificate(name: str) -> _Read:
    """Reads ``subject``, ``san`` (a list) or ``fingerprint`` of the caller's certificate."""

    def read(principal: Principal | None, head: Head) -> object:
        if not isinstance(head, CertifiedHead):
            return None
        shown = head.certificate
        if name == "san":
            return list(shown.names)
        return (shown.subject if name == "subject" else shown.fingerprint) or None

    return read


def _plain(value: object) -> object:
    """A claim as rules compare it: 3.0 is 3, the empty text is null."""
    if isinstance(value, float):
        return number(value)
    return None if value == "" else value


def number(value: float) -> float:
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


def _sameness(left: Field | Constant, right: Field | Constant) -> _Same:
    kinds = [operand.kind if isinstance(operand, Field) else "" for operand in (left, right)]
    if kinds[0] == "host":
        return _same_host
    if kinds[1] == "host":
        return lambda a, b: _same_host(b, a)
    return _same_method if "method" in kinds else _same


def equal(left: Field | Constant, right: Field | Constant) -> Rule:
    if isinstance(left, Constant):
        left, right = right, left
    same = _sameness(left, right)
    if isinstance(left, Constant):
        assert isinstance(right, Constant)
        return always if _same(left.value, right.value) else never
    read = left.read
    if not isinstance(right, Constant):
        other = right.read
        return lambda principal, head: same(read(principal, head), other(principal, head))
    value, kind = right.value, type(right.value)
    if same is not _same:
        return lambda principal, head: same(read(principal, head), value)

    def equals(principal: Principal | None, head: Head) -> bool:
        found = read(principal, head)
        return type(found) is kind and found == value

    return equals


def member(left: Field | Constant, right: Field) -> Rule:
    same, read_list = _sameness(left, right), right.read
    constant = left.value if isinstance(left, Constant) else None
    read_one = left.read if isinstance(left, Field) else None

    def among(principal: Principal | None, head: Head) -> bool:
        members = read_list(principal, head)
        value = constant if read_one is None else read_one(principal, head)
        if value is None or not isinstance(members, list):
            return False
        return any(same(value, _plain(member)) for member in members)

    return among


def negated(rule: Rule) -> Rule:
    return lambda principal, head: not rule(principal, head)


def all_of(parts: list[Rule]) -> Rule:
    """The first and the rest, folded into pairs: a generator would cost more than the comparisons."""
    if len(parts) == 1:
        return parts[0]
    first, rest = parts[0], all_of(parts[1:])
    return lambda principal, head: first(principal, head) and rest(principal, head)


def any_of(parts: list[Rule]) -> Rule:
    if len(parts) == 1:
        return parts[0]
    first, rest = parts[0], any_of(parts[1:])
    return lambda principal, head: first(principal, head) or rest(principal, head)


def always(principal: Principal | None, head: Head) -> bool:
    return True


def never(principal: Principal | None, head: Head) -> bool:
    return False
