"""Whether the gateway is weaker than the strictest of the others: by the harm of an attack, not by its response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oracles.attack import Attack
from oracles.run import GATEWAY, Table
from oracles.seen import Verdict


def findings(attacks: Sequence[Attack], table: Table) -> list[str]:
    """A sentence for each attack by which the gateway does more harm than its rule, or the strictest other, allows."""
    found = []
    for attack in attacks:
        row = table[attack.key]
        sentence = _finding(attack, row[GATEWAY], {name: seen for name, seen in row.items() if name != GATEWAY})
        if sentence:
            found.append(f"{attack.key}: {sentence}")
    return found


def _finding(attack: Attack, mine: Verdict, others: Mapping[str, Verdict]) -> str:
    if mine.harm > attack.at_most:
        return f"the rule allows a harm of {attack.at_most}, and the gateway ({mine.word}) has {mine.harm}"
    if not others:
        return ""
    strictest = min(others, key=lambda name: others[name].harm)
    best = others[strictest]
    if mine.harm > best.harm and not attack.because:
        return f"the gateway ({mine.word}) is weaker than {strictest} ({best.word}), and the table has no reason for it"
    return _other_framing(mine, others)


def _other_framing(mine: Verdict, others: Mapping[str, Verdict]) -> str:
    """Where others let as many requests through: one of them has to read the same bodies."""
    same = {name: seen for name, seen in others.items() if len(seen.requests) == len(mine.requests)}
    if not mine.requests or not same or any(seen.requests == mine.requests for seen in same.values()):
        return ""
    return f"the upstream reads other bodies behind the gateway than behind {', '.join(same)}: {mine.requests!r}"
