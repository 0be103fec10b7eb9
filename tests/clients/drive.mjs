// Drives a connected client through the steps of its command line and prints what it saw as one JSON object:
// URL MODE [--list] [--call NAME JSON_ARGUMENTS]…

export function commandLine() {
  const [url, mode, ...rest] = process.argv.slice(2);
  if (!url || !mode) {
    throw new Error("usage: SCRIPT URL MODE [--list] [--call NAME JSON_ARGUMENTS]…");
  }
  const steps = [];
  while (rest.length > 0) {
    const flag = rest.shift();
    if (flag === "--list") {
      steps.push({ list: true });
    } else if (flag === "--call") {
      steps.push({ call: rest.shift(), arguments: JSON.parse(rest.shift()) });
    } else {
      throw new Error(`unknown argument ${flag}`);
    }
  }
  return { url: new URL(url), mode, steps };
}

async function call(client, name, args) {
  try {
    const result = await client.callTool({ name, arguments: args });
    return {
      name,
      is_error: result.isError ?? false,
      content: result.content,
      structured_content: result.structuredContent,
    };
  } catch (error) {
    return { name, error: describe(error) };
  }
}

function describe(error) {
  return { code: error.code ?? null, message: String(error.message ?? error) };
}

/** `session` has the name, the mode, and the functions connect, listTools and close around one client. */
export async function drive(session, steps) {
  const report = { client: session.name, mode: session.mode, tools: [], calls: [] };
  try {
    Object.assign(report, await session.connect());
    for (const step of steps) {
      if (step.list) {
        report.tools = (await session.listTools()).map((tool) => tool.name);
      } else {
        report.calls.push(await call(session.client, step.call, step.arguments));
      }
    }
    await session.close();
  } catch (error) {
    report.error = describe(error);
    process.exitCode = 1;
  }
  console.log(JSON.stringify(report));
}
