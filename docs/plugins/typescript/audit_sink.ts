// Appends audit events to a file, one JSON object a line; what is answered is on the disk.
//
// AUDIT_FILE (default audit.jsonl) is only ever appended to. An event that comes again, because its answer was
// lost, is known by its `event_id` and written once.

import { fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { done, refused, serve } from './plugin.ts';

/** Events come again within minutes, not after so many others. */
const REMEMBERED = 100_000;

const event = z.looseObject({
  timestamp: z.string(),
  event_type: z.string(),
  tenant_id: z.string().optional(),
  user_id: z.string().optional(),
  mcp_server: z.string().optional(),
  tool: z.string().optional(),
  result: z.enum(['ok', 'tool_error', 'denied', 'error']).optional(),
  metadata: z.looseObject({}).optional(),
});
type Event = z.infer<typeof event>;

const path = process.env.AUDIT_FILE ?? 'audit.jsonl';
const file = openSync(path, 'a+');
const known = new Set<unknown>();
const written = readFileSync(path, 'utf8');
// The line that a crash broke off was never answered, so its event comes again.
const whole = written.slice(0, written.lastIndexOf('\n') + 1);
ftruncateSync(file, Buffer.byteLength(whole));
remember(whole.split('\n').filter(Boolean).map((line) => idOf(JSON.parse(line))));

function append(events: Event[]) {
  const fresh = new Set<unknown>();
  let lines = '';
  for (const event of events) {
    const id = idOf(event);
    if (id !== undefined && (known.has(id) || fresh.has(id))) continue;
    fresh.add(id);
    lines += `${JSON.stringify(event)}\n`;
  }
  const end = fstatSync(file).size;
  try {
    writeFileSync(file, lines);
    fsyncSync(file);
  } catch (error) {
    // Half a line would spoil the one behind it.
    ftruncateSync(file, end);
    return refused('unavailable', `the audit file cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
  remember(fresh);
  return done();
}

function idOf(event: Event) {
  return event.metadata?.event_id;
}

function remember(ids: Iterable<unknown>) {
  for (const id of ids) known.add(id);
  // The oldest come first.
  for (const id of known) {
    if (known.size <= REMEMBERED) break;
    known.delete(id);
  }
}

serve(() => {
  const server = new McpServer({ name: 'audit-sink', version: '1.0.0' });
  server.registerTool('log_event', { description: 'Records an event.', inputSchema: event }, (one) => append([one]));
  server.registerTool(
    'log_events',
    { description: 'Records events, in order.', inputSchema: z.object({ events: z.array(event) }) },
    ({ events }) => append(events),
  );
  return server;
});
