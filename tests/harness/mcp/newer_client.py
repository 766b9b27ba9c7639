"""Run by `harness.mcp_peers.client`, with the SDK of the newer era: it does the steps that standard input names."""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


async def done(client: Client, step: dict) -> object:
    if "together" in step:
        return await asyncio.gather(*(done(client, each) for each in step["together"]))
    try:
        if "list" in step:
            found = await client.list_tools()
        else:
            found = await client.call_tool(step["call"], step.get("arguments", {}))
    except MCPError as error:
        return {"error": error.error.code, "message": error.error.message}
    return found.model_dump(mode="json", by_alias=True)


async def main() -> None:
    told = json.load(sys.stdin)
    headers = {"Authorization": f"Bearer {told['token']}"} if told["token"] else {}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(told["url"], http_client=http)
        async with Client(transport) as client:
            results = [await done(client, step) for step in told["steps"]]
            sys.stdout.write(json.dumps({"version": client.protocol_version, "results": results}))


asyncio.run(main())
