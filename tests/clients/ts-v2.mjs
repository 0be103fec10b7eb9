// The official TypeScript client, version 2: legacy, auto (asks the server first) or pin (2026-07-28 or nothing).

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { commandLine, drive } from "./drive.mjs";

const { url, mode, steps } = commandLine();
const negotiation = { legacy: "legacy", auto: "auto", pin: { pin: "2026-07-28" } }[mode];
if (negotiation === undefined) {
  throw new Error(`the mode is legacy, auto or pin, not ${mode}`);
}

const client = new Client(
  { name: "gateway-tests-ts-v2", version: "1.0.0" },
  { versionNegotiation: { mode: negotiation } },
);
const transport = new StreamableHTTPClientTransport(url);

async function connect() {
  await client.connect(transport);
  return {
    protocol_version: client.getNegotiatedProtocolVersion(),
    server_info: client.getServerVersion(),
  };
}

/** This client follows the pages by itself. */
async function listTools() {
  return (await client.listTools()).tools;
}

async function close() {
  await transport.terminateSession();
  await client.close();
}

await drive({ name: "ts-v2", mode, client, connect, listTools, close }, steps);
