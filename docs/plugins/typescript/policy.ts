// Says what a user may do, by the first rule that fits; what none fits is denied.
//
// RULES_FILE (default rules.json) holds {"rules": [{"effect": "allow", "users": ["ada@*"], "servers": ["files"], "tools": ["read*"]}]}
// A rule may also name `roles` and `groups`; what it leaves out fits everything, and `*` stands for any text.

import { readFileSync } from 'node:fs';
import { McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { done, serve } from './plugin.ts';

const texts = z.array(z.string()).optional();
const rule = z.strictObject({
  effect: z.enum(['allow', 'deny']),
  users: texts,
  roles: texts,
  groups: texts,
  servers: texts,
  tools: texts,
});
const file = z.strictObject({ rules: z.array(rule) });
const { rules } = file.parse(JSON.parse(readFileSync(process.env.RULES_FILE ?? 'rules.json', 'utf8')));

const who = z.object({ user_id: z.string(), tenant_id: z.string().optional(), roles: texts, groups: texts });
const what = z.object({
  mcp_server: z.string(),
  tool: z.string().optional(),
  kind: z.string().optional(),
  method: z.string().optional(),
});
const decision = z.object({ allowed: z.boolean(), reason: z.string().optional() });

function decide(user: z.infer<typeof who>, action: z.infer<typeof what>): z.infer<typeof decision> {
  const fits = (patterns: string[] | undefined, values: string[]) =>
    !patterns || values.some((value) => patterns.some((pattern) => matches(pattern, value)));
  const number = rules.findIndex(
    (rule) =>
      fits(rule.users, [user.user_id]) &&
      fits(rule.roles, user.roles ?? []) &&
      fits(rule.groups, user.groups ?? []) &&
      fits(rule.servers, [action.mcp_server]) &&
      fits(rule.tools, [action.tool ?? '']),
  );
  if (number < 0) return { allowed: false, reason: 'no rule allows it' };
  if (rules[number].effect === 'deny') return { allowed: false, reason: `rule ${number + 1} denies it` };
  return { allowed: true };
}

/** Whether a text has the pattern's parts in their order; in a time that long texts do not blow up. */
function matches(pattern: string, text: string): boolean {
  const [first, ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return text === pattern;
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let from = first.length;
  for (const part of rest) {
    const at = text.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return from <= text.length - last.length;
}

serve(() => {
  const server = new McpServer({ name: 'policy', version: '1.0.0' });
  server.registerTool(
    'check_access',
    {
      description: 'Says whether a user may do something.',
      inputSchema: who.extend(what.shape),
      outputSchema: decision,
    },
    (asked) => done(decide(asked, asked)),
  );
  server.registerTool(
    'check_access_batch',
    {
      description: 'Says of several things whether a user may do each, in the same order.',
      inputSchema: who.extend({ actions: z.array(what) }),
      outputSchema: z.object({ decisions: z.array(decision) }),
    },
    (asked) => done({ decisions: asked.actions.map((action) => decide(asked, action)) }),
  );
  return server;
});
