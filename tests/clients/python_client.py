"""The official Python client: legacy, auto (asks the server first) or a modern version by its date.

Takes the plan that drive.mjs takes, and prints the same lines.
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

# How long a step waits for what a server says on its own.
PATIENCE = 30
ROOT = types.Root(uri="file:///served", name="served")
LISTS = {
    "tools": ("list_tools", "tools", lambda tool: tool.name),
    "prompts": ("list_prompts", "prompts", lambda prompt: prompt.name),
    "resources": ("list_resources", "resources", lambda resource: str(resource.uri)),
    "resourceTemplates": (
        "list_resource_templates",
        "resource_templates",
        lambda template: template.uri_template,
    ),
}
NEWS = {
    "ToolsListChanged": "notifications/tools/list_changed",
    "PromptsListChanged": "notifications/prompts/list_changed",
    "ResourcesListChanged": "notifications/resources/list_changed",
    "ResourceUpdated": "notifications/resources/updated",
}


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def describe(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return {"code": error.code, "message": error.message, "data": error.data}
    return {"code": None, "message": f"{type(error).__name__}: {error}", "data": None}


class Record:
    """What the client sees while a step runs."""

    def __init__(self, answers=None):
        self.seen = {"progress": [], "logs": [], "asked": [], "heard": []}
        self.answers = answers or {}
        self.noticed = asyncio.Event()

    def add(self, kind, item):
        self.seen[kind].append(item)
        self.noticed.set()

    async def until(self, enough):
        """Waits until it is so, which `enough` says when something was added."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not enough(self.seen):
                    self.noticed.clear()
                    await self.noticed.wait()
        except TimeoutError:
            raise RuntimeError("waited in vain") from None


class Visit:
    """One connection."""

    def __init__(self, place, mode):
        self.record = Record()
        self.meta = None
        self.client = Client(
            place,
            mode=mode,
            sampling_callback=self.sample,
            elicitation_callback=self.elicit,
            list_roots_callback=self.roots,
            logging_callback=self.log,
            message_handler=self.hear,
        )

    async def sample(self, _context, _params):
        self.record.add("asked", {"method": "sampling/createMessage", "mode": None})
        text = types.TextContent(type="text", text=self.record.answers.get("text", ""))
        return types.CreateMessageResult(role="assistant", model="test", content=text)

    async def elicit(self, _context, params):
        self.record.add("asked", {"method": "elicitation/create", "mode": params.mode})
        if params.mode == "url":
            return types.ElicitResult(action="accept")
        wanted = params.requested_schema["properties"]
        form = self.record.answers.get("form", {})
        content = {name: value for name, value in form.items() if name in wanted}
        return types.ElicitResult(action="accept", content=content)

    async def roots(self, _context):
        self.record.add("asked", {"method": "roots/list", "mode": None})
        return types.ListRootsResult(roots=[ROOT])

    async def log(self, params):
        self.record.add("logs", plain(params))

    async def hear(self, message):
        method = getattr(message, "method", None)
        if method in NEWS.values():
            uri = getattr(message.params, "uri", None)
            self.record.add("heard", {"method": method, "uri": uri and str(uri)})

    def is_modern(self):
        return self.client.protocol_version >= "2026"

    async def take(self, step):
        record = self.record = Record(step.get("answers"))
        line = {}
        try:
            result = await getattr(self, "do_" + step["do"])(step)
            line["result"] = result
            await record.until(lambda seen: len(seen["logs"]) >= step.get("logs", 0))
        except Exception as error:
            line["error"] = describe(error)
        return {**line, **record.seen}

    async def do_list(self, step):
        method, field, name = LISTS[step["what"]]
        names, cursor = [], None
        while True:
            page = await getattr(self.client, method)(cursor=cursor)
            names.extend(name(item) for item in getattr(page, field))
            cursor = page.next_cursor
            if cursor is None:
                return names

    async def do_call(self, step):
        async def progress(done, _total, _message):
            self.record.add("progress", done)

        result = await self.client.call_tool(
            step["name"], step["arguments"], progress_callback=progress, meta=self.meta
        )
        return plain(result)

    async def do_get(self, step):
        return plain(await self.client.get_prompt(step["name"], step.get("arguments")))

    async def do_read(self, step):
        return plain(await self.client.read_resource(step["uri"]))

    async def do_complete(self, step):
        ref = step["ref"]
        kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
        context = step.get("context") or {}
        result = await self.client.complete(kind(**ref), step["argument"], context.get("arguments"))
        return plain(result)

    async def do_cancel(self, step):
        """Takes a call back once it is under way, which its progress shows."""
        call = asyncio.create_task(self.do_call(step))
        await self.record.until(lambda seen: seen["progress"])
        call.cancel()
        try:
            return await call
        except asyncio.CancelledError:
            raise RuntimeError("taken back") from None

    async def do_listen(self, step):
        """Listens, has something happen, and listens until it is told of it."""
        listen = self.listen_as_modern if self.is_modern() else self.listen_as_legacy
        async with listen(step["filter"]):
            await self.do_call(step["cause"])
            await self.record.until(
                lambda seen: any(change["method"] == step["change"] for change in seen["heard"])
            )
        return {}

    @asynccontextmanager
    async def listen_as_legacy(self, wanted):
        for uri in wanted.get("resourceSubscriptions", []):
            await self.client.subscribe_resource(uri)
        yield
        for uri in wanted.get("resourceSubscriptions", []):
            await self.client.unsubscribe_resource(uri)

    @asynccontextmanager
    async def listen_as_modern(self, wanted):
        flags = {
            "tools_list_changed": wanted.get("toolsListChanged", False),
            "prompts_list_changed": wanted.get("promptsListChanged", False),
            "resources_list_changed": wanted.get("resourcesListChanged", False),
            "resource_subscriptions": wanted.get("resourceSubscriptions", ()),
        }
        async with self.client.listen(**flags) as subscription:

            async def read():
                async for event in subscription:
                    method = NEWS[type(event).__name__]
                    self.record.add("heard", {"method": method, "uri": getattr(event, "uri", None)})

            reading = asyncio.create_task(read())
            try:
                yield
            finally:
                reading.cancel()

    async def do_level(self, step):
        if self.is_modern():
            self.meta = {types.LOG_LEVEL_META_KEY: step["level"]}
            return {}
        return plain(await self.client.set_logging_level(step["level"]))


def place_of(stop):
    if "url" in stop:
        return stop["url"]
    command, *args = stop["command"]
    return StdioServerParameters(command=command, args=args)


async def drive(plan):
    for stop in plan["visits"]:
        visit = Visit(place_of(stop), plan["mode"])
        async with visit.client as client:
            info = client.server_info
            result = {"protocol_version": client.protocol_version, "server_info": info and plain(info)}
            print(json.dumps({"result": result}))
            for step in stop["steps"]:
                print(json.dumps(await visit.take(step)))


asyncio.run(drive(json.loads(sys.argv[1])))
