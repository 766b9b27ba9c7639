"""One process of a fleet that gets the tokens of a grant: `python -m harness.broker_process DATABASE GRANT`.

Each line on its standard input is a round: so many callers want the token at once. It prints a line of JSON: the tokens
that they have, how many refreshes it made, and what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping

import msgspec

from gateway.config.grants import Grant
from gateway.grants.broker import Broker, Pace
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.provider import Provider
from gateway.ipc.tokens import AccessToken
from gateway.store.keys import KeyRing
from gateway.store.store import Store

LEASE = 4.0
"""Seconds; shorter than that of the gateway, so that a test need not wait for it. The provider gets less."""


async def _nothing(tokens: Mapping[str, AccessToken]) -> None:
    pass


def say(said: Mapping[str, object]) -> None:
    sys.stdout.write(f"{json.dumps(said)}\n")
    sys.stdout.flush()


async def main(database: str, text: str) -> None:
    grant = msgspec.json.decode(text, type=Grant)
    store = await Store.open(database, KeyRing.of("11" * 32))
    provider = Provider(TokenEndpoint(seconds=LEASE / 2))
    broker = Broker(store.grants, provider.next_tokens, _nothing, pace=Pace(lease=LEASE))
    broker.configure({grant.connection: grant})
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"pid": os.getpid()})
    while line := await reader.readline():
        await broker.reset(grant.connection)  # what a process knows that has looked at the store
        found = await asyncio.gather(*(broker.get(grant.connection) for _ in range(int(line))))
        say(
            {
                "tokens": sorted({each.value for each in found}),
                "versions": sorted({each.version for each in found}),
                "renewed": broker.outcomes[grant.label, "renewed"],
                "failures": sorted({each.details for each in found if each.failure}),
            }
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
