# A command server for tests; its arguments say in which ways it misbehaves.
import json
import os
import signal
import subprocess
import sys
import time

ways = set(sys.argv[1:])
modern = "modern" in ways
cancelled = []
subscriptions = []


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def receive():
    line = sys.stdin.readline()
    if line:
        return json.loads(line)
    if "deaf" in ways:
        while True:
            time.sleep(1)
    sys.exit(0)


def call(request):
    method, params, id = request["method"], request.get("params", {}), request["id"]
    if method == "die":
        os._exit(7)
    elif method == "hang":
        return
    elif method == "progress":
        token = params["_meta"]["progressToken"]
        for step in range(3):
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
        send({"method": "notifications/tools/list_changed"})
    elif method == "noise":
        print("this is a log line on the wrong stream", flush=True)
        send({"id": 987654, "result": {"for": "nobody"}})
        send({"id": "odd", "result": {}})
        print("x" * 100_000, flush=True)
        sys.stderr.write("e" * 200 + "\x1b[31m\n")
        sys.stderr.write(("y" * 999 + "\n") * 1000)
        sys.stderr.flush()
    elif method == "callback":
        send({"id": "p", "method": "ping"})
        send({"id": "s", "method": "sampling/createMessage"})
        answers = [receive(), receive()]
        return send({"id": id, "result": {"answers": answers}})
    elif method == "ask":
        # The number is that of a request which the gateway has under way.
        send({"id": id, "method": "roots/list"})
        send({"method": "notifications/cancelled", "params": {"requestId": id}})
        send({"method": "notifications/message", "params": {"level": "info", "data": "asked"}})
        return send({"id": id, "result": {"answer": receive()}})
    elif method == "subscriptions/listen":
        subscriptions.append(id)
        meta = {"io.modelcontextprotocol/subscriptionId": id}
        for change in ["subscriptions/acknowledged", "tools/list_changed"]:
            send({"method": "notifications/" + change, "params": {"_meta": meta}})
        return
    elif method == "unsubscribe":
        subscription = subscriptions.pop()
        # A modern server says it in one way or the other; here in both.
        send({"method": "notifications/cancelled", "params": {"requestId": subscription}})
        send({"id": subscription, "result": {"resultType": "complete"}})
        send({"method": "notifications/message"})
    elif method == "batch":
        note = {"jsonrpc": "2.0", "method": "notifications/message"}
        batch = [{"jsonrpc": "2.0", "id": id, "result": {}}, note]
        return print(json.dumps(batch), flush=True)
    elif method == "flood":
        for number in range(300):
            send({"id": number, "method": "roots/list"})
        answers = [receive() for _ in range(params["refusals"])]
        return send({"id": id, "result": {"answers": answers}})
    elif method == "cancelled":
        return send({"id": id, "result": {"cancelled": cancelled}})
    elif method == "stop reading":
        while True:
            time.sleep(1)
    elif method == "close output":
        os.close(1)
        while True:
            receive()
    elif method == "close input":
        os.close(0)
        time.sleep(1000)
    send({"id": id, "result": {"params": params}})


if "stubborn" in ways:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
pids = [os.getpid()]
if "parent" in ways:
    pids.append(subprocess.Popen(["sleep", "1000"]).pid)
info = {"name": "test", "pids": pids}

while True:
    message = receive()
    method = message.get("method")
    if method == "server/discover":
        if "mortal" in ways:
            sys.exit(3)
        elif modern:
            meta = {"io.modelcontextprotocol/serverInfo": info}
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "_meta": meta}
            send({"id": message["id"], "result": result})
        elif "silent" not in ways:
            send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
    elif method == "initialize":
        version = message["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {}, "serverInfo": info}
        send({"id": message["id"], "result": result})
    elif method == "notifications/initialized" and "curious" in ways:
        send({"id": "early", "method": "roots/list"})
    elif method == "notifications/cancelled":
        cancelled.append(message["params"]["requestId"])
    elif "id" in message and method:
        call(message)
