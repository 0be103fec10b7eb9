// The official Inspector's command line: legacy, auto or modern. Each step is a run of it, with a connection of its own.
// Takes the plan that drive.mjs takes, and prints the same lines.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(
  new URL("inspector/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url),
);
const LISTS = {
  tools: ["tools/list", (tool) => tool.name],
  prompts: ["prompts/list", (prompt) => prompt.name],
  resources: ["resources/list", (resource) => resource.uri],
  resourceTemplates: ["resources/templates/list", (template) => template.uriTemplate],
};
const METHODS = { call: "tools/call", get: "prompts/get", read: "resources/read", level: "logging/setLevel" };

function run(mode, url, method, further) {
  const flags = ["--transport", "http", "--format", "json", "-q", "--stored-auth-only"];
  const all = [PROGRAM, "--cli", "--server-url", url, "--protocol-era", mode, "--method", method, ...flags, ...further];
  return new Promise((resolve) => {
    execFile(process.execPath, all, (_failed, stdout, stderr) => {
      try {
        // A tool that fails has a result, and the run fails all the same.
        resolve(JSON.parse(stdout || stderr));
      } catch {
        resolve({ error: { code: null, message: stdout + stderr, data: null } });
      }
    });
  });
}

function flags(step) {
  switch (step.do) {
    case "call":
      return ["--tool-name", step.name, "--tool-args-json", JSON.stringify(step.arguments)];
    case "get": {
      const pairs = Object.entries(step.arguments ?? {}).map(([name, value]) => `${name}=${value}`);
      return ["--prompt-name", step.name, ...(pairs.length > 0 ? ["--prompt-args", ...pairs] : [])];
    }
    case "read":
      return ["--uri", step.uri];
    case "level":
      return ["--log-level", step.level];
    default:
      return [];
  }
}

async function take(mode, url, step) {
  const [method, name] = step.do === "list" ? LISTS[step.what] : [METHODS[step.do]];
  if (method === undefined) {
    throw new Error(`the Inspector's command line has nothing for ${step.do}`);
  }
  const line = await run(mode, url, method, flags(step));
  if (name && line.result) {
    line.result = line.result[step.what].map(name);
  }
  return { ...line, progress: [], logs: [], asked: [], heard: [] };
}

async function connect(mode, url) {
  const { result, error } = await run(mode, url, "initialize", []);
  if (error) {
    throw new Error(error.message);
  }
  return { result: { protocol_version: result.protocolVersion, server_info: result.serverInfo } };
}

const { mode, visits } = JSON.parse(process.argv[2]);
for (const { url, steps } of visits) {
  console.log(JSON.stringify(await connect(mode, url)));
  for (const step of steps) {
    console.log(JSON.stringify(await take(mode, url, step)));
  }
}
