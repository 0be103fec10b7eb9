"""Appends audit events to a file, one JSON object a line; what is answered is on the disk.

AUDIT_FILE (default audit.jsonl) is only ever appended to. An event that comes again, because its answer was
lost, is known by its `event_id` and written once.
"""

import json
import os
from collections import deque

from plugin import Plugin, Refused

# Events come again within minutes, not after so many others.
REMEMBERED = 100_000


class Journal:
    def __init__(self, path):
        self.file = open(path, "a+b")
        self.file.seek(0)
        lines = self.file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            # The line that a crash broke off was never answered, so its event comes again.
            self.file.truncate(sum(map(len, lines[:-1])))
            lines.pop()
        self.order = deque(event_id(json.loads(line)) for line in lines[-REMEMBERED:])
        self.known = set(self.order)

    def append(self, events):
        new = {}
        for event in events:
            name = event_id(event)
            if name is None or name not in self.known:
                # Without an id, each is another one.
                new[name or object()] = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        if not new:
            return
        end = self.file.seek(0, os.SEEK_END)
        try:
            self.file.write(b"".join(new.values()))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            # Half a line would spoil the one behind it.
            os.ftruncate(self.file.fileno(), end)
            raise Refused("unavailable", f"the audit file cannot be written: {error.strerror}") from error
        names = [name for name in new if isinstance(name, str)]
        self.order.extend(names)
        self.known.update(names)
        while len(self.order) > REMEMBERED:
            self.known.discard(self.order.popleft())


def event_id(event):
    name = event.get("metadata", {}).get("event_id")
    return name if isinstance(name, str) else None


journal = Journal(os.environ.get("AUDIT_FILE", "audit.jsonl"))
plugin = Plugin("audit-sink")
fields = {name: {"type": "string"} for name in ("timestamp", "event_type", "tenant_id", "user_id", "mcp_server", "tool")}
fields |= {"result": {"enum": ["ok", "tool_error", "denied", "error"]}, "metadata": {"type": "object"}}
event = {"type": "object", "properties": fields, "required": ["timestamp", "event_type"]}


@plugin.tool("log_event", "Records an event.", arguments=fields, required=event["required"])
def log_event(arguments):
    journal.append([arguments])
    return {}


@plugin.tool(
    "log_events",
    "Records events, in order.",
    arguments={"events": {"type": "array", "items": event}},
    required=["events"],
)
def log_events(arguments):
    journal.append(arguments["events"])
    return {}


if __name__ == "__main__":
    plugin.run()
