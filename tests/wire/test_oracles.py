"""Attacks at the gateway and at the proxies that are installed: it is never weaker than the strictest of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("loadtest.peers", reason="the peers are started from the checkout, which is not on the path here")

from oracles.attack import ASK, Attack, Harm, Reply
from oracles.judge import findings
from oracles.reading import messages
from oracles.run import GATEWAY, installed, table
from oracles.seen import Seen, Verdict, verdict
from oracles.table import ATTACKS
from oracles.why import WHY

ROOT = Path(__file__).resolve().parents[2]
FROM_DEBIAN = ("nginx", "haproxy")
"""The others are downloads of a hundred megabytes; `make oracles` has them all."""
SILENT = 0.4
"""Seconds. What a peer does later shows in the table that is recorded."""
ELSEWHERE = {"Frames that end the connection", "Frames that end a stream", "Callers that do not read"}
"""The gateway's own tests hold it to the exact code, and to a stricter bound."""
SAMPLE = [attack for attack in ATTACKS if attack.upstream == "http" and attack.group not in ELSEWHERE]
"""Each other way to the upstream takes processes of its own, half a minute for all."""


@pytest.mark.timeout(180)
async def test_the_gateway_is_never_weaker_than_the_strictest() -> None:
    names = installed(FROM_DEBIAN)
    if not names:
        pytest.skip("no peer is installed: apt-get install nginx haproxy")
    found = await table(SAMPLE, [GATEWAY, *names], SILENT)
    assert findings(SAMPLE, found) == []
    for name in names:  # the attacks are live: what the gateway stops is no harm elsewhere only if no peer shows any
        weaker = [key for key, row in found.items() if row[name].harm > row[GATEWAY].harm]
        assert len(weaker) > 10, f"{name} is as strict as the gateway, or the attacks did not reach it: {weaker}"


def test_the_table() -> None:
    keys = [attack.key for attack in ATTACKS]
    assert len(set(keys)) == len(keys)
    assert {attack.group for attack in ATTACKS} == set(WHY)
    assert all("RFC" in why for why in WHY.values())
    assert all(attack.because for attack in ATTACKS if attack.at_most)
    callers = [attack.caller for attack in ATTACKS if attack.harm is not Harm.TRUNCATION]
    assert callers.count("h1") >= 40
    assert callers.count("h2") >= 25


def test_the_record_has_each_attack() -> None:
    """Else docs/oracles.md is stale: make oracles RECORD=1."""
    groups = json.loads((ROOT / "loadtest/results/oracles/record.json").read_text())["groups"]
    assert {group["name"]: group["why"] for group in groups} == WHY
    recorded = [f"{group['name']}: {name}" for group in groups for name in group["rows"]]
    assert sorted(recorded) == sorted(attack.key for attack in ATTACKS)


SMUGGLING = Attack("a", "A", because="")
CL_TE = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
CASES = [
    pytest.param(SMUGGLING, Seen(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"), ("400", 0), id="refused"),
    pytest.param(SMUGGLING, Seen(ended="reset"), ("closed", 0), id="reset"),
    pytest.param(SMUGGLING, Seen(reached=[ASK]), ("passed", 1), id="passed"),
    pytest.param(SMUGGLING, Seen(reached=[CL_TE]), ("2 requests", 2), id="smuggled"),
    pytest.param(SMUGGLING, Seen(reached=[ASK[:-2] + b"X: \x01\r\n\r\n"]), ("passed, odd", 2), id="odd"),
    pytest.param(SMUGGLING, Seen(reached=[CL_TE[:40]]), ("open, cut", 0), id="begun"),
]
BROKEN = Attack("b", "B", harm=Harm.TRUNCATION, reply=Reply(b"x"))
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nab"
CASES += [
    pytest.param(BROKEN, Seen(LENGTH + b"abc"), ("whole", 1), id="whole"),
    pytest.param(BROKEN, Seen(LENGTH + b"ab", "eof"), ("cut", 0), id="cut"),
    pytest.param(BROKEN, Seen(UNTIL_CLOSE, "eof"), ("whole", 1), id="until close"),
    pytest.param(BROKEN, Seen(UNTIL_CLOSE, "reset"), ("cut", 0), id="until close, reset"),
    pytest.param(BROKEN, Seen(b"HTTP/1.1 502 Bad\r\n\r\n", "eof"), ("502", 0), id="rejected"),
    pytest.param(BROKEN, Seen(b"SSH-2.0-x"), ("raw", 1), id="raw"),
]
FLOOD = Attack("c", "C", caller="h2", harm=Harm.RESOURCE)
CASES += [
    pytest.param(FLOOD, Seen(), ("open", 1), id="a flood goes on"),
    pytest.param(FLOOD, Seen(ended="eof"), ("ended", 0), id="a flood is ended"),
    pytest.param(FLOOD, Seen(ended="eof", reached=[ASK] * 600), ("ended, 600 requests", 2), id="too late"),
    pytest.param(Attack("d", "D", harm=Harm.RESOURCE, taken=1), Seen(taken=2_000_000), ("2 MB", 1), id="memory"),
]


@pytest.mark.parametrize(("attack", "seen", "expected"), CASES)
def test_what_is_made_of_an_observation(attack: Attack, seen: Seen, expected: tuple[str, int]) -> None:
    made = verdict(attack, seen)
    assert (made.word, made.harm) == expected


@pytest.mark.parametrize(
    ("attack", "mine", "other", "sentence"),
    [
        (SMUGGLING, Verdict("400", 0), Verdict("2 requests", 2), ""),
        (SMUGGLING, Verdict("passed", 1), Verdict("passed", 1), "the rule allows a harm of 0"),
        (Attack("a", "A", at_most=1), Verdict("passed", 1), Verdict("400", 0), "weaker than nginx (400)"),
        (Attack("a", "A", at_most=1, because="RFC"), Verdict("passed", 1), Verdict("400", 0), ""),
        (
            Attack("a", "A", at_most=1),
            Verdict("passed", 1, ((b"POST", b"a"),)),
            Verdict("passed", 1, ((b"POST", b"b"),)),
            "other bodies behind the gateway than behind nginx",
        ),
    ],
)
def test_a_weaker_gateway_is_found(attack: Attack, mine: Verdict, other: Verdict, sentence: str) -> None:
    found = findings([attack], {attack.key: {GATEWAY: mine, "nginx": other}})
    assert len(found) == bool(sentence)
    assert all(sentence in each for each in found)


@pytest.mark.parametrize(
    ("raw", "bodies"),
    [
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", [b"abc"]),
        (b"POST / HTTP/1.1\nContent-Length: 2\n\nabGET / HTTP/1.1\n\n", [b"ab", b""]),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", []),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", []),
    ],
)
def test_how_the_upstream_reads(raw: bytes, bodies: list[bytes]) -> None:
    assert [message.body for message in messages(raw) if message.whole] == bodies
