"""Every cell of the table, on real streams: the state that follows, and the timer that then runs."""

from __future__ import annotations

from time import monotonic

import pytest
from harness.scripted import HeldSource
from unit.wire.h2.client_stage import Asking, UpstreamStage, outgoing

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED
from gateway.wire.h2.client_states import CLIENT, CLIENT_TIMERS, ClientEvent, ClientState
from gateway.wire.h2.frames import rst_stream, window_update

NEW, HEAD, STALLED, BODY, HELD, REST, DONE, CLOSED = ClientState


class Stream:
    """A request with a body to come, on a connection whose window is shut to it after ten bytes."""

    def __init__(self) -> None:
        self.stage = UpstreamStage(pairs=[(4, 10)])
        self.stage.client.body_idle = 44.0
        self.asking = Asking(self.stage.client.open())
        self.stream = self.asking.stream

    def cause(self, event: ClientEvent) -> None:
        stage, stream, asking = self.stage, self.stream, self.asking
        if event is ClientEvent.SEND:
            asking.done = stream.send(outgoing(b"POST", CHUNKED), b"", b"", asking.reply, Limits())
        elif event is ClientEvent.BEGIN:
            stage.head(asking)
        elif event is ClientEvent.WHOLE:
            stage.head(asking, ended=True)
        elif event is ClientEvent.LAST:
            stage.data(asking, b"end", ended=True)
        elif event is ClientEvent.TAKEN:
            stream.resume()
        elif event is ClientEvent.FULL:
            stream.begin_body(HeldSource(), CHUNKED)
            stream.data(memoryview(bytes(20)), pooled=False)
        elif event is ClientEvent.OPEN:
            stage.say(window_update(stream.ident, 1000))
        elif event is ClientEvent.EXPECT:
            stream.expect_by(monotonic() + 33, errors.HEADER_TIMEOUT)
        elif event is ClientEvent.HOLD:
            stream.hold()
        elif event is ClientEvent.RESUME:
            stream.resume()
        elif event is ClientEvent.EXPIRED:
            stream.expires_at = monotonic() - 1
            stage.client._on_time()
        elif stream.ident in stage.client._streams:
            stage.say(rst_stream(stream.ident, 8))
        else:
            stream.abandon(0.0)

    def reach(self, state: ClientState) -> None:
        ways = {
            NEW: [],
            HEAD: [ClientEvent.SEND],
            STALLED: [ClientEvent.SEND, ClientEvent.FULL],
            BODY: [ClientEvent.SEND, ClientEvent.BEGIN],
            HELD: [ClientEvent.SEND, ClientEvent.BEGIN, ClientEvent.HOLD],
            REST: [ClientEvent.SEND, ClientEvent.BEGIN, ClientEvent.HOLD, ClientEvent.LAST],
            DONE: [ClientEvent.SEND, ClientEvent.WHOLE],
            CLOSED: [ClientEvent.SEND, ClientEvent.CLOSE],
        }
        for event in ways[state]:
            self.cause(event)
        assert self.stream.state is state

    def end(self) -> None:
        done = self.stream._done
        self.stage.close()
        for future in (done, getattr(self.asking, "done", None)):
            if future is not None and future.done() and not future.cancelled():
                future.exception()


@pytest.mark.parametrize("state", ClientState)
@pytest.mark.parametrize("event", ClientEvent)
async def test_each_cell(event: ClientEvent, state: ClientState) -> None:
    after = CLIENT[event][state]
    tried = Stream()
    tried.reach(state)
    if after is None:
        tried.end()
        return
    ends_by_itself = event is ClientEvent.CLOSE and state in (REST, DONE)
    if ends_by_itself:  # a response that has come whole stays one: its exchange ends it
        tried.stream.abandon(0.0)
    elif event is ClientEvent.LAST and state is BODY:
        tried.cause(event)
        assert tried.stream.state is DONE, "what comes last is taken in the same call"
        tried.end()
        return
    elif event is ClientEvent.FULL and state not in (NEW, HEAD, CLOSED) and tried.stream.full:
        pass  # already
    else:
        tried.cause(event)
    if event is ClientEvent.FULL and state is NEW:
        after = NEW
    if event is ClientEvent.RESUME and state is REST:
        after = DONE
    if event is ClientEvent.OPEN and not tried.stream.ident:
        after = state
    assert tried.stream.state is after
    if after is not state:
        timer = CLIENT_TIMERS[after]
        assert (tried.stream.expires_at > 0) == (timer == "idle" or event is ClientEvent.EXPECT)
    tried.end()


async def test_the_exchange_arms_the_timer_of_a_head() -> None:
    tried = Stream()
    tried.reach(HEAD)
    assert tried.stream.expires_at == 0.0
    tried.cause(ClientEvent.EXPECT)
    assert tried.stream.expires_at == pytest.approx(monotonic() + 33, abs=5)
    tried.stream.expect_by(0.0, errors.HEADER_TIMEOUT)
    assert tried.stream.expires_at == 0.0
    tried.end()
