// The official TypeScript SDK, version 1, at 2025-03-26: sends batches at URL and prints what it reads of the answers.
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
const waiting = new Map();
transport.onmessage = (message) => waiting.get(message.id)?.resolve(message);
transport.onerror = (error) => waiting.forEach(({ reject }) => reject(error));

/** Sends one message or several, and waits for the answers to all requests among them. */
async function send(messages) {
  const requests = [messages].flat().filter((message) => message.id !== undefined);
  const answers = requests.map(({ id }) => {
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  });
  await transport.send(messages);
  return Promise.all(answers);
}

const message = (fields) => ({ jsonrpc: "2.0", ...fields });
await transport.start();
const version = "2025-03-26";
const clientInfo = { name: "ts-v1-batch", version: "1" };
const params = { protocolVersion: version, capabilities: {}, clientInfo };
await send(message({ id: 0, method: "initialize", params }));
await send(message({ method: "notifications/initialized" }));
const call = (id, text) => {
  return message({ id, method: "tools/call", params: { name: "echo", arguments: { text } } });
};
const answers = await send([call(1, "one"), call("two", "two"), message({ id: 3, method: "tools/list" })]);
const texts = answers.slice(0, 2).map(({ result }) => result.structuredContent.arguments.text);
console.log(JSON.stringify({ texts, tools: answers[2].result.tools.length }));
await transport.close();
