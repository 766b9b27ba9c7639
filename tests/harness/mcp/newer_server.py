"""A server with the SDK of the newer era: it responds with JSON, or with events."""

import asyncio
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

port, how = int(sys.argv[1]), sys.argv[2]
server = MCPServer("peer")

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


server.run("streamable-http", host="127.0.0.1", port=port, json_response=how == "plain")
