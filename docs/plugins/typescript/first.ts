// Lets everybody read, and administrators do everything.

import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

serveStdio(() => {
  const server = new McpServer({ name: 'first-policy', version: '1.0.0' });
  server.registerTool(
    'check_access',
    {
      description: 'Says whether a user may do something.',
      inputSchema: z.object({
        user_id: z.string(),
        mcp_server: z.string(),
        tool: z.string().default(''),
        roles: z.array(z.string()).default([]),
      }),
      outputSchema: z.object({ allowed: z.boolean(), reason: z.string().optional() }),
    },
    ({ tool, roles }) => {
      const allowed = roles.includes('admin') || /^(get|list|read)/.test(tool);
      const decision = allowed ? { allowed } : { allowed, reason: 'only administrators change things' };
      return { content: [{ type: 'text', text: JSON.stringify(decision) }], structuredContent: decision };
    },
  );
  return server;
});
