"""The access log: one JSON line for each exchange."""

from __future__ import annotations

from typing import Final

import orjson

from gateway.core.exchange import Exchange
from gateway.core.fallback import FellBack
from gateway.core.hedge import Hedge
from gateway.core.message import VERSIONS
from gateway.core.usage import NOT_SAID, Usage
from gateway.observe.timing import Phases

_NO_WAITS: Final = '"queue_ms":0,"identity_ms":0,"dial_ms":0,"upload_ms":0,"transfer_ms":0,"blocked_ms":0'

_MAX_PATH: Final = 2048
_MAX_METHOD: Final = 64
_DECIMALS: Final = "%.3f"
_SHORT: Final = tuple([_DECIMALS % (microseconds / 1e3) for microseconds in range(8192)])
"""Milliseconds as text, by microseconds: nearly all times of ours, and no arithmetic on decimals for them."""


def line(ex: Exchange, phases: Phases, epoch: float) -> bytes:
    """The line, newline included. The query is left out of ``path``: callers put keys there. A path of
    more than 2048 bytes is cut and ends with ``...+`` and the number of bytes that are missing. Times in milliseconds.

    ``epoch``: what the wall clock is ahead of the monotonic one, in seconds.
    """
    request, attempt = ex.request, ex.attempt
    described = request.logged
    if not described:
        described = _described(ex)
        if request.target:  # else one head stands for all malformed requests, from any client
            request.logged = described
    name = ex.request_id.decode() if ex.request_id.isalnum() else _text(ex.request_id)
    identity, queue, pool, dial, upload, first_byte, transfer, blocked, own = phases
    waits = _NO_WAITS
    if queue or identity or dial or upload or transfer or blocked:
        waits = (
            f'"queue_ms":{_ms(queue)},"identity_ms":{_ms(identity)},"dial_ms":{_ms(dial)},'
            f'"upload_ms":{_ms(upload)},"transfer_ms":{_ms(transfer)},"blocked_ms":{_ms(blocked)}'
        )
    grpc = "" if ex.grpc_status < 0 else f'"grpc_status":{ex.grpc_status},'
    # One literal costs half of what building a dictionary and serialising it does. Every text in it is visible ASCII
    # or was made so; the few that a client chooses go through `_text`. No formats in it: see docs/speed.md.
    return (
        f'{{"ts":{_DECIMALS % (epoch + ex.end_at)},"request_id":"{name}","proxy_name":"{ex.proxy}",'
        f'{described},"status_code":{ex.status},"reason":"{ex.reason}",'
        f'"upstream_latency_ms":{_ms(first_byte) if attempt.first_byte_at else "null"},'
        f'"proxy_latency_ms":{_ms(own)},"duration_ms":{_ms(ex.end_at - ex.start_at)},'
        f'"pool_ms":{_ms(pool)},{waits},"bytes_in":{ex.bytes_in},"bytes_out":{ex.bytes_out},'
        f'"circuit_state":"{ex.breaker}","concurrent_count":{ex.concurrent},'
        f'"upstream":"{attempt.endpoint}","attempts":{ex.attempts},"reused":{"true" if attempt.reused else "false"},'
        f'"upstream_protocol":"{attempt.http_version}",{grpc}'
        f'"shadow":"{ex.shadow}","trace_id":"{ex.trace_id.decode()}"}}\n'
    ).encode()


def tunnel_line(ex: Exchange, phases: Phases, epoch: float) -> bytes:
    """The line of an exchange that became a tunnel: also what was spoken in it, what ended it, whether both sides took
    leave, and how long it was open."""
    tunnel = ex.downstream.tunnel
    ending, clean = ("", False) if tunnel is None else (tunnel.ending, tunnel.clean)
    return (
        line(ex, phases, epoch)[:-2]
        + (
            f',"tunnel":{{"protocol":"websocket","end":"{ending}","clean":{"true" if clean else "false"},'
            f'"open_ms":{_ms(ex.end_at - ex.commit_at)}}}}}\n'
        ).encode()
    )


def events_line(ex: Exchange, phases: Phases, epoch: float) -> bytes:
    """The line of a response whose events were watched: also how many had data, when the first one came (null: none
    did), counted from the start of the exchange, and the longest time between two."""
    events = ex.events
    if events is None:
        return line(ex, phases, epoch)
    first = _ms(events.first_at - ex.start_at) if events.first_at else "null"
    seen = f'"count":{events.count},"first_ms":{first},"longest_gap_ms":{_ms(events.longest_gap)}'
    return line(ex, phases, epoch)[:-2] + f',"events":{{{seen}}}}}\n'.encode()


def having_retries(text: bytes, ex: Exchange) -> bytes:
    """The line ``text`` of an exchange that was sent again, or would have been: also why each attempt but the last one
    had failed, why no other one followed (empty: none was wanted), and what shadow mode would have sent again. Where a
    fallback took over, the last two are those of its own retries, if these have any, else of the retries before."""
    withheld = shadowed = ""
    for retries in (ex.retries, ex.fallback):
        if retries is not None:
            withheld, shadowed = withheld or retries.withheld, shadowed or retries.shadowed
    if not (ex.failures or withheld or shadowed):
        return text
    failures = ",".join([f'"{failure}"' for failure in ex.failures])
    facts = f'"failures":[{failures}],"withheld":"{withheld}","shadow":"{shadowed}"'
    return text[:-2] + f',"retries":{{{facts}}}}}\n'.encode()


def with_hedge(text: bytes, hedge: Hedge) -> bytes:
    """The line ``text`` of an exchange for which it was time for a second attempt: also after how long, what came of it
    (``won``, ``lost``; empty: there was none), where the attempt went that did not win, and why there was none."""
    if not (hedge.sent or hedge.withheld or hedge.shadowed):
        return text
    facts = (
        f'"after_ms":{_ms(hedge.after)},"result":"{hedge.result}","other":"{hedge.endpoint}",'
        f'"withheld":"{hedge.withheld}","shadow":{"true" if hedge.shadowed else "false"}'
    )
    return text[:-2] + f',"hedge":{{{facts}}}}}\n'.encode()


def with_fallback(text: bytes, behind: FellBack) -> bytes:
    """The line of an exchange that went to its fallback: also what had failed before, and where; whose breaker that
    was, where it was one; and what has rejected it there, so that the failure before stood."""
    facts = f'"cause":"{behind.cause}","reason":"{behind.reason}","upstream":"{behind.endpoint}"'
    if behind.breaker:
        facts += f',"breaker":"{behind.breaker}","of":"{behind.of}"'
    if behind.rejected:
        facts += f',"withheld":"{behind.rejected}"'
    return text[:-2] + f',"fallback":{{{facts}}}}}\n'.encode()


def with_breaker_of_upstream(text: bytes) -> bytes:
    """The line ``text`` of an exchange that the breaker of its upstream rejects, or would in shadow mode, and not those
    of its endpoints."""
    return text[:-2] + b',"breaker":"upstream"}\n'


def with_usage(text: bytes, ex: Exchange, usage: Usage) -> bytes:
    """The line of a response of a language model: also what it says of its tokens (null: that is not known), when the
    first one came, counted from the start of the exchange, and how many came a second after it."""
    first = _ms(usage.first_token_at - ex.start_at) if usage.first_token_at else "null"
    speed = _DECIMALS % usage.per_second if usage.per_second else "null"
    return (
        text[:-2]
        + (
            f',"ai":{{"model":"{usage.model}","input_tokens":{_tokens(usage.input)},'
            f'"output_tokens":{_tokens(usage.output)},"cached_tokens":{_tokens(usage.cached)},'
            f'"first_token_ms":{first},"tokens_per_second":{speed},"unknown":"{usage.unknown}"}}}}\n'
        ).encode()
    )


def _tokens(count: int) -> str:
    return "null" if count == NOT_SAID else str(count)


def _described(ex: Exchange) -> str:
    """What is the same for all equal requests of a connection. What a client can make long is cut, and says so."""
    request = ex.request
    target = request.target
    query = target.find(b"?")
    path = _text(_cut(target if query < 0 else target[:query], _MAX_PATH))
    method = _cut(request.method, _MAX_METHOD).decode()
    peer = ex.downstream.peer
    tls = peer.tls
    version = "" if tls is None else tls.version
    certificate = "" if tls is None or tls.certificate is None else tls.certificate.fingerprint
    return (
        f'"method":"{method}","path":"{path}","protocol":"{VERSIONS[request.minor]}",'
        f'"client":"{peer.real_client(request)}","peer":"{peer.address}",'
        f'"tls":"{version}","client_certificate":"{certificate}"'
    )


def _cut(value: bytes, most: int) -> bytes:
    return value if len(value) <= most else b"%b...+%d" % (value[:most], len(value) - most)


def _ms(seconds: float) -> str:
    microseconds = int(seconds * 1e6 + 0.5)
    return _SHORT[microseconds] if 0 <= microseconds < len(_SHORT) else _DECIMALS % (seconds * 1e3)


def _text(value: bytes) -> str:
    """Visible ASCII as the inside of a JSON string."""
    if b'"' in value or b"\\" in value:
        return orjson.dumps(value.decode())[1:-1].decode()
    return value.decode()
