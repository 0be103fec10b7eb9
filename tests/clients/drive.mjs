// Takes a connected client through a plan, which is the JSON of the command line:
// { mode, visits: [{ url or command, steps }] }.
// Prints one JSON line for each connection and for each step, in order, with everything that the client saw in it.

/** How long a step waits for what a server says on its own. */
const PATIENCE = 30_000;
const ROOT = { uri: "file:///served", name: "served" };

/** What the client sees while a step runs. */
class Record {
  progress = [];
  logs = [];
  asked = [];
  heard = [];
  #noticed = () => {};

  constructor(answers = {}) {
    this.answers = answers;
  }

  add(kind, item) {
    this[kind].push(item);
    this.#noticed();
  }

  /** Waits until it is so, which `enough` says when something was added. */
  until(enough) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain, until ${enough}`)), PATIENCE);
      this.#noticed = () => {
        if (enough()) {
          clearTimeout(timer);
          resolve();
        }
      };
      this.#noticed();
    });
  }

  answer(method, params) {
    // A form need not say that it is one.
    const mode = method === "elicitation/create" ? (params.mode ?? "form") : null;
    this.add("asked", { method, mode });
    switch (method) {
      case "roots/list":
        return { roots: [ROOT] };
      case "sampling/createMessage":
        return { role: "assistant", model: "test", content: { type: "text", text: this.answers.text ?? "" } };
      default:
        return mode === "url" ? { action: "accept" } : { action: "accept", content: this.#fill(params) };
    }
  }

  #fill(form) {
    const wanted = Object.keys(form.requestedSchema.properties);
    return Object.fromEntries(Object.entries(this.answers.form ?? {}).filter(([name]) => wanted.includes(name)));
  }
}

const LISTS = {
  tools: { method: "listTools", name: (tool) => tool.name },
  prompts: { method: "listPrompts", name: (prompt) => prompt.name },
  resources: { method: "listResources", name: (resource) => resource.uri },
  resourceTemplates: { method: "listResourceTemplates", name: (template) => template.uriTemplate },
};
const NEWS = [
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/resources/list_changed",
  "notifications/resources/updated",
];

/** One connection. `open` gives the parts in which the versions of the SDK differ. */
class Visit {
  record = new Record();
  #meta = {};

  constructor(open, mode) {
    Object.assign(this, open(mode));
    for (const method of ["sampling/createMessage", "elicitation/create", "roots/list"]) {
      this.handle(method, (request) => this.record.answer(method, request.params));
    }
    this.hear("notifications/message", (notice) => this.record.add("logs", notice.params));
    for (const method of NEWS) {
      this.hear(method, (notice) => this.record.add("heard", { method, uri: notice.params?.uri ?? null }));
    }
  }

  async take(step) {
    this.record = new Record(step.answers);
    const { record } = this;
    const line = {};
    try {
      line.result = await this[step.do](step);
      await record.until(() => record.logs.length >= (step.logs ?? 0));
    } catch (error) {
      line.error = describe(error);
    }
    const { progress, logs, asked, heard } = record;
    return { ...line, progress, logs, asked, heard };
  }

  async list({ what }) {
    const { method, name } = LISTS[what];
    const names = [];
    let cursor;
    do {
      const page = await this.client[method](cursor === undefined ? undefined : { cursor });
      names.push(...page[what].map(name));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return names;
  }

  call({ name, arguments: args }, options = {}) {
    const onprogress = ({ progress }) => this.record.add("progress", progress);
    return this.callTool({ name, arguments: args, _meta: this.#meta }, { onprogress, ...options });
  }

  get({ name, arguments: args }) {
    return this.client.getPrompt({ name, arguments: args });
  }

  read({ uri }) {
    return this.client.readResource({ uri });
  }

  complete({ ref, argument, context }) {
    return this.client.complete(context ? { ref, argument, context } : { ref, argument });
  }

  /** Takes a call back once it is under way, which its progress shows. */
  async cancel(step) {
    const taken = new AbortController();
    const call = this.call(step, { signal: taken.signal });
    await Promise.race([call, this.record.until(() => this.record.progress.length > 0)]);
    taken.abort("taken back");
    return call;
  }

  /** Listens, has something happen, and listens until it is told of it. */
  async listen({ filter, cause, change }) {
    const stop = await this.subscribe(filter);
    await this.call(cause);
    await this.record.until(() => this.record.heard.some(({ method }) => method === change));
    await stop();
    return {};
  }

  async level({ level }) {
    if (this.isModern()) {
      this.#meta = { "io.modelcontextprotocol/logLevel": level };
      return {};
    }
    return this.client.setLoggingLevel(level);
  }
}

function describe(error) {
  return {
    code: error.code ?? null,
    message: String(error.message ?? error),
    data: error.data ?? null,
  };
}

/** The subscription of a legacy client: `subscribe` and `unsubscribe` of each resource; changes of lists come unasked. */
export function legacySubscription(client) {
  return async ({ resourceSubscriptions = [] }) => {
    for (const uri of resourceSubscriptions) {
      await client.subscribeResource({ uri });
    }
    return async () => {
      for (const uri of resourceSubscriptions) {
        await client.unsubscribeResource({ uri });
      }
    };
  };
}

export const CAPABILITIES = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };

/** `open(mode)` gives client, connect({ url, command }), close(), isModern(), callTool(), handle(), hear() and subscribe(). */
export async function drive(open) {
  const { mode, visits } = JSON.parse(process.argv[2]);
  for (const { url, command, steps } of visits) {
    const visit = new Visit(open, mode);
    const print = (line) => console.log(JSON.stringify(line));
    print({ result: await visit.connect({ url, command }) });
    for (const step of steps) {
      print(await visit.take(step));
    }
    await visit.close();
  }
}
