"""What `gateway demo` prints: the curl lines to try, each with what it will show."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

TEN_AT_ONCE = "seq 10 | xargs -P 10 -I@ curl -s -o /dev/null"
STATUS_AND_RETRY = "grep -iE '^(HTTP|Retry-After)' | sort | uniq -c"
"""Header lines are counted, so that ten answers become three lines."""
BREAKER_LINES = "grep -iE '^(HTTP|X-Circuit-Breaker|Retry-After)'"


@dataclass(frozen=True, slots=True)
class Step:
    """One line to paste into a POSIX shell with curl, and what its reader will see."""

    name: str
    command: str
    shows: str


def steps(base: str) -> tuple[Step, ...]:
    """The tour of the gateway at ``base`` (a URL without a trailing slash). Each step stands for itself."""
    return (
        Step("answer", f"curl -si {base}/-/ai/json", "200 from the sidecar, with an X-Request-Id for the log"),
        Step(
            "overrun",
            f"{TEN_AT_ONCE} -w '%{{http_code}} after %{{time_total}} s\\n' '{base}/-/plain/slow?seconds=1' | sort",
            "ten at once without protection: two fail with 500, three are slower than the second they should take",
        ),
        Step(
            "limit",
            f"{TEN_AT_ONCE} -D - '{base}/-/ai/slow?seconds=1' | {STATUS_AND_RETRY}",
            "ten at once, max_concurrent: 5: five are 200, five get 429 at once with Retry-After",
        ),
        Step(
            "queue",
            f"{TEN_AT_ONCE} -w '%{{http_code}} after %{{time_total}} s\\n' '{base}/-/queue/slow?seconds=1' | sort",
            "ten at once, with a queue: ten are 200, five after one second and five after about two",
        ),
        Step(
            "breaker",
            f"curl -s -X POST '{base}/-/ai/fail?count=3'; "
            f"for i in 1 2 3 4; do curl -s -o /dev/null -D - {base}/-/ai/json | {BREAKER_LINES}; done; "
            f"sleep 6; curl -si {base}/-/ai/json | head -n 1",
            "three 500 of the sidecar open the breaker: the fourth is 503 with X-Circuit-Breaker: open, and does not "
            "reach it; six seconds later it is 200 again",
        ),
        Step("tokens", f"curl -sN '{base}/-/ai/tokens?n=20'", "twenty tokens, one each 100 ms, not all at the end"),
        Step(
            "smuggling",
            f"curl -si -H 'Transfer-Encoding: chunked' -H 'Content-Length: 3' -d abc {base}/-/ai/echo",
            "two lengths for one body: 400 bad_framing, and the sidecar hears nothing of it",
        ),
        Step("closed", f"curl -si {base}/-/closed/json", 'access_rule "false": 403, in the JSON of every refusal'),
        Step(
            "gone",
            f"curl -s -m 1 '{base}/-/ai/slow?seconds=30'; curl -s {base}/-/plain/stats",
            "the client gives up after a second: 499 client_gone in the log below, and the sidecar's work ended with "
            "it: one more in abandoned",
        ),
    )


def text(base: str, sidecar: str, configuration: str) -> str:
    """All that is printed before the access log. ``sidecar`` is its URL, ``configuration`` the YAML in force."""
    lines = "\n\n".join(
        f"{textwrap.fill(f'{number}. {step.shows}', 110, subsequent_indent='   ')}\n   {step.command}"
        for number, step in enumerate(steps(base), 1)
    )
    return f"""\
A fragile sidecar listens on {sidecar}: it bears 5 requests at once, slows down above, and fails beyond 8.
The gateway listens on {base}, with this configuration:

{textwrap.indent(configuration, "    ")}
Lines to paste into another terminal, and what each will show:

{lines}

Beneath: the access log, one JSON line a request. Ctrl-C ends the demo.
"""
