"""Run a scenario of the load tests, judge it, and write its report; without a name, list them.

    PYTHONPATH=loadtest python -m load [NAME | all] [--duration SECONDS] [--rate N] [--web] [--record | --results DIR]

Exit codes: 0 when every criterion held, 1 when one is broken, 2 for a scenario that there is not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import machine
import reports

from load import report
from load.catalogue import scenarios
from load.findings import Findings
from load.scenario import Scenario, Size
from load.stand import Stand
from load.verdict import judge, passed

INTERRUPTED = 130
"""As shells tell of SIGINT."""


def circumstances() -> dict[str, str]:
    """Where, of what and how undisturbed, in words."""
    return machine.described("aiohttp", "uvloop", "locust", "gevent") | {
        "commit": machine.commit(),
        "load before the start": f"{machine.busy():.2f} runnable processes on average over a minute",
    }


async def run(scenario: Scenario, size: Size, results: Path) -> bool:
    """Whether every criterion held."""
    facts, findings = circumstances(), Findings()
    for variant in scenario.variants(size):
        print(f"{scenario.name}: {variant.name}, {variant.users} users, {variant.seconds:g} s", flush=True)
        async with Stand(scenario.name, variant) as stand:
            findings[variant.name] = await stand.run()
    verdicts = judge(scenario.criteria(size), findings, size)
    report.write(results / scenario.name, scenario, size, findings, verdicts, facts)
    for verdict in verdicts:
        made = verdict.criterion
        print(f"  {verdict.word:10} {made.name}: {report.number(verdict.value)} (bound: {made.bound}) {made.shows}")
    print(f"{scenario.name}: {results / scenario.name / 'report.md'}")
    return passed(verdicts)


async def page(scenario: Scenario, size: Size) -> None:
    """Locust's own page on the scenario's first variant; nothing is judged."""
    async with Stand(scenario.name, scenario.variants(size)[0]) as stand:
        await stand.serve_page()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="")
    parser.add_argument("--duration", type=float, default=0.0, help="seconds instead of the scenario's own")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second instead of the scenario's own")
    parser.add_argument("--web", action="store_true", help="serve locust's web page instead of judging")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--record", action="store_true", help="write the committed report, not one below build/")
    where.add_argument("--results", type=Path, help="where the reports go")
    return parser.parse_args()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))  # both end every process of ours
    asked, known = options(), scenarios()
    try:
        return obey(asked, known)
    except KeyboardInterrupt:
        return 0 if asked.web else INTERRUPTED


def obey(asked: argparse.Namespace, known: dict[str, Scenario]) -> int:
    """The exit code."""
    if not asked.scenario:
        for name, scenario in known.items():
            print(f"  {name:16} {scenario.sentence}")
        return 0
    if asked.scenario != "all" and asked.scenario not in known:
        print(f"no scenario {asked.scenario}; there are: {', '.join(known)}, all", file=sys.stderr)
        return 2
    held, results = True, asked.results or reports.folder(record=asked.record)
    for scenario in known.values() if asked.scenario == "all" else [known[asked.scenario]]:
        size = Size(asked.duration or scenario.seconds, asked.rate or scenario.rate)
        if asked.web:
            asyncio.run(page(scenario, size))
        else:
            held = asyncio.run(run(scenario, size, results)) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
