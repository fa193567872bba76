/** Random commands of several clients, and a model that says what executions, registrations and keys there have to be. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { FUZZ_TIMEOUT_MS, fuzz } from "./support.ts";

const CLIENTS = 3;

/** A script with a session's name. */
interface SessionAction {
  readonly do: "session";
  readonly id: number;
  readonly options: "" | "upgrade" | "replace";
  readonly replaces: number;
  /** Names of triggers that it registers. */
  readonly names: readonly number[];
  readonly fails: boolean;
  readonly unblocking: boolean;
}

type Action =
  | { do: "run"; n: number }
  | { do: "start"; n: number; kind: "runs" | "fails" | "nothing" }
  | SessionAction
  | { do: "read" | "drop" | "wait" | "abort" | "show"; which: number }
  | { do: "list" }
  | { do: "register" | "registerLater" | "trigger"; name: number }
  | { do: "unregister"; which: number }
  | { do: "set" | "incr" | "get" | "execute"; key: number; n: number }
  | { do: "transaction"; key: number };

const nat = (max: number): fc.Arbitrary<number> => fc.nat({ max });
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ do: fc.constant("run" as const), n: nat(9) }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("start" as const),
      n: nat(9),
      kind: fc.constantFrom("runs" as const, "runs" as const, "fails" as const, "nothing" as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("session" as const),
      id: nat(2),
      options: fc.constantFrom("" as const, "upgrade" as const, "replace" as const),
      replaces: nat(2),
      names: fc.subarray([0, 1, 2, 3], { maxLength: 2 }),
      fails: fc.nat({ max: 3 }).map((dice) => dice === 0),
      unblocking: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("read" as const, "drop" as const, "wait" as const, "abort" as const, "show" as const),
      which: nat(12),
    }),
  },
  fc.record({ do: fc.constant("list" as const) }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom("register" as const, "registerLater" as const, "trigger" as const),
      name: nat(3),
    }),
  },
  fc.record({ do: fc.constant("unregister" as const), which: nat(4) }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("set" as const, "incr" as const, "get" as const, "execute" as const),
      key: nat(2),
      n: nat(9),
    }),
  },
  fc.record({ do: fc.constant("transaction" as const), key: nat(2) }),
);
/**
 * More than are made: which one goes depends on the clock, since a script that has to wait for an interpreter becomes an
 * execution meanwhile. The unit tests of the registry have that.
 */
const most = fc.constant(1000);
const steps = fc.array(fc.tuple(nat(CLIENTS - 1), action), { minLength: 1, maxLength: 40 });

/** A result as a text that can be compared; errors begin with an exclamation mark. */
const outcome = (reply: Promise<Value>): Promise<string> =>
  reply.then(
    (value) => JSON.stringify(value),
    (error: Error) => `!${error.message}`,
  );

const UNKNOWN = "!execution plan does not exist";

interface Trigger {
  readonly id: string;
  readonly answer: string;
  /** The name of its session, if that was given one. */
  readonly session?: string;
}

/** What there has to be. */
class Model {
  /** Finished executions and what is read of them, least recently used first. */
  readonly finished = new Map<string, string>();
  /** All ids that ever were. */
  readonly ids: string[] = [];
  readonly triggers = new Map<string, Trigger>();
  readonly gone: string[] = [];
  readonly keys = new Map<string, string>();
  readonly #most: number;

  /** Names of sessions. */
  get sessions(): Set<string> {
    return new Set([...this.triggers.values()].flatMap(({ session }) => session ?? []));
  }

  constructor(most: number) {
    this.#most = most;
  }

  /** Any new execution, also one that is not kept, takes the place of the one that was used least recently. */
  create(): void {
    const [oldest] = this.finished.keys();
    if (oldest !== undefined && this.finished.size >= this.#most) this.finished.delete(oldest);
  }

  add(id: string, result: string): void {
    this.ids.push(id);
    this.finished.set(id, result);
  }

  /** Reads a result, which makes it the last to go. */
  read(id: string): string {
    const result = this.finished.get(id);
    if (result === undefined) return UNKNOWN;
    this.finished.delete(id);
    this.finished.set(id, result);
    return result;
  }
}

async function perform(client: Client, model: Model, todo: Action): Promise<void> {
  const call = (...args: string[]): Promise<string> => outcome(client.call(...args));
  const pick = (list: readonly string[], which: number): string =>
    list[list.length - 1 - (which % Math.max(1, list.length))] ?? "none-0";
  switch (todo.do) {
    case "run":
      model.create();
      expect(await call("RG.PYEXECUTE", `GB('ShardsIDReader').map(lambda r: int(r) + ${todo.n}).run()`)).toBe(
        `[["${todo.n + 1}"],[]]`,
      );
      break;
    case "start": {
      model.create();
      const [code, result] = {
        runs: [`GB('ShardsIDReader').map(lambda r: ${todo.n}).run()`, `[["${todo.n}"],[]]`],
        fails: [`flat_error('bad ${todo.n}')`, `!bad ${todo.n}`],
        nothing: [`x = ${todo.n}`, '"OK"'],
      }[todo.kind] as [string, string];
      const id = String(await client.call("RG.PYEXECUTE", code, "UNBLOCKING"));
      expect(await call("RG.GETRESULTSBLOCKING", id)).toBe(result);
      model.add(id, result);
      break;
    }
    case "read":
    case "wait": {
      const id = pick(model.ids, todo.which);
      expect(await call(todo.do === "read" ? "RG.GETRESULTS" : "RG.GETRESULTSBLOCKING", id)).toBe(model.read(id));
      break;
    }
    case "drop": {
      const id = pick(model.ids, todo.which);
      expect(await call("RG.DROPEXECUTION", id)).toBe(model.finished.delete(id) ? '"OK"' : UNKNOWN);
      break;
    }
    case "abort": {
      const id = pick(model.ids, todo.which);
      expect(await call("RG.ABORTEXECUTION", id)).toBe(model.finished.has(id) ? '"OK"' : "!execution does not exist");
      break;
    }
    case "show": {
      const id = pick(model.ids, todo.which);
      const shown = await call("RG.GETEXECUTION", id);
      if (model.finished.has(id)) expect(shown).toContain('"status","done"');
      else expect(shown).toBe(UNKNOWN);
      break;
    }
    case "list": {
      const listed = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
      expect(listed.map((fields) => fields[1]).sort()).toEqual([...model.finished.keys()].sort());
      const registered = (await client.call("RG.DUMPREGISTRATIONS")) as string[][];
      expect(registered.map((fields) => fields[1]).sort()).toEqual(
        [...model.triggers.values()].map(({ id }) => id).sort(),
      );
      const sessions = ((await client.call("RG.PYDUMPSESSIONS")) as string[][]).map((fields) => String(fields[1]));
      expect(sessions.filter((id) => id.startsWith("s-")).sort()).toEqual([...model.sessions].sort());
      break;
    }
    case "register":
    case "registerLater":
      await register(client, model, `t${todo.name}`, todo.do === "registerLater");
      break;
    case "session":
      await session(client, model, todo);
      break;
    case "trigger": {
      const answer = model.triggers.get(`t${todo.name}`)?.answer;
      const reply = await call("RG.TRIGGER", `t${todo.name}`, "x");
      if (answer === undefined) expect(reply).toMatch(/^!.*subcommand not found/);
      else expect(reply).toBe(`["${answer}-x"]`);
      break;
    }
    case "unregister": {
      const live = [...model.triggers];
      const [name, found] = live[todo.which % Math.max(1, live.length)] ?? [];
      const id = todo.which === 4 ? pick(model.gone, 0) : (found?.id ?? "none-0");
      const known = live.some(([, { id: other }]) => other === id);
      expect(await call("RG.UNREGISTER", id)).toBe(known ? '"OK"' : "!execution is not registered");
      if (known && name !== undefined) {
        model.triggers.delete(name);
        model.gone.push(id);
      }
      break;
    }
    default:
      await data(client, model, todo);
  }
}

let registrations = 0;

const registering = (name: string, answer: string): string =>
  `GB('CommandReader').map(lambda r: '${answer}-' + r[1]).register(trigger='${name}')`;

/** Runs a script; in the background it leaves an execution with its outcome. @returns what a blocking client would get */
async function submitted(client: Client, model: Model, later: boolean, ...args: string[]): Promise<string> {
  model.create();
  if (!later) return outcome(client.call("RG.PYEXECUTE", ...args));
  const id = await outcome(client.call("RG.PYEXECUTE", ...args, "UNBLOCKING"));
  if (id.startsWith("!")) return id;
  const result = await outcome(client.call("RG.GETRESULTSBLOCKING", JSON.parse(id)));
  model.add(JSON.parse(id), result);
  return result;
}

/** Takes note of triggers that were registered just now. */
async function noteTriggers(client: Client, model: Model, made: [string, string][], session?: string): Promise<void> {
  const all = (await client.call("RG.DUMPREGISTRATIONS")) as Value[][];
  for (const [name, answer] of made) {
    const found = all.find((fields) => JSON.stringify(fields).includes(`["trigger","${name}"`));
    model.triggers.set(name, { id: String(found?.[1]), answer, ...(session === undefined ? {} : { session }) });
  }
}

async function register(client: Client, model: Model, name: string, later: boolean): Promise<void> {
  const answer = `answer${++registrations}`;
  const reply = await submitted(client, model, later, registering(name, answer));
  if (model.triggers.has(name)) {
    expect(reply).toContain("trigger already registered");
    return;
  }
  expect(reply).toBe('"OK"');
  await noteTriggers(client, model, [[name, answer]]);
}

async function session(client: Client, model: Model, todo: SessionAction): Promise<void> {
  const [id, other] = [`s-${todo.id}`, `s-${todo.replaces}`];
  const made = todo.names.map((name): [string, string] => [`t${name}`, `answer${++registrations}`]);
  const code = [
    ...made.map(([name, answer]) => registering(name, answer)),
    ...(todo.fails ? ["flat_error('bad')"] : []),
  ];
  const options = { "": [], upgrade: ["UPGRADE"], replace: ["REPLACE_WITH", other] }[todo.options];
  const reply = await submitted(client, model, todo.unblocking, code.join("\n") || "pass", "ID", id, ...options);
  const { sessions } = model;
  if (todo.options === "replace" && sessions.has(id))
    return expect(reply).toBe(`!Can not replace an existing session ${id} with ${other}`);
  if (todo.options === "replace" && !sessions.has(other))
    return expect(reply).toBe(`!Can not replace with ${other}, session does not exists.`);
  if (todo.options === "" && sessions.has(id)) return expect(reply).toBe(`!Session ${id} already exists`);
  const old = todo.options === "replace" ? other : id;
  const taken = made.some(([name]) => model.triggers.has(name) && model.triggers.get(name)?.session !== old);
  if (taken) return expect(reply).toContain("trigger already registered");
  if (todo.fails) return expect(reply).toBe("!bad");
  expect(reply).toBe('"OK"');
  if (made.length === 0) return;
  for (const [name, trigger] of [...model.triggers]) {
    if (trigger.session !== old) continue;
    model.triggers.delete(name);
    model.gone.push(trigger.id);
  }
  await noteTriggers(client, model, made, id);
}

async function data(client: Client, model: Model, todo: Extract<Action, { key: number }>): Promise<void> {
  const key = `k${todo.key}`;
  const now = model.keys.get(key);
  const next = String(Number(now ?? 0) + 1);
  switch (todo.do) {
    case "set":
      expect(await client.call("SET", key, String(todo.n))).toBe("OK");
      model.keys.set(key, String(todo.n));
      break;
    case "get":
      expect(await client.call("GET", key)).toBe(now ?? null);
      break;
    case "incr":
      expect(await client.call("INCR", key)).toBe(Number(next));
      model.keys.set(key, next);
      break;
    case "execute":
      model.create();
      expect(
        await client.call("RG.PYEXECUTE", `GB('ShardsIDReader').map(lambda r: execute('INCR', '${key}')).run()`),
      ).toEqual([[next], []]);
      model.keys.set(key, next);
      break;
    case "transaction": {
      const replies = await Promise.all([
        client.call("MULTI"),
        client.call("INCR", key),
        client.call("RG.DUMPREGISTRATIONS"),
        client.call("EXEC"),
      ]);
      expect((replies[3] as Value[])[0]).toBe(Number(next));
      expect((replies[3] as Value[][])[1]).toHaveLength(model.triggers.size);
      model.keys.set(key, next);
      break;
    }
  }
}

describe("commands of several clients", () => {
  let server: RunningRegears;
  const clients: Client[] = [];
  beforeAll(async () => {
    server = await startRegears();
    for (let i = 0; i < CLIENTS; i++) clients.push(await connectClient(server.port));
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await server?.stop();
  });

  /** As a new server has it. */
  async function cleared(client: Client, limit: number): Promise<Model> {
    for (const fields of (await client.call("RG.DUMPREGISTRATIONS")) as string[][])
      await client.call("RG.UNREGISTER", String(fields[1]));
    for (const fields of (await client.call("RG.DUMPEXECUTIONS")) as string[][])
      await client.call("RG.DROPEXECUTION", String(fields[1]));
    await client.call("FLUSHALL");
    await client.call("RG.CONFIGSET", "MaxExecutions", String(limit));
    return new Model(limit);
  }

  it("do what the model says", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz(
      "registry",
      "random RG.* and data commands of 3 clients, by Regears and by a model of its registry",
      fc.tuple(most, steps),
      async ([limit, todo]) => {
        const model = await cleared(clients[0] as Client, limit);
        for (const [who, what] of [...todo, [0, { do: "list" }] as const])
          await perform(clients[who] as Client, model, what);
      },
    ),
  );
});
