"""What is known of the process behind a channel."""

from __future__ import annotations

from gateway.ipc.channel import ChannelClient
from gateway.ipc.client import Worker, WorkerClient


def test_a_process_knows_everything_only_over_the_connection_where_it_was_told() -> None:
    channel = ChannelClient("", {})
    worker = Worker(0, 0, WorkerClient(channel))
    assert not worker.current, "no connection was ever made"
    channel.dials = 1
    assert not worker.current
    worker.synced = 1
    assert worker.current
    channel.dials = 2
    assert not worker.current
