"""A whole run: rounds over cases over targets, each on a fresh process."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from loadtest import machine
from loadtest.peers.case import CASES, Case, Surroundings
from loadtest.peers.idle import DescriptorsError
from loadtest.peers.latency import Line
from loadtest.peers.record import Record, Sample
from loadtest.peers.server import OTHER_CORE, PeerError, Server, origin, pacer, peer
from loadtest.peers.target import DIRECT, TARGETS, UNAVAILABLE, NotInstalledError

PROBLEMS = (PeerError, NotInstalledError, DescriptorsError, OSError, subprocess.SubprocessError, ValueError)
"""What one sample may fail with; the others go on."""


class Bench:
    """The two origins, and what is to be measured."""

    def __init__(self, origin: Server, pacer: Server, seconds: int) -> None:
        self._origin, self._pacer, self._seconds = origin, pacer, seconds

    def differences(self, target: str) -> list[str]:
        """What it does not do of the work: 200 and the origin's body, X-Forwarded-For, a JSON line. `PeerError`."""
        with peer(TARGETS[target], self._origin) as server:
            line = Line(server.port, f"{server.prefix}/seen")
            try:
                answer = line.ask()
            finally:
                line.close()
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise PeerError(f"it answers {answer[:100]!r}")
            # Whichever address: for a client on loopback Envoy tells that of the machine.
            body = answer.partition(b"\r\n\r\n")[2]
            found = [] if re.search(rb"\d+\.\d+\.\d+\.\d+", body) else ["it sends no X-Forwarded-For"]
            return found if _has_logged(server) else [*found, "it writes no JSON line a request"]

    def sample(self, name: str, target: str, number: int) -> Sample:
        case = CASES[name]
        try:
            with self._server(case, target) as server:
                origin = self._pacer if case.paced else self._origin
                return Sample(name, target, number, case.measure(Surroundings(server, origin, self._seconds)))
        except PROBLEMS as problem:
            return Sample(name, target, number, error=f"{type(problem).__name__}: {problem}".replace("\n", " ")[:300])

    @contextmanager
    def _server(self, case: Case, target: str) -> Iterator[Server]:
        behind = self._pacer if case.paced else self._origin
        if target == DIRECT:
            yield behind
            return
        with peer(TARGETS[target], behind, case.upstream) as server:
            yield server


def _has_logged(server: Server) -> bool:
    end = time.monotonic() + 5
    while not server.log_lines() and time.monotonic() < end:
        time.sleep(0.1)
    return server.log_lines() > 0


def versions(targets: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Of those that are installed, and why the others are missing."""
    there, missing = {}, dict(UNAVAILABLE)
    for name in targets:
        try:
            there[name] = TARGETS[name].installed_version()
            TARGETS[name].required()
        except NotInstalledError as problem:
            missing[name] = str(problem)
    return there, missing


def run(targets: Sequence[str], cases: Sequence[str], rounds: int, seconds: int) -> Record:
    """Prints progress. Rounds go over all targets before the next begins, so that what drifts falls on all alike."""
    there, missing = versions(targets)
    load = machine.busy()
    date = time.strftime("%Y-%m-%d", time.gmtime())
    record = Record(date, machine.commit(), machine.described(), load, rounds, seconds, there, missing, {})
    os.sched_setaffinity(0, {OTHER_CORE})
    with ExitStack() as stack:
        bench = Bench(stack.enter_context(origin()), stack.enter_context(pacer()), seconds)
        for name in list(there):
            _look(bench, name, record)
        for number in range(1, rounds + 1):
            for case in cases:
                fit = [name for name in there if not CASES[case].secure or TARGETS[name].serves_tls]
                for target in [*fit, *([DIRECT] if CASES[case].direct else [])]:
                    sample = bench.sample(case, target, number)
                    record.samples.append(sample)
                    _tell(sample, rounds)
    return record


def _look(bench: Bench, target: str, record: Record) -> None:
    try:
        record.differences[target] = bench.differences(target)
    except PROBLEMS as problem:
        record.missing[target] = " ".join(str(problem).split())[:300]
        del record.versions[target]
    told = record.missing.get(target) or "; ".join(record.differences[target]) or "does the work"
    print(f"{target:10s} {told}", flush=True)


def _tell(sample: Sample, rounds: int) -> None:
    figures = ", ".join(f"{name} {value:.1f}" for name, value in sample.figures.items())
    print(f"{sample.round}/{rounds} {sample.case:9s} {sample.target:10s} {sample.error or figures}", flush=True)
