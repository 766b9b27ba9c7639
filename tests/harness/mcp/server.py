"""Run by `harness.mcp_peers.server`, with the SDK of the era that its first argument names.

It responds with JSON, or with events. That of the older era keeps sessions when it responds with events.
"""

import asyncio
import sys

era, port, plain = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "plain"
if era == "newer":
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer("peer")
    options = {"host": "127.0.0.1", "port": port, "json_response": plain}
else:
    from mcp.server.fastmcp import FastMCP
    from mcp.server.fastmcp.exceptions import ToolError

    server = FastMCP("peer", host="127.0.0.1", port=port, stateless_http=plain, json_response=plain)
    options = {}

released = asyncio.Event()
running = cancelled = 0


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
    global running, cancelled
    running += 1
    try:
        await released.wait()
    except asyncio.CancelledError:
        cancelled += 1
        raise
    finally:
        running -= 1
    return "released"


@server.tool()
async def release() -> str:
    """End all that hold"""
    released.set()
    return "done"


@server.tool()
async def tally() -> list[int]:
    """How many hold, and how many of them were cancelled"""
    return [running, cancelled]


server.run("streamable-http", **options)
