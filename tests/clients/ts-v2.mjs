// The official TypeScript client, version 2: legacy, auto (asks the server first) or pin (2026-07-28 or nothing).

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { CAPABILITIES, drive, legacySubscription } from "./drive.mjs";

const MODES = { legacy: "legacy", auto: "auto", pin: { pin: "2026-07-28" } };

await drive((mode) => {
  if (!(mode in MODES)) {
    throw new Error(`the mode is legacy, auto or pin, not ${mode}`);
  }
  const client = new Client(
    { name: "gateway-tests-ts-v2", version: "1.0.0" },
    { capabilities: CAPABILITIES, versionNegotiation: { mode: MODES[mode] } },
  );
  const isModern = () => client.getProtocolEra() === "modern";
  const subscribeAsLegacy = legacySubscription(client);
  let transport;
  return {
    client,
    isModern,
    handle: (method, answer) => client.setRequestHandler(method, answer),
    hear: (method, notice) => client.setNotificationHandler(method, notice),
    callTool: (params, options) => client.callTool(params, options),
    async subscribe(filter) {
      if (!isModern()) {
        return subscribeAsLegacy(filter);
      }
      const subscription = await client.listen(filter);
      return () => subscription.close();
    },
    async connect({ url, command: [command, ...args] = [] }) {
      transport = url ? new StreamableHTTPClientTransport(new URL(url)) : new StdioClientTransport({ command, args });
      await client.connect(transport);
      return { protocol_version: client.getNegotiatedProtocolVersion(), server_info: client.getServerVersion() };
    },
    async close() {
      await transport.terminateSession?.();
      await client.close();
    },
  };
});
