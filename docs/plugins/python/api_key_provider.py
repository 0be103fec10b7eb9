"""Says whose an API key is, by a file of hashes: a stolen file lets nobody in.

KEYS_FILE (default keys.json) holds {"keys": [{"hash": "SHA-256 in hex", "user_id": "ada@example.com", "roles": []}]}
with, for each key, optionally `groups`, `tenant_id` and `expires_at` (RFC 3339).
"""

import hashlib
import hmac
import json
import os
from datetime import UTC, datetime

from plugin import Plugin, Refused

FIELDS = ("user_id", "tenant_id", "roles", "groups", "expires_at")

with open(os.environ.get("KEYS_FILE", "keys.json")) as file:
    KEYS = json.load(file)["keys"]

plugin = Plugin("api-key-provider")
text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}


@plugin.tool(
    "validate_credential",
    "Says whose a credential is. One that is not good is answered with isError.",
    arguments={"type": text, "value": text},
    required=["type", "value"],
    result={
        "properties": {"user_id": text, "tenant_id": text, "roles": texts, "groups": texts, "expires_at": text},
        "required": ["user_id"],
    },
)
def validate_credential(arguments):
    if arguments["type"] != "api_key":
        raise Refused("unauthenticated", "only API keys are known here")
    key = find(arguments["value"])
    if key is None:
        raise Refused("unauthenticated", "the key is not known")
    if "expires_at" in key and datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC):
        raise Refused("unauthenticated", "the key has expired")
    return {name: key[name] for name in FIELDS if name in key}


def find(value):
    """Looks at every key, whatever it finds: how long it takes tells nothing."""
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
    found = None
    for key in KEYS:
        if hmac.compare_digest(key["hash"], digest):
            found = key
    return found


if __name__ == "__main__":
    plugin.run()
