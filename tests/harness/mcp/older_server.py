"""A server with the SDK of the older era: it keeps sessions, or none, and responds with JSON, or with events."""

import asyncio
import sys

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError

port, how = int(sys.argv[1]), sys.argv[2]
server = FastMCP("peer", host="127.0.0.1", port=port, stateless_http=how == "plain", json_response=how == "plain")

released = asyncio.Event()


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers"""
    return a + b


@server.tool()
def fail() -> str:
    """Fail"""
    raise ToolError("no stock")


@server.tool()
async def hold() -> str:
    """Wait for release"""
    await released.wait()
    return "released"


@server.tool()
async def release() -> str:
    """End all that hold"""
    released.set()
    return "done"


server.run("streamable-http")
