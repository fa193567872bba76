/** Random data commands, and a model that says which events KeysReader registrations get, and with which records. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { type Key, type KeyEvent, KeyModel } from "./key-model.ts";
import { FUZZ_TIMEOUT_MS, fuzz } from "./support.ts";

type Command = readonly string[];
interface Action {
  readonly how: "alone" | "execute" | "transaction" | "lua" | "pipeline";
  readonly commands: readonly Command[];
}
interface Registered {
  readonly prefix: string;
  readonly eventTypes: readonly string[] | null;
  readonly keyTypes: readonly string[] | null;
  readonly commands: readonly string[] | null;
  readonly readValue: boolean;
  readonly mode: "sync" | "async_local";
}

const key = fc.constantFrom("a", "ab", "b");
const text = fc.constantFrom("1", "2", "x");
const two = fc.constantFrom(["a", "ab"], ["ab", "b"], ["b", "a"], ["ab", "a"]);
const ofKey = (...names: string[]): fc.Arbitrary<Command> => fc.tuple(fc.constantFrom(...names), key);
const withText = (...names: string[]): fc.Arbitrary<Command> => fc.tuple(fc.constantFrom(...names), key, text);
const command: fc.Arbitrary<Command> = fc.oneof(
  withText("SET", "SETNX", "APPEND", "LPUSH", "RPUSH", "SADD", "SREM"),
  ofKey("INCR", "DEL", "GET", "GETDEL", "EXISTS", "PERSIST", "LPOP", "RPOP", "ZPOPMIN"),
  two.chain((keys) => fc.constantFrom("RENAME", "COPY", "RPOPLPUSH", "DEL").map((name) => [name, ...keys])),
  fc.oneof(
    fc.tuple(key, text).map(([k, v]) => ["SET", k, v, "PX", "90000"]),
    fc.tuple(two, text).map(([[k, l], v]) => ["MSET", k as string, v, l as string, "y"]),
    fc.tuple(key, fc.constantFrom("100", "-1")).map(([k, s]) => ["EXPIRE", k, s]),
    fc.tuple(key, text).map(([k, v]) => ["LREM", k, "0", v]),
    key.map((k) => ["LTRIM", k, "1", "-1"]),
    fc.tuple(key, text, text).map(([k, f, v]) => ["HSET", k, f, v]),
    fc.tuple(key, text).map(([k, f]) => ["HDEL", k, f]),
    key.map((k) => ["SPOP", k, "9"]),
    fc.tuple(key, fc.constantFrom("1", "2")).map(([k, s]) => ["ZADD", k, s, "m"]),
    key.map((k) => ["ZREM", k, "m"]),
    key.map((k) => ["XADD", k, "*", "f", "v"]),
  ),
);
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ how: fc.constantFrom("alone" as const, "execute" as const), commands: fc.tuple(command) }),
  fc.record({
    how: fc.constantFrom("transaction" as const, "lua" as const, "pipeline" as const),
    commands: fc.array(command, { minLength: 1, maxLength: 4 }),
  }),
);
const some = (...words: string[]): fc.Arbitrary<string[] | null> =>
  fc.option(fc.subarray(words, { minLength: 1 }), { nil: null });
const registered: fc.Arbitrary<Registered> = fc.record({
  prefix: fc.constantFrom("*", "*", "a*", "a", "ab*", "*b", "b"),
  eventTypes: some(
    "set",
    "DEL",
    "lpop",
    "rpop",
    "expire",
    "hset",
    "hdel",
    "keymiss",
    "incrby",
    "rename_to",
    "Rename_From",
  ),
  keyTypes: some("string", "list", "hash", "set", "zset", "stream", "empty"),
  commands: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, some("set", "GET", "del", "rename", "mset", "lpop")),
  readValue: fc.boolean(),
  mode: fc.constantFrom("sync" as const, "async_local" as const),
});

const python = (words: readonly string[] | null): string => (words === null ? "None" : JSON.stringify(words));
const script = (all: readonly Registered[]): string =>
  [
    "import json",
    ...all.map(({ prefix, eventTypes, keyTypes, commands, readValue, mode }, number) => {
      const filters = `eventTypes=${python(eventTypes)}, keyTypes=${python(keyTypes)}, commands=${python(commands)}`;
      const options = `readValue=${readValue ? "True" : "False"}, mode='${mode}'`;
      return `GB('KeysReader').map(lambda r: '${number} ' + json.dumps(r)).register('${prefix}', ${filters}, ${options})`;
    }),
  ].join("\n");

/** Which registrations get an event. */
function wants(
  { prefix, eventTypes, keyTypes, commands }: Registered,
  { event, key, was }: KeyEvent,
  by: string,
): boolean {
  const has = (words: readonly string[] | null, word: string): boolean =>
    words === null || words.some((one) => one.toLowerCase() === word);
  const named = prefix.endsWith("*") ? key.startsWith(prefix.slice(0, -1)) : key === prefix;
  return named && has(eventTypes, event) && has(keyTypes, was?.type ?? "empty") && has(commands, by.toLowerCase());
}

/** The record of an event, as JSON. */
function record({ event, key }: KeyEvent, found: Key | undefined, readValue: boolean): string {
  const type = found === undefined ? "empty" : found.type === "stream" ? "unknown" : found.type;
  const value = type === "string" || type === "list" || type === "hash" ? found?.value : null;
  return JSON.stringify(readValue ? { event, key, type, value } : { event, key });
}

const lines = (texts: readonly string[]): string[] => texts.map((line) => JSON.stringify(sorted(JSON.parse(line))));
/** Fields of hashes come in any order. */
const sorted = (value: { value?: unknown }): unknown => {
  if (value.value === null || typeof value.value !== "object" || Array.isArray(value.value)) return value;
  return { ...value, value: Object.entries(value.value).sort() };
};

describe("events of keys", () => {
  let server: RunningRegears;
  let client: Client;
  beforeAll(async () => {
    server = await startRegears();
    client = await connectClient(server.port);
    await client.call("RG.CONFIGSET", "MaxExecutionsPerRegistration", "0", "MaxExecutions", "0");
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
  });

  const quiet = (call: Promise<Value>): Promise<unknown> => call.catch(() => undefined);

  const quoted = (command: Command): string => command.map((word) => `'${word}'`).join(", ");

  async function perform({ how, commands }: Action): Promise<void> {
    if (how === "lua") {
      const script = commands.map((command) => `redis.pcall(${quoted(command)})`).join("\n");
      await client.call("EVAL", script, "0");
    } else if (how === "execute") {
      const code = `GB('ShardsIDReader').map(lambda r: execute(${quoted(commands[0] as Command)})).run()`;
      await client.call("RG.PYEXECUTE", code);
    } else {
      const all = how === "transaction" ? [["MULTI"], ...commands, ["EXEC"]] : commands;
      await Promise.all(all.map((command) => quiet(client.call(...command))));
    }
  }

  /** Waits until all has ended. @returns what each registration has as results, in the order of its executions */
  async function seen(count: number): Promise<string[][]> {
    const texts: string[][] = Array.from({ length: count }, () => []);
    const list = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
    const ids = list.map((fields) => String(fields[1])).sort((a, b) => Number(a.slice(41)) - Number(b.slice(41)));
    for (const reply of await Promise.all(ids.map((id) => client.call("RG.GETRESULTSBLOCKING", id)))) {
      const [results, errors] = reply as [string[], string[]];
      expect(errors).toEqual([]);
      for (const result of results) texts[Number(result[0])]?.push(result.slice(2));
    }
    return texts;
  }

  it("reach the registrations that the model says", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz(
      "events",
      "random data commands under random KeysReader registrations, and a model of the events",
      fc.tuple(fc.array(registered, { minLength: 1, maxLength: 3 }), fc.array(action, { minLength: 1, maxLength: 12 })),
      async ([registrations, actions]) => {
        await client.call("RG.UNREGISTERALL", "ABORTPENDING");
        await client.call("FLUSHALL");
        await client.call("RG.PYEXECUTE", script(registrations));
        const model = new KeyModel();
        const wanted: string[][] = registrations.map(() => []);
        for (const action of actions) {
          // when one of these begins between two commands, its value is anybody's guess
          const loose = registrations.some(({ mode, readValue }) => mode !== "sync" && readValue);
          if (loose && action.how === "pipeline") continue;
          await perform(action);
          await seen(registrations.length);
          const happened: { event: KeyEvent; by: string; after: Map<string, Key> }[] = [];
          for (const command of action.commands) {
            const events = model.run(command);
            const after = structuredClone(model.keys);
            for (const event of events) happened.push({ event, by: command[0] as string, after });
          }
          registrations.forEach((registration, number) => {
            const inline = registration.mode === "sync";
            for (const { event, by, after } of happened) {
              if (!wants(registration, event, by)) continue;
              const found = inline ? (event.was ?? after.get(event.key)) : model.keys.get(event.key);
              wanted[number]?.push(
                record(
                  event,
                  found && inline && after.get(event.key) ? after.get(event.key) : found,
                  registration.readValue,
                ),
              );
            }
          });
        }
        const found = await seen(registrations.length);
        expect(found.map(lines)).toEqual(wanted.map(lines));
      },
    ),
  );
});
