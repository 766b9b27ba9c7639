"""What one proxy made of one attack: the observation, its harm, and its word in the table."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracles.attack import Attack, Harm
from oracles.reading import Message, messages, streams

MEGABYTE = 1_000_000
MANY = 256
"""Requests that may reach the upstream in a flood: what one caller may have open at a time."""


@dataclass
class Seen:
    """Raw bytes on both sides; everything else follows from them."""

    came: bytes = b""
    """To the caller."""
    ended: str = ""
    """How the proxy ended the caller's connection: ``eof``, ``reset``, or not at all."""
    reached: list[bytes] = field(default_factory=list)
    """The upstream, on each of its connections."""
    taken: int = 0
    """Bytes of the reply that the proxy, and the kernel for it, took from the upstream."""


@dataclass(frozen=True)
class Verdict:
    word: str
    harm: int
    requests: tuple[tuple[bytes, bytes], ...] = ()
    """Method and body of each that the upstream read whole."""


DIED = Verdict("DIED", 1_000_000)
"""The process of the proxy has ended, with all that was under way in it."""


def verdict(attack: Attack, seen: Seen) -> Verdict:
    if attack.harm is Harm.TRUNCATION:
        return _truncation(seen)
    requests = _requests(seen) if attack.upstream == "http" else []
    whole = [request for request in requests if request.whole]
    if attack.harm is Harm.RESOURCE:
        return _resource(attack, seen, len(whole))
    odd = sum(request.odd for request in whole)
    answer = _answer(attack, seen)
    if len(whole) > 1:
        answer = f"{len(whole)} requests"
    elif whole:
        answer = "passed"
    elif requests:
        answer += ", cut"
    read = tuple((request.head.partition(b" ")[0], request.body) for request in whole)
    return Verdict(answer + (", odd" if odd else ""), len(whole) + odd, read)


def _requests(seen: Seen) -> list[Message]:
    return [request for raw in seen.reached for request in messages(raw)]


def _answer(attack: Attack, seen: Seen) -> str:
    """A status, or how the stream or connection ended."""
    if attack.caller == "h1":
        statuses = [
            found.status
            for found in messages(bytes(seen.came), responses=True, ended=seen.ended)
            if found.status >= 200
        ]
        return str(statuses[0]) if statuses else {"eof": "closed", "reset": "closed"}.get(seen.ended, "open")
    came = streams(bytes(seen.came))
    if came.statuses:
        return str(next(iter(came.statuses.values())))
    if came.goaway is not None:
        return "GOAWAY"
    return "RST" if came.resets else "closed" if seen.ended else "open"


def _truncation(seen: Seen) -> Verdict:
    found = messages(bytes(seen.came), responses=True, ended=seen.ended)
    final = next((each for each in found if not 100 <= each.status < 200), None)
    if final is None:
        return Verdict("closed" if seen.ended else "open", 0)
    if final.status == 0:
        return Verdict("raw", 1)  # bytes of the upstream without a head, as in HTTP/0.9
    if 500 <= final.status < 600:
        return Verdict(str(final.status), 0)
    return Verdict("whole", 1) if final.whole else Verdict("cut" if seen.ended else "open", 0)


def _resource(attack: Attack, seen: Seen, requests: int) -> Verdict:
    if attack.taken:
        return Verdict(f"{seen.taken / MEGABYTE:.0f} MB", int(seen.taken > attack.taken * MEGABYTE))
    over = bool(seen.ended) or (attack.caller == "h1" and _answer(attack, seen)[:1] in "45")
    word = "ended" if over else "open"
    return Verdict(f"{word}, {requests} requests" if requests else word, int(not over) + requests // MANY)
