// What every plugin of this folder is made of: the contract's results and errors, stdio and HTTP.

import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { type CallToolResult, createMcpHandler, type McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

/** The plugin has done what it was asked. */
export function done(given: Record<string, unknown> = {}): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(given) }], structuredContent: given };
}

/** It says no, or cannot: `kind` is one of the contract's, such as `unauthenticated`. */
export function refused(kind: string, message: string): CallToolResult {
  return { ...done({ error: { kind, message } }), isError: true };
}

/** Serves on standard streams, or with `--http HOST:PORT` there, at /mcp. */
export function serve(plugin: () => McpServer) {
  const address = parseArgs({ options: { http: { type: 'string' } } }).values.http;
  if (address === undefined) {
    serveStdio(plugin);
    return;
  }
  const colon = address.lastIndexOf(':');
  const [host, port] = [address.slice(0, colon), Number(address.slice(colon + 1))];
  const token = process.env.PLUGIN_TOKEN;
  const isLocal = ['127.0.0.1', 'localhost'].includes(host);
  if (!token && !isLocal) {
    console.error('set PLUGIN_TOKEN to a bearer token: without one only this machine is served');
    process.exit(1);
  }
  const handle = toNodeHandler(createMcpHandler(plugin, { responseMode: 'json' }));
  // A page in a browser reaches this machine too: it is told by its Host or Origin.
  const guards = isLocal ? [localhostHostValidation(), localhostOriginValidation()] : [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    if (!guards.every((guard) => guard(request, response))) return;
    if (new URL(request.url ?? '/', 'http://plugin').pathname !== '/mcp') {
      response.writeHead(404).end('MCP is served at /mcp\n');
    } else if (token && !isSame(request.headers.authorization ?? '', `Bearer ${token}`)) {
      response.writeHead(401).end('a bearer token is wanted\n');
    } else {
      void handle(request, response);
    }
  });
  server.listen(port, host, () => {
    console.error(`serving on http://${host}:${(server.address() as AddressInfo).port}/mcp`);
  });
}

/** Compares in a time that says nothing about either text. */
export function isSame(one: string, other: string): boolean {
  return timingSafeEqual(sha256(one), sha256(other));
}

export function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
