"""What several workers cost and give: CPU of the workers for each request, and requests a second."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import http1
from joserfc import jwt
from joserfc.jwk import ECKey
from stage import HOST, GatewayProcess, listener, port_of, table
from wrk_output import parsed

NUMBERS = (1, 2, 4)
ROUNDS = 5
CONNECTIONS = 64
DEARER = 1.05
"""The most that a request may cost the CPU with several workers, by its cost with one; as a median of the rounds.
With more workers than cores: the most by what it costs where they share nothing."""
GUARDS: dict[str, Any] = {
    "max_concurrent": 1000,
    "queue": {"max_waiting": 100, "timeout": 5},
    "circuit_breaker": {"enabled": True},
    "timeout_config": {"total": 60},
}
UNGUARDED: dict[str, Any] = {"circuit_breaker": {"enabled": False}, "timeout_config": {"total": 60}}
"""A proxy whose requests touch nothing that workers share."""


TOKENS = 20_000
"""Different tokens of the callers of `costly`: more than a worker remembers, so that it verifies each of them."""
FASTER = 1.7
"""How many times as many requests two workers serve as one, where a request costs the gateway much more CPU than it
costs load generator and endpoint, which run on the same cores."""


async def cores(seconds: int) -> bool:
    """Load each number of workers for ``seconds`` in turns, `ROUNDS` times; all gateways are up, one is loaded.

    The load generator and the endpoint run on the same cores. So requests a second say less than the capacity, which is
    the number of workers by the CPU of a request. More workers than cores also take turns on a core, with cold caches
    each time: a proxy without limits, whose requests touch nothing that workers share, shows what that alone costs.
    """
    loop, upstream = asyncio.get_running_loop(), listener()
    server = await loop.create_server(_Answering, sock=upstream)
    kinds = [(number, shared) for number in NUMBERS for shared in (True, False)]
    found: dict[tuple[int, bool], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    async with contextlib.AsyncExitStack() as stack:
        gateways = {
            (number, shared): await stack.enter_async_context(
                GatewayProcess(
                    port_of(upstream), admin=True, settings={"workers": number}, **GUARDS if shared else UNGUARDED
                )
            )
            for number, shared in kinds
        }
        for turn in range(ROUNDS):
            for kind in kinds[turn % len(kinds) :] + kinds[: turn % len(kinds)]:
                found[kind].append(await _loaded(gateways[kind], seconds))
    server.close()
    head = ("workers", "CPU us a request", "by one", "requests/s", "by one", "capacity/s", "nothing shared", "by one")
    rows: list[tuple[str, ...]] = [head]
    held = True
    for number in NUMBERS:
        costs, rates = zip(*found[number, True], strict=True)
        bare = [cost for cost, _ in found[number, False]]
        dearer, more = (
            _by_one([row[at] for row in found[number, True]], [row[at] for row in found[1, True]]) for at in (0, 1)
        )
        dearer_bare = _by_one(bare, [cost for cost, _ in found[1, False]])
        cost = statistics.median(costs)
        # With a core for each worker the bound is for all that it costs, else for what the sharing adds.
        held = held and 0.0 < dearer <= DEARER * (1.0 if number <= _cores() else dearer_bare)
        figures = f"{dearer:.3f}", f"{statistics.median(rates):.0f}", f"{more:.2f}", f"{number / cost * 1e6:.0f}"
        rows.append((f"{number}", f"{cost:.1f}", *figures, f"{statistics.median(bare):.1f}", f"{dearer_bare:.3f}"))
    table(f"workers: CPU of all for each request, bound {DEARER} by one worker; {_cores()} cores", rows)
    return held


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _by_one(figures: list[float], of_one: list[float]) -> float:
    return statistics.median(figure / one for figure, one in zip(figures, of_one, strict=True))


async def costly(seconds: int) -> bool:
    """One worker and two, in turns as `cores`, with requests whose token is verified each time.

    The last column is what load generator and endpoint took of the CPU, by what the workers took: where it is large,
    they are the limit, and not the gateway.
    """
    loop, upstream = asyncio.get_running_loop(), listener()
    key = ECKey.generate_key("P-384", {"kid": "load"})
    published = json.dumps({"keys": [key.as_dict(private=False)]}).encode()
    server = await loop.create_server(lambda: _Answering(published), sock=upstream)
    keys = f"http://{HOST}:{port_of(upstream)}{_KEYS.decode()}"
    auth = {"jwt": [{"issuer": "load", "audience": ["gateway"], "algorithms": ["ES384"], "jwks_url": keys}]}
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    spent: dict[int, list[float]] = {1: [], 2: []}
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-costly-")))
        script = _with_tokens(folder, key)
        gateways = {
            number: await stack.enter_async_context(
                GatewayProcess(
                    port_of(upstream),
                    admin=True,
                    settings={"workers": number, "auth": auth},
                    **GUARDS | {"access_rule": "@request.auth.id != ''"},
                )
            )
            for number in found
        }
        for turn in range(ROUNDS):
            for number in sorted(found, reverse=bool(turn % 2)):
                before = _of_load()
                found[number].append(await _loaded(gateways[number], seconds, "-s", str(script)))
                cost, rate = found[number][-1]
                spent[number].append((_of_load() - before) * 1e6 / (rate * seconds) / cost)
    server.close()
    rows: list[tuple[str, ...]] = [
        ("workers", "CPU us a request", "requests/s", "by one", "load and endpoint by workers")
    ]
    more = 0.0
    for number, figures in found.items():
        costs, rates = zip(*figures, strict=True)
        more = _by_one(list(rates), [rate for _, rate in found[1]])
        share = statistics.median(spent[number])
        rows.append(
            (
                f"{number}",
                f"{statistics.median(costs):.1f}",
                f"{statistics.median(rates):.0f}",
                f"{more:.2f}",
                f"{share:.2f}",
            )
        )
    table(f"workers: requests a second where they are costly, at least {FASTER} by one worker", rows)
    return more >= FASTER


def _with_tokens(folder: Path, key: ECKey) -> Path:
    """A script for wrk that sends each request with the next of `TOKENS` tokens."""
    claims = {"iss": "load", "aud": "gateway", "exp": int(time.time()) + 3600}
    tokens = [
        jwt.encode({"alg": "ES384", "kid": "load"}, claims | {"sub": f"caller-{number}"}, key, ["ES384"])
        for number in range(TOKENS)
    ]
    (folder / "tokens").write_text("\n".join(tokens))
    script = folder / "tokens.lua"
    script.write_text(
        f"""local lines, at = {{}}, 0
init = function(args)
  local host = wrk.headers["Host"]
  for line in io.lines("{folder}/tokens") do
    lines[#lines + 1] = wrk.format("GET", "/", {{["Host"] = host, ["Authorization"] = "Bearer " .. line}})
  end
end
request = function()
  at = at % #lines + 1
  return lines[at]
end
"""
    )
    return script


def _of_load() -> float:
    """Seconds of CPU of this process, the endpoint, and of the load generators that have ended."""
    taken = os.times()
    return taken.user + taken.system + taken.children_user + taken.children_system


async def _loaded(gateway: GatewayProcess, seconds: int, *more: str) -> tuple[float, float]:
    """CPU of the workers in microseconds for each request, and requests a second. ``more``: arguments for wrk."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("the load generator is wrk: apt-get install wrk")
    workers, before = gateway.workers(), [_cpu(pid) for pid in gateway.workers()]
    url = f"http://{HOST}:{gateway.port}/"
    process = await asyncio.create_subprocess_exec(
        program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *more, url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    spent = sum(map(_cpu, workers)) - sum(before)
    result = parsed(output.decode())
    if result.errors or not result.requests:
        raise SystemExit(f"{result.errors} of {result.requests} requests failed")
    return spent / result.requests * 1e6, result.requests / result.seconds


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process took so far, by its own clock (Linux: clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


_KEYS = b"/keys.json"


class _Answering(http1.Answering):
    """The endpoint, which also publishes the keys of tokens."""

    def __init__(self, published: bytes = b"") -> None:
        super().__init__()
        self._published = published

    def asked(self, target: bytes) -> None:
        if target == _KEYS:
            self.transport.write(http1.response(self._published, content_type=b"application/json"))
        else:
            self.transport.write(http1.response(b"ok"))
