"""`gateway explain`: why an upstream refuses, and what happened to a request."""

from __future__ import annotations

import time

import click

from gateway.cli.client import Caller, Target, quoted
from gateway.cli.options import acts
from gateway.cli.types import Json


@click.command()
@click.argument("name", required=False)
@click.option("--request", "request_id", metavar="ID", help="Explain this request (the X-Request-Id of its response).")
@acts
def explain(target: Target, name: str | None, request_id: str | None) -> None:
    """Show why proxy NAME admits or refuses now, or what happened to a recent request."""
    if (name is None) == (request_id is None):
        raise click.UsageError("name a proxy, or a request by --request ID")

    async def work(caller: Caller) -> None:
        if request_id is not None:
            found = await caller.call("GET", f"/requests/{quoted(request_id)}")
            target.show(found, lambda: request_text(found))
        else:
            found = await caller.call("GET", f"/upstreams/{quoted(name or '')}/explain")
            target.show(found, lambda: upstream_text(found))

    target.run(work)


def request_text(found: Json) -> str:
    """The response of `GET /requests/{id}`, for people."""
    record = found["request"]
    lines = [f"{record['request_id']}: {found['sentence']}"]
    if "method" in record:
        of = f", proxy {record['proxy_name']}" if record["proxy_name"] else ""
        lines.append(f"  {record['method']} {record['path']} from {record['client']}{of}")
    if spoken := _protocols(record):
        lines.append(f"  {spoken}")
    lines += [f"  {step['ms']:10.3f} ms  {step['meaning']}" for step in found["way"]]
    if found["reason"] is not None:
        lines.append(f"  see {found['reason']['page']}")
    return "\n".join(lines)


def upstream_text(found: Json) -> str:
    """The response of `GET /upstreams/{name}/explain`, for people."""
    now = found["at"]
    lines = [f"{found['proxy']}: {found['sentence']}"]
    limiter, queue, breaker, pool = found["limiter"], found["queue"], found["breaker"], found["pool"]
    if limiter is not None:
        hold = f", held for {limiter['hold']:.3f} s on average" if limiter["hold"] else ""
        lines.append(
            f"  limiter ({limiter['mode']}): {limiter['in_flight']} of {limiter['max_concurrent']} in use{hold}"
        )
    if adaptive := found.get("adaptive"):  # a gateway of another version does not send it
        lines += _adaptive(adaptive, now)
    if queue is not None:
        lines.append(_queue(queue))
    for each in (found.get("upstream_breaker"), breaker):  # a gateway of another version sends the second one alone
        lines += [] if each is None else _breaker(each, now)
    lines += [_rate(limit) for limit in found.get("rates", ())]  # a gateway of another version does not send them
    if stream := found.get("stream"):  # a gateway of another version does not send it
        lines.append(_streams(stream))
    if ai := found.get("ai"):  # as the stream
        lines.append(_models(ai))
    if group := found.get("group"):  # as the stream
        lines += _group(group, now)
    if retries := found.get("retries"):  # as the stream
        lines.append(_retries(retries))
    if hedge := found.get("hedge"):  # as above
        lines.append(_hedge(hedge))
    if token := found.get("token"):  # as above
        lines.append(_token(token, now))
    if fallback := found.get("fallback"):  # as above
        lines.append(_fallback(fallback))
    lines.append(f"  pool of {pool['endpoint']}: {pool['in_use']} in use, {pool['idle']} idle")
    if pool.get("sessions"):  # a gateway of another version does not send them
        lines[-1] += f"; {pool['sessions']} of them HTTP/2, with {pool['streams']} requests"
    lines += [
        f"  running: {ex['request_id']} {ex['phase']} for {ex['age']:.1f} s{_of(ex)} {_protocols(ex)}".rstrip()
        for ex in found["active"][:10]
    ]
    if found["active_count"] > 10:
        lines.append(f"  and {found['active_count'] - 10} more")
    return "\n".join(lines)


def _streams(stream: Json) -> str:
    bounds = f"first event within {stream['first_event']:g} s, gap {stream['event_gap']:g} s (0: no limit)"
    waits = f"{stream['watched']} run, the longest wait is {stream['silence']:.1f} s"
    return f"  streams of events ({stream['mode']}): {waits}; {bounds}"


def _models(ai: Json) -> str:
    waits = f"{ai['waiting']} without a token yet, the longest wait is {ai['longest_wait']:.1f} s"
    return f"  responses of models ({ai['format']}): {ai['responses']} run, {waits}"


def _retries(retries: Json) -> str:
    left = f"{retries['left']:.1f} of {retries['burst']:g} left in the budget, {retries['waiting']} waiting"
    return f"  retries ({retries['mode']}): {retries['attempts']} attempts on {', '.join(retries['on'])}; {left}"


def _fallback(fallback: Json) -> str:
    to = f"a response with {fallback['status']}"
    if fallback["endpoint"]:
        limit = fallback.get("limit")  # a gateway of another version sends neither this nor the requests that wait
        inside = f"{fallback['in_flight']} of {limit}" if limit else f"{fallback['in_flight']}"
        waiting = f", {fallback['waiting']} waiting" if fallback.get("waiting") else ""
        to = f"{fallback['endpoint']}, {inside} in use{waiting}, breaker {fallback['breaker']}"
    return f"  fallback on {', '.join(fallback['on'])}: {to}"


def _group(group: Json, now: float) -> list[str]:
    panic = ", panic: too few are usable, so all are used" if group["panic"] else ""
    shadow = ", ejections in shadow mode" if group["ejection_mode"] == "shadow" else ""
    checks = ", checks in shadow mode" if group.get("health_mode") == "shadow" else ""  # of another version: none
    reports = ", reports in shadow mode" if group.get("reports") == "shadow" else ""  # of another version: none
    places = f", {group['places']} places by their reports" if group.get("places") else ""
    head = f"  endpoints ({group['balance']}){shadow}{checks}{reports}{places}{panic}:"
    return [head, *(_endpoint(each, now) for each in group["endpoints"])]


def _endpoint(endpoint: Json, now: float) -> str:
    facts = [
        f"{endpoint['in_flight']} in flight",
        f"{endpoint['failures']} of {endpoint['attempts']} failed",
        f"weight {endpoint['weight']}",
    ]
    if endpoint["breaker"] != "off":
        facts.append(f"breaker {endpoint['breaker']}")
    if endpoint["ejected_until"]:
        left = max(0.0, endpoint["ejected_until"] - now)
        facts.append(f"ejected for {left:.1f} s more: {endpoint['ejected_because']}")
    if endpoint["probation"]:
        facts.append("on probation")
    if endpoint["check_failure"]:
        facts.append(f"last check: {endpoint['check_failure']}")
    if said := endpoint.get("reported"):
        text = f"{said['in_use']}/{said['total']}" if said["total"] else "drain"
        facts.append(f"reported {text} {max(0.0, now - said['at']):.1f} s ago")
    standing = "draining (by its own report)" if endpoint["standing"] == "leaving" else endpoint["standing"]
    address = f" ({endpoint['address']})" if endpoint.get("address") else ""
    return f"    {endpoint['url']}{address}: {standing}, {', '.join(facts)}"


def _hedge(hedge: Json) -> str:
    after = f"after {hedge['after']} s"
    if hedge["after"] == "p95":
        after = f"after {hedge['measured'] * 1e3:.0f} ms, p95 of {hedge['samples']} responses"
        if not hedge["measured"]:
            after = f"none yet, because {hedge['samples']} responses are too few for p95"
    return (
        f"  hedges ({hedge['mode']}): {after}; {hedge['left']:.1f} of {hedge['burst']:g} left in the budget, "
        f"{hedge['running']} running"
    )


def _rate(limit: Json) -> str:
    """A rate limit, in a line."""
    taker = "each token of a response" if limit.get("unit") == "tokens" else "a request"
    of = f" of {name}" if (name := limit.get("of")) else ""
    if of:
        taker = "an attempt"
    line = (
        f"  rate limit {limit['name']}{of} ({limit['mode']}): {limit['rate']:g} in {limit['per']:g} s, at most "
        f"{limit['burst']} at once, {taker} takes {limit['weight']}; "
    )
    if limit["key"] == "all":
        return f"{line}{limit['left']} left"
    forgotten = f", {limit['forgotten']} forgotten for lack of room" if limit["forgotten"] else ""
    return f"{line}{limit['keys']} of {limit['max_keys']} keys{forgotten}"


def _token(token: Json, now: float) -> str:
    """The access token of a connection, in a line."""
    line = f"  access token: {token['status']}"
    if token["version"]:
        line += f", version {token['version']}"
    if token["expires"]:
        left = token["expires"] - now
        line += f", ends in {left:.0f} s" if left > 0 else f", ended {-left:.0f} s ago"
    if token["waiting"]:
        line += f", {token['waiting']} calls wait for it"
    return f"{line}; {token['failure']}: {token['details']}" if token["failure"] else line


def _protocols(record: Json) -> str:
    """What both sides of a request speak; of the upstream's, if it was reached."""
    if "protocol" not in record:
        return ""
    upstream = f", HTTP/{record['upstream_protocol']} to the upstream" if record["upstream_protocol"] else ""
    return f"HTTP/{record['protocol']} from the client{upstream}"


def _queue(queue: Json) -> str:
    line = f"  queue ({queue['mode']}): {queue['waiting']} of {queue['max_waiting']} waiting"
    by_priority = queue.get("by_priority", {})  # a gateway of another version does not send these four
    if by_priority.get("high") or by_priority.get("low"):
        line += f" ({', '.join(f'{count} {priority}' for priority, count in by_priority.items() if count)})"
    if queue.get("expected_wait"):
        line += f", expected wait {queue['expected_wait']:.1f} s"
    if queue.get("order") == "lifo":
        line += ", newest first because of an overload"
    return f"{line}, their position every {queue['comments']:g} s in comments" if queue.get("comments") else line


def _adaptive(adaptive: Json, now: float) -> list[str]:
    usual = f", a response begins after {adaptive['usual']:.3g} s" if adaptive["usual"] else ""
    lines = [f"    adapts between {adaptive['min']} and {adaptive['max']}, by {adaptive['signal']}{usual}"]
    return lines + [
        f"    {_ago(decision['at'], now)}: {decision['old']} -> {decision['new']}, {decision['why']}"
        for decision in adaptive["decisions"]
    ]


def _breaker(breaker: Json, now: float) -> list[str]:
    whose = "breaker of the upstream" if breaker.get("scope") == "upstream" else "breaker"  # of another version: none
    lines = [f"  {whose} ({breaker['mode']}): {breaker['state']} since {_ago(breaker['since'], now)}"]
    if breaker["state"] == "closed":
        bound = f" of {breaker['failure_threshold']}" if breaker["failure_threshold"] else ""
        lines[0] += f", {breaker['failures']}{bound} failures in a row"
    lines += _counted(breaker)
    if breaker["next_probe"]:
        lines.append(f"    next probe in {max(0.0, breaker['next_probe'] - now):.1f} s")
    for move in breaker["moves"][-5:]:
        by = f" by {move['by']}" if move["by"] else ""
        figures = f" ({move['figures']})" if move.get("figures") else ""
        lines.append(f"    {_ago(move['at'], now)}: {move['old']} -> {move['new']}, {move['cause']}{by}{figures}")
        lines += [f"      {_outcome(outcome, now)}" for outcome in move["outcomes"][-5:]]
    lines += [f"    {_outcome(outcome, now)}" for outcome in breaker["outcomes"][-5:]]
    return lines


def _counted(breaker: Json) -> list[str]:
    """What it counts besides failures in a row. A gateway of another version does not send it."""
    lines = []
    if window := breaker.get("window"):
        said = f"    last {window['seconds']:g} s: {window['total']} attempts (at least {window['minimum_requests']})"
        if window["failure_rate"]:
            said += f", {window['failed']} failed (rule: a share of {window['failure_rate']:g})"
        if window["slow_rate"]:
            bound = f"a share of {window['slow_rate']:g}, more than {window['slow_call']:g} s each"
            said += f", {window['slow']} slow (rule: {bound})"
        lines.append(said)
    if callers := breaker.get("callers"):
        of = f"{callers['in_a_row']} failed in a row, {callers['failed']} failed, {callers['slow']} were slow"
        lines.append(
            f"    {callers.get('of', 'callers')}: {of} (at least {callers['distinct_callers']} different ones)"
        )
    return lines


def _outcome(outcome: Json, now: float) -> str:
    why = outcome["reason"] or (f"status {outcome['status']}" if outcome["status"] else "")
    worker = f" (worker {outcome['worker']})" if "worker" in outcome else ""
    return f"{_ago(outcome['at'], now)}: {outcome['outcome']} {why} {outcome['request_id']}{_of(outcome)}{worker}"


def _of(told: Json) -> str:
    """Which action has made a request, when one has. A gateway of another version does not send it."""
    return f" of {told['action']}" if told.get("action") else ""


def _ago(at: float, now: float) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(at))} ({max(0.0, now - at):.1f} s ago)"
