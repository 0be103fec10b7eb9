"""The official Python client: legacy, auto (asks the server first) or a modern version by its date.

URL MODE [--list] [--call NAME JSON_ARGUMENTS]…, and one JSON object on standard output.
"""

import asyncio
import json
import sys

from mcp import Client, MCPError


def parse_steps(arguments):
    steps = []
    rest = iter(arguments)
    for flag in rest:
        if flag == "--list":
            steps.append(("list", None, None))
        elif flag == "--call":
            steps.append(("call", next(rest), json.loads(next(rest))))
        else:
            raise SystemExit(f"unknown argument {flag}")
    return steps


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def list_tools(client):
    tools = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools.extend(page.tools)
        cursor = page.next_cursor
        if cursor is None:
            return tools


async def call(client, name, arguments):
    try:
        result = await client.call_tool(name, arguments)
    except MCPError as error:
        return {"name": name, "error": {"code": error.code, "message": error.message}}
    return {
        "name": name,
        "is_error": bool(result.is_error),
        "content": [plain(block) for block in result.content],
        "structured_content": result.structured_content,
    }


async def drive(url, mode, steps, report):
    async with Client(url, mode=mode) as client:
        info = client.server_info
        report["protocol_version"] = client.protocol_version
        report["server_info"] = plain(info) if info else None
        for kind, name, arguments in steps:
            if kind == "list":
                report["tools"] = [tool.name for tool in await list_tools(client)]
            else:
                report["calls"].append(await call(client, name, arguments))


def root_cause(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main():
    if len(sys.argv) < 3:
        raise SystemExit("usage: python_client.py URL MODE [--list] [--call NAME JSON_ARGUMENTS]…")
    url, mode, *rest = sys.argv[1:]
    report = {"client": "python", "mode": mode, "tools": [], "calls": []}
    try:
        asyncio.run(drive(url, mode, parse_steps(rest), report))
    except Exception as error:
        cause = root_cause(error)
        report["error"] = {"code": getattr(cause, "code", None), "message": f"{type(cause).__name__}: {cause}"}
    print(json.dumps(report))
    raise SystemExit(1 if "error" in report else 0)


main()
