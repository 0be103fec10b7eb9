// Says whose an API key is, by a file of hashes: a stolen file lets nobody in.
//
// KEYS_FILE (default keys.json) holds {"keys": [{"hash": "SHA-256 in hex", "user_id": "ada@example.com", "roles": []}]}
// with, for each key, optionally `groups`, `tenant_id` and `expires_at` (RFC 3339).

import { timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { done, refused, serve, sha256 } from './plugin.ts';

const principal = z.object({
  user_id: z.string(),
  tenant_id: z.string().optional(),
  roles: z.array(z.string()).optional(),
  groups: z.array(z.string()).optional(),
  expires_at: z.string().optional(),
});
const file = z.object({ keys: z.array(principal.extend({ hash: z.string().regex(/^[0-9a-f]{64}$/) })) });
const { keys } = file.parse(JSON.parse(readFileSync(process.env.KEYS_FILE ?? 'keys.json', 'utf8')));

serve(() => {
  const server = new McpServer({ name: 'api-key-provider', version: '1.0.0' });
  server.registerTool(
    'validate_credential',
    {
      description: 'Says whose a credential is. One that is not good is answered with isError.',
      inputSchema: z.object({ type: z.string(), value: z.string() }),
      outputSchema: principal,
    },
    ({ type, value }) => {
      if (type !== 'api_key') return refused('unauthenticated', 'only API keys are known here');
      const key = find(value);
      if (!key) return refused('unauthenticated', 'the key is not known');
      if (key.expires_at && Date.parse(key.expires_at) <= Date.now()) {
        return refused('unauthenticated', 'the key has expired');
      }
      return done(principal.parse(key));
    },
  );
  return server;
});

/** Looks at every key, whatever it finds: how long it takes tells nothing. */
function find(value: string) {
  const digest = sha256(value);
  return keys.filter((key) => timingSafeEqual(Buffer.from(key.hash, 'hex'), digest)).at(0);
}
