"""What every plugin of this folder is made of: tools with schemas, the contract's errors, stdio and HTTP.

Built on the SDK's low-level `Server`, because a plugin gets secrets and records: arguments arrive as they
were sent, and an error never repeats one. `MCPServer` and its decorators do neither.
"""

import argparse
import hmac
import json
import os
import sys

import anyio
import uvicorn
from jsonschema import Draft202012Validator
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from starlette.responses import PlainTextResponse


class Refused(Exception):
    """The plugin says no, or cannot: `kind` is one of the contract's, such as `unauthenticated`."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Plugin:
    def __init__(self, name, version="1.0.0"):
        self.tools, self.calls = [], {}
        self.server = Server(name, version=version, on_list_tools=self.on_list, on_call_tool=self.on_call)

    def tool(self, name, description, arguments, result=None, required=()):
        """Registers a function that takes the arguments as a dict, and gives the result as one."""
        takes = {"type": "object", "properties": arguments, "required": list(required)}
        gives = result and {"type": "object", **result}
        self.tools.append(Tool(name=name, description=description, input_schema=takes, output_schema=gives))

        def register(function):
            self.calls[name] = (function, Draft202012Validator(takes))
            return function

        return register

    async def on_list(self, context, params):
        return ListToolsResult(tools=self.tools)

    async def on_call(self, context, params):
        try:
            if params.name not in self.calls:
                raise Refused("not_found", "there is no such tool")
            function, schema = self.calls[params.name]
            arguments = params.arguments or {}
            for wrong in schema.iter_errors(arguments):
                # Its own message would repeat the value.
                raise Refused("invalid_argument", f"{wrong.json_path} breaks the schema's `{wrong.validator}`")
            given, failed = function(arguments), False
        except Refused as no:
            given, failed = {"error": {"kind": no.kind, "message": str(no)}}, True
        except Exception as error:
            # Neither its words nor its trace are shown: they may hold what was sent.
            print(f"{params.name} failed with {type(error).__name__}", file=sys.stderr)
            given, failed = {"error": {"kind": "internal", "message": "the plugin has a defect"}}, True
        text = TextContent(type="text", text=json.dumps(given))
        return CallToolResult(content=[text], structured_content=given, is_error=failed)

    def run(self):
        """Serves on standard streams, or with `--http HOST:PORT` there, at /mcp."""
        flags = argparse.ArgumentParser(description="An MCP gateway plugin.")
        flags.add_argument("--http", metavar="HOST:PORT", help="serve HTTP; port 0 is any that is free")
        address = flags.parse_args().http
        if address is None:
            return anyio.run(self.serve_stdio)
        host, _, port = address.rpartition(":")
        token = os.environ.get("PLUGIN_TOKEN")
        if not token and host not in ("127.0.0.1", "localhost"):
            sys.exit("set PLUGIN_TOKEN to a bearer token: without one only this machine is served")
        app = self.server.streamable_http_app(host=host, json_response=True, stateless_http=True)
        uvicorn.run(with_bearer(app, token) if token else app, host=host, port=int(port), access_log=False)

    async def serve_stdio(self):
        async with stdio_server() as (read, write):
            await self.server.run(read, write, self.server.create_initialization_options())


def with_bearer(app, token):
    due = b"Bearer " + token.encode()

    async def guarded(scope, receive, send):
        given = dict(scope.get("headers", [])).get(b"authorization", b"")
        if scope["type"] == "http" and not hmac.compare_digest(given, due):
            return await PlainTextResponse("a bearer token is wanted", 401)(scope, receive, send)
        await app(scope, receive, send)

    return guarded
