// The official TypeScript SDK, version 1: legacy only.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  PromptListChangedNotificationSchema,
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { CAPABILITIES, drive, legacySubscription } from "./drive.mjs";

const SCHEMAS = Object.fromEntries(
  [
    CreateMessageRequestSchema,
    ElicitRequestSchema,
    ListRootsRequestSchema,
    LoggingMessageNotificationSchema,
    PromptListChangedNotificationSchema,
    ResourceListChangedNotificationSchema,
    ResourceUpdatedNotificationSchema,
    ToolListChangedNotificationSchema,
  ].map((schema) => [schema.shape.method.value, schema]),
);

await drive((mode) => {
  if (mode !== "legacy") {
    throw new Error(`this client speaks legacy only, not ${mode}`);
  }
  const client = new Client({ name: "gateway-tests-ts-v1", version: "1.0.0" }, { capabilities: CAPABILITIES });
  let transport;
  return {
    client,
    isModern: () => false,
    subscribe: legacySubscription(client),
    handle: (method, answer) => client.setRequestHandler(SCHEMAS[method], answer),
    hear: (method, notice) => client.setNotificationHandler(SCHEMAS[method], notice),
    callTool: (params, options) => client.callTool(params, undefined, options),
    async connect({ url, command: [command, ...args] = [] }) {
      transport = url ? new StreamableHTTPClientTransport(new URL(url)) : new StdioClientTransport({ command, args });
      // The transport for standard streams does not keep it.
      const keep = transport.setProtocolVersion?.bind(transport);
      let version;
      transport.setProtocolVersion = (negotiated) => {
        version = negotiated;
        keep?.(negotiated);
      };
      await client.connect(transport);
      return { protocol_version: version, server_info: client.getServerVersion() };
    },
    async close() {
      await transport.terminateSession?.();
      await client.close();
    },
  };
});
