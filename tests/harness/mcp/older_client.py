"""Run by `harness.mcp_peers.client`, with the SDK of the older era: it does the steps that standard input names."""

import asyncio
import json
import sys

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client


async def done(session: ClientSession, step: dict) -> object:
    if "together" in step:
        return await asyncio.gather(*(done(session, each) for each in step["together"]))
    try:
        if "list" in step:
            found = await session.list_tools()
        else:
            found = await session.call_tool(step["call"], step.get("arguments", {}))
    except McpError as error:
        return {"error": error.error.code, "message": error.error.message}
    return found.model_dump(mode="json", by_alias=True)


async def main() -> None:
    told = json.load(sys.stdin)
    headers = {"Authorization": f"Bearer {told['token']}"} if told["token"] else {}
    async with (
        streamablehttp_client(told["url"], headers=headers) as (reads, writes, _),
        ClientSession(reads, writes) as session,
    ):
        begun = await session.initialize()
        results = [await done(session, step) for step in told["steps"]]
        sys.stdout.write(json.dumps({"version": begun.protocolVersion, "results": results}))


asyncio.run(main())
