// The official TypeScript SDK, version 1: legacy only.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { commandLine, drive } from "./drive.mjs";

const { url, mode, steps } = commandLine();
if (mode !== "legacy") {
  throw new Error(`this client speaks legacy only, not ${mode}`);
}

const client = new Client({ name: "gateway-tests-ts-v1", version: "1.0.0" });
const transport = new StreamableHTTPClientTransport(url);

async function connect() {
  await client.connect(transport);
  return { protocol_version: transport.protocolVersion, server_info: client.getServerVersion() };
}

async function listTools() {
  const tools = [];
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor });
    tools.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return tools;
}

async function close() {
  await transport.terminateSession();
  await client.close();
}

await drive({ name: "ts-v1", mode, client, connect, listTools, close }, steps);
