"""Says what a user may do, by the first rule that fits; what none fits is denied.

RULES_FILE (default rules.json) holds {"rules": [{"effect": "allow", "users": ["ada@*"], "servers": ["files"], "tools": ["read*"]}]}
A rule may also name `roles` and `groups`; what it leaves out fits everything, and `*` stands for any text.
"""

import json
import os
from fnmatch import fnmatchcase

from plugin import Plugin

with open(os.environ.get("RULES_FILE", "rules.json")) as file:
    RULES = json.load(file)["rules"]

plugin = Plugin("policy")
text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
who = {"user_id": text, "tenant_id": text, "roles": texts, "groups": texts}
what = {"mcp_server": text, "tool": text, "kind": text, "method": text}
decision = {
    "type": "object",
    "properties": {"allowed": {"type": "boolean"}, "reason": text},
    "required": ["allowed"],
}
action = {"type": "object", "properties": what, "required": ["mcp_server"]}


def decide(user, action):
    asked = {
        "users": [user["user_id"]],
        "roles": user.get("roles", []),
        "groups": user.get("groups", []),
        "servers": [action["mcp_server"]],
        "tools": [action.get("tool", "")],
    }
    for number, rule in enumerate(RULES, start=1):
        if all(fits(rule[name], values) for name, values in asked.items() if name in rule):
            allowed = rule["effect"] == "allow"
            return {"allowed": True} if allowed else {"allowed": False, "reason": f"rule {number} denies it"}
    return {"allowed": False, "reason": "no rule allows it"}


def fits(patterns, values):
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


@plugin.tool(
    "check_access",
    "Says whether a user may do something.",
    arguments=who | what,
    required=["user_id", "mcp_server"],
    result=decision,
)
def check_access(arguments):
    return decide(arguments, arguments)


@plugin.tool(
    "check_access_batch",
    "Says of several things whether a user may do each, in the same order.",
    arguments=who | {"actions": {"type": "array", "items": action}},
    required=["user_id", "actions"],
    result={"properties": {"decisions": {"type": "array", "items": decision}}, "required": ["decisions"]},
)
def check_access_batch(arguments):
    return {"decisions": [decide(arguments, action) for action in arguments["actions"]]}


if __name__ == "__main__":
    plugin.run()
