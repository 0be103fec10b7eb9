"""A plugin by hand, over standard streams within the legacy versions, that does one thing wrong: its first argument.

Without one it is an authentication provider as it should be, whose keys are `KEY_OF_ADA` and `KEY_OF_BOB`.
"""

import json
import os
import sys
import threading
import time

FAULT = sys.argv[1] if len(sys.argv) > 1 else None
USERS = {os.environ[name]: user for name, user in (("KEY_OF_ADA", "ada"), ("KEY_OF_BOB", "bob"))}
TEXT = {"type": "string"}
writing = threading.Lock()
calls = 0
latest = None


def schemas():
    arguments = {"type": "object", "properties": {"type": TEXT, "value": TEXT}, "required": ["type", "value"]}
    if FAULT == "other-arguments":
        arguments["required"] = ["credential"]
    result = {"type": "object", "properties": {"user_id": TEXT}, "required": ["user_id"]}
    return arguments, result


def tools():
    name = "check_credential" if FAULT == "other-name" else "validate_credential"
    arguments, result = schemas()
    tool = {"name": name, "inputSchema": arguments}
    if FAULT == "odd-results":
        tool["outputSchema"] = result
    return {"tools": [tool]}


def failed(text):
    return {"content": [{"type": "text", "text": text}], "isError": True}


def call(params):
    global calls, latest
    calls += 1
    if FAULT == "hangs":
        threading.Event().wait()
    if FAULT == "crashes" and calls == 3:
        os._exit(1)
    if params["name"] != "validate_credential":
        if FAULT == "has-every-tool":
            return {"content": []}
        raise LookupError("there is no such tool")
    arguments = params.get("arguments", {})
    if FAULT != "takes-anything":
        for name in ("type", "value"):
            if not isinstance(arguments.get(name), str):
                said = f": {arguments}" if FAULT == "repeats" else ""
                return failed(f"{name} has to be a string{said}")
    value = arguments.get("value")
    if FAULT == "mixes-up":
        latest = value
        time.sleep(0.01)
        value = latest
    user = USERS.get(value) if isinstance(value, str) else None
    if FAULT == "lets-all-in":
        user = user or "ada"
    if FAULT == "odd-results":
        return {"content": [], "structuredContent": {"name": user}}
    if user is None:
        said = f" {value}" if FAULT == "repeats-bad-keys" else ""
        return {} if FAULT == "takes-anything" else failed(f"unknown key{said}")
    text = f"welcome, {user}" if FAULT == "unreadable" else json.dumps({"user_id": user})
    return {"content": [{"type": "text", "text": text}]}


def answer(request):
    method, message = request["method"], {"jsonrpc": "2.0", "id": request["id"]}
    try:
        if method == "initialize":
            info = {"name": "broken", "version": "1"}
            message["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            message["result"] = tools()
        elif method == "tools/call":
            message["result"] = call(request["params"])
        else:
            raise LookupError(f"there is no method {method}")
    except LookupError as error:
        message["error"] = {"code": -32601, "message": str(error)}
    with writing:
        print(json.dumps(message), flush=True)


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request and "method" in request:
        threading.Thread(target=answer, args=(request,), daemon=True).start()
