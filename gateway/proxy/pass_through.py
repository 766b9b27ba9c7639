"""The base of what reads the body of a response as it passes: a sink in front of another sink."""

from __future__ import annotations

from gateway.core.stream import Sink


class PassThrough:
    """A `gateway.core.stream.Sink` that gives all to ``sink``; what brings a body is for those that read it."""

    __slots__ = ("_sink", "takes_chunks")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.takes_chunks = False
        """Chunks are read here, and so made again for the caller."""

    @property
    def full(self) -> bool:
        """As `Sink.full`."""
        return self._sink.full

    @property
    def body_out(self) -> int:
        """As `Sink.body_out`."""
        return self._sink.body_out

    @property
    def blocked(self) -> float:
        """As `Sink.blocked`."""
        return self._sink.blocked

    def chunks(self, raw: bytes, size: int) -> None:
        raise NotImplementedError  # `takes_chunks` is False

    def flush(self) -> None:
        """As `Sink.flush`."""
        self._sink.flush()

    def ended(self) -> None:
        raise NotImplementedError  # as `chunks`
