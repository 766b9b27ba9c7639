"""What `gateway demo` prints: the curl lines to try, each with what it will show."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

TEN_AT_ONCE = "seq 10 | xargs -P 10 -I@ curl -s -o /dev/null"
STATUS_AND_RETRY = "grep -iE '^(HTTP|Retry-After)' | sort | uniq -c"
"""Header lines are counted, so that ten responses become three lines."""
BREAKER_LINES = "grep -iE '^(HTTP|X-Circuit-Breaker|Retry-After)'"


@dataclass(frozen=True, slots=True)
class Step:
    """One line to paste into a POSIX shell with curl, and what its reader will see."""

    name: str
    command: str
    shows: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything is: URLs without a trailing slash."""

    base: str
    admin: str
    database: str
    sidecar: str


def steps(scene: Scene) -> tuple[Step, ...]:
    """The tour. Each step stands for itself."""
    return (*_protections(scene.base), *_requests(scene.base), *_administration(scene))


def _protections(base: str) -> tuple[Step, ...]:
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
    )


def _requests(base: str) -> tuple[Step, ...]:
    return (
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


def _administration(scene: Scene) -> tuple[Step, ...]:
    return (
        Step(
            "administer",
            _administer(scene),
            "a superuser logs in, adds a proxy while all of this runs, sends a request through it and deletes it: "
            "404, 201, 200, 200, 404",
        ),
        Step(
            "explain",
            _explain(scene),
            "why the gateway admits a request for the sidecar now, what its breaker has been through, and what it "
            "counted for Prometheus",
        ),
    )


EMAIL, PASSWORD = "me@example.org", "correct horse battery"


def _gateway() -> Path:
    return Path(sys.executable).with_name("gateway")


def _login(scene: Scene) -> str:
    """Make a superuser, which may exist already, and put its token into ``$token``."""
    login = f'{{"email":"{EMAIL}","password":"{PASSWORD}"}}'
    create = f"echo '{PASSWORD}' | {_gateway()} superuser create {EMAIL} --password-stdin"
    ask = f"curl -s -H 'Content-Type: application/json' -d '{login}' {scene.admin}/api/gateway/auth/login"
    return f'{create} --database {scene.database} >/dev/null 2>&1; token=$({ask} | sed \'s/.*"token":"//; s/".*//\')'


def _explain(scene: Scene) -> str:
    metrics = f'curl -s -H "Authorization: Bearer $token" {scene.admin}/api/gateway/metrics'
    return (
        f"{_login(scene)}; GATEWAY_TOKEN=$token {_gateway()} explain ai --server {scene.admin}; "
        f"{metrics} | grep '^gateway_requests_total'"
    )


def _administer(scene: Scene) -> str:
    api, status = f"{scene.admin}/api/gateway", "curl -s -o /dev/null -w '%{http_code}\\n'"
    proxy = f'{{"name":"mine","path":"/mine","upstream":"{scene.sidecar}","access_rule":"true"}}'
    json, bearer = "-H 'Content-Type: application/json'", '-H "Authorization: Bearer $token"'
    ask = f"{status} {scene.base}/mine/json"
    return "; ".join(
        (
            _login(scene),
            ask,
            f"{status} {bearer} {json} -d '{proxy}' {api}/proxies",
            ask,
            f"{status} {bearer} -X DELETE {api}/proxies/mine",
            ask,
        )
    )


def text(scene: Scene, configuration: str) -> str:
    """All that is printed before the access log. ``configuration`` is the active YAML."""
    lines = "\n\n".join(
        f"{textwrap.fill(f'{number}. {step.shows}', 110, subsequent_indent='   ')}\n   {step.command}"
        for number, step in enumerate(steps(scene), 1)
    )
    return f"""\
A fragile sidecar listens on {scene.sidecar}: it bears 5 requests at once, slows down above, and fails beyond 8.
The gateway listens on {scene.base}, its admin API on {scene.admin}, with this configuration:

{textwrap.indent(configuration, "    ")}
Lines to paste into another terminal, and what each will show:

{lines}

All of it as it happens, in a browser: {scene.admin}/_/ (after line 10 as {EMAIL}, {PASSWORD}).

Beneath: the access log, one JSON line a request. Ctrl-C ends the demo.
"""
