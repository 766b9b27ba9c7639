"""Applies the fallback: what the upstream of a proxy has failed goes to another one, or gets a fixed response.

It takes over once, before the first byte of a response and never after. By then the first upstream has its permit back,
and what it has learnt stays: its breaker has judged the attempt, also that of a response that was discarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Cors
from gateway.core.attempt import NO_ATTEMPT
from gateway.core.event_stream import Opened
from gateway.core.exchange import Exchange
from gateway.core.fallback import BREAKERS, REJECTED, Discarded, FellBack
from gateway.core.layer import Handler, Layer
from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream
from gateway.errors import LOCAL_RESOURCES, TOTAL_TIMEOUT, GatewayError
from gateway.policy.causes import BREAKER, CAUSE_OF, Causes
from gateway.policy.limiter import Limiter
from gateway.proxy.cors import cors_fields
from gateway.proxy.grpc import is_grpc
from gateway.proxy.kept_response import KeptResponse, Later, discard
from gateway.proxy.layers.deadline import deadline
from gateway.proxy.layers.retry import has_body
from gateway.proxy.layers.server_timing import head_field
from gateway.proxy.rewrite_body import BodyRewrite, bytes_to_collect, rewrite_of
from gateway.proxy.rewrite_body import is_possible as can_rewrite
from gateway.wire.buffers import BufferPool

_NO_ROOM = "The relay buffers have no room for the request body, which the fallback needs as a whole"
_OF_THE_FIRST: Final = (
    "attempt",
    "breaker",
    "breaker_of_upstream",
    "concurrent",
    "events",
    "retried",
    "retries",
    "tried",
    "usage",
)
"""What an exchange has of the first upstream, and has again when the second one rejects it."""
_COME_BACK = (429, 503)
"""RFC 6585 4, RFC 9110 15.6.4: statuses that may say when to ask again."""

Discards = Callable[[Exchange, int], bool]
"""Says whether the response with this status is discarded. When it is, what takes its place is possible."""


def fall_back(
    fallback: Fallback | None,
    second: Handler | None,
    limiter: Limiter | None,
    cors: Cors,
    buffers: BufferPool | None = None,
    of: str = "",
) -> Layer:
    """Give what fails below for a listed reason to ``second``, the chain of the other upstream; None: the response of
    ``fallback``. Sets ``fallback`` and ``keeper`` of the exchange.

    ``limiter``: that of the first upstream, which gives permits back a moment after an attempt was cut. The deadline
    of the exchange goes on. ``buffers``: in whose budget a body is that is kept for ``second``, or collected to be
    rewritten; without room the failure stands; None: none is kept. ``of``: the name of the first upstream. What
    ``second`` raises is the end of it, because a fallback has no fallback; unless it has rejected the exchange before
    anything was sent: then what the first upstream has brought is for the caller, as without a fallback.
    """
    if fallback is None:
        return lambda next_handler: next_handler
    causes = Causes(fallback.on, fallback.statuses)
    response = fallback.response or FixedResponse()
    rewrite = rewrite_of(fallback.rewrite)

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            began = monotonic()
            failed: GatewayError | None = None
            try:
                await next_handler(ex)
                if ex.discarded is None:
                    return
                cause = str(ex.status)
            except GatewayError as error:
                cause = _cause(causes, ex, error, fallback)
                if not cause:
                    raise
                failed = error
                # Its frames lead to this one, which would be kept until the garbage collector runs.
                failed.__traceback__ = failed.__context__ = failed.__cause__ = None
            if second is None:
                _leave_behind(ex, cause, failed, began, of)
                _give(response, ex, failed, cors)
                return
            if ex.attempt.asked_at and limiter is not None:
                await asyncio.sleep(limiter.linger)
            if ex.keeper is not None and not ex.keeper.keep(_bytes_needed(ex, rewrite)):
                ex.discarded = None
                await _stand(ex, failed or GatewayError(LOCAL_RESOURCES, _NO_ROOM, retry_after=1), failed)
                return
            before = [getattr(ex, name) for name in _OF_THE_FIRST]
            left = _time_left(ex, failed)
            _leave_behind(ex, cause, failed, began, of)
            rejection = await _ask(second if rewrite is None else _after(rewrite, second), ex, left)
            if rejection is not None:
                for name, value in zip(_OF_THE_FIRST, before, strict=True):
                    setattr(ex, name, value)
                await _stand(ex, failed or rejection, failed)

        return handle if second is None or buffers is None else _keeping(handle, buffers)

    return layer


def discards_for(fallback: Fallback | None) -> Discards | None:
    """What is discarded for the sake of ``fallback``; None: nothing."""
    if fallback is None:
        return None
    causes = Causes((), fallback.statuses)
    if not causes.lists_statuses:
        return None
    return lambda ex, status: causes.lists(status) and _is_possible(ex, fallback)


def takes_over(fallback: Fallback | None) -> Callable[[Exchange, GatewayError], bool] | None:
    """Says whether ``fallback`` takes over from what an exchange ends with; None: there is none."""
    if fallback is None:
        return None
    causes = Causes(fallback.on)
    return lambda ex, error: _cause(causes, ex, error, fallback) != ""


def fallback_line(ex: Exchange) -> bytes:
    """The field that tells a caller that the response comes from the fallback, and what had failed."""
    return b"" if ex.fallback is None else b"X-Gateway-Fallback: %b\r\n" % ex.fallback.cause.encode()


class _Keeper:
    """A `gateway.core.fallback.Keeper`."""

    __slots__ = ("_buffers", "_response", "_size")

    def __init__(self, buffers: BufferPool) -> None:
        self._buffers = buffers
        self._size = 0
        self._response: KeptResponse | None = None

    def discard(self, head: ResponseHead, stream: ClientStream, later: Later, *, complete: bool) -> Discarded:
        """As `Keeper.discard`."""
        made = discard(head, stream, later, self._buffers, complete=complete)
        self._response = made if isinstance(made, KeptResponse) else None
        return made

    def give(self, ex: Exchange) -> bool:
        """Whether the response that was discarded is there as a whole: then it goes to the caller."""
        kept = self._response
        if kept is None or not kept.is_whole:
            return False
        kept.give(ex)
        return True

    def keep(self, size: int) -> bool:
        """As `Keeper.keep`."""
        more = size - self._size
        if more > 0:
            if not self._buffers.keep(more):
                return False
            self._size = size
        return True

    def forget(self) -> None:
        """As `Keeper.forget`."""
        self._buffers.let_go(self._size)
        self._size = 0
        if self._response is not None:
            self._response.forget()
            self._response = None


def _keeping(next_handler: Handler, buffers: BufferPool) -> Handler:
    async def handle(ex: Exchange) -> None:
        ex.keeper = keeper = _Keeper(buffers)
        try:
            await next_handler(ex)
        finally:
            keeper.forget()

    return handle


def _bytes_needed(ex: Exchange, rewrite: BodyRewrite | None) -> int:
    """What is kept of the body, by whatever layer, or has to come into memory first."""
    if ex.body is not None:
        return len(ex.body)
    return 0 if rewrite is None else bytes_to_collect(ex)


def _after(rewrite: BodyRewrite, second: Handler) -> Handler:
    async def handle(ex: Exchange) -> None:
        await rewrite(ex)
        await second(ex)

    return handle


def _cause(causes: Causes, ex: Exchange, error: GatewayError, fallback: Fallback) -> str:
    """What the fallback takes over from; empty: it does not, and the error stands."""
    cause = causes.word_for(error.reason.code)
    return cause if cause and not ex.committed and _is_possible(ex, fallback) else ""


def _is_possible(ex: Exchange, fallback: Fallback) -> bool:
    """A response that is none of gRPC says less to a caller of gRPC than the failure itself."""
    if not fallback.upstream:
        if ex.opened is not None:
            return _fits(fallback.response or FixedResponse(), ex.opened)
        return not is_grpc(ex.request)
    return has_body(ex) and (not fallback.rewrite or can_rewrite(ex))


def _fits(response: FixedResponse, opened: Opened) -> bool:
    return opened.takes_fixed(response.status, response.content_type)


def _time_left(ex: Exchange, failed: GatewayError | None) -> float:
    """Seconds for another upstream; 0.0: there is no bound. Raises what has ``failed`` when no time is left."""
    left = ex.deadline - monotonic() if ex.deadline else 0.0
    if left < 0.0 or (failed is not None and failed.reason is TOTAL_TIMEOUT):
        raise failed or GatewayError(TOTAL_TIMEOUT)
    return left


async def _ask(second: Handler, ex: Exchange, left: float) -> GatewayError | None:
    """Why ``second`` has rejected it before anything was sent; None: it has served it. Raises how it failed."""
    queued, ex.queued, behind, attempts = ex.queued, 0.0, ex.fallback, ex.attempts
    try:
        await deadline(left)(second)(ex)
    except GatewayError as error:
        word = CAUSE_OF.get(error.reason.code, "")
        if word not in REJECTED or ex.attempts > attempts or behind is None:
            raise
        behind.rejected = word
        error.__traceback__ = error.__context__ = error.__cause__ = None  # as above
        return error
    finally:
        ex.queued += queued  # of both queues
    return None


async def _stand(ex: Exchange, error: GatewayError, failed: GatewayError | None) -> None:
    """Let the caller have what the first upstream has brought: its response, or how it ``failed``. ``error`` is raised
    where there is neither."""
    keeper = ex.keeper
    if failed is not None or not isinstance(keeper, _Keeper) or not keeper.give(ex):
        raise error
    if ex.downstream.full:  # the layer that waits for that, `deliver` or `limit`, is below
        ex.blocked = await ex.downstream.sent()


def _leave_behind(ex: Exchange, cause: str, failed: GatewayError | None, began: float, of: str) -> None:
    """Make the exchange one that has tried nothing yet, and remember what it had."""
    before = ex.attempt
    reason = "" if failed is None else failed.reason.code
    retries = ex.retries
    withheld, shadowed = ("", "") if retries is None else (retries.withheld, retries.shadowed)
    breaker = "" if cause != BREAKER else BREAKERS[ex.breaker_of_upstream]
    behind = FellBack(cause, reason, before.endpoint, ex.attempts, withheld, shadowed, breaker, of if breaker else "")
    ex.fallback = behind
    ex.retried = monotonic() - began - ex.queued
    ex.attempt, ex.status, ex.reason = NO_ATTEMPT, 0, ""
    ex.breaker, ex.breaker_of_upstream, ex.concurrent, ex.tried = "", False, 0, ()
    ex.discarded = ex.retries = ex.events = ex.usage = None


def _give(response: FixedResponse, ex: Exchange, failed: GatewayError | None, cors: Cors) -> None:
    ex.status = response.status
    ex.committed = True
    body = response.body.encode()
    if ex.opened is not None:
        ex.opened.append(body)
        ex.bytes_out = ex.downstream.body_out
        return
    fields = b"Content-Type: %b\r\nX-Request-Id: %b\r\n" % (response.content_type.encode(), ex.request_id)
    fields += fallback_line(ex)
    if failed is not None and failed.retry_after and response.status in _COME_BACK:
        fields += b"Retry-After: %d\r\n" % failed.retry_after
    if ex.quota is not None:
        fields += ex.quota.lines()
    if cors.allow_origins:
        fields += cors_fields(cors, ex.request.fields)
    if ex.timed:
        fields += head_field(ex)
    ex.downstream.respond(response.status, fields, body)
    ex.bytes_out = len(body)
