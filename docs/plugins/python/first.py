"""Lets everybody read, and administrators do everything."""

from mcp.server import MCPServer
from pydantic import BaseModel


class Decision(BaseModel):
    allowed: bool
    reason: str = ""


server = MCPServer("first-policy")


@server.tool()
def check_access(user_id: str, mcp_server: str, tool: str = "", roles: list[str] = []) -> Decision:
    """Says whether a user may do something."""
    if "admin" in roles or tool.startswith(("get", "list", "read")):
        return Decision(allowed=True)
    return Decision(allowed=False, reason="only administrators change things")


server.run()
