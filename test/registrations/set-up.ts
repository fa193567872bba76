/** Registrations on a real engine, with functions of the test in place of Python. */
import { afterEach, beforeEach, expect } from "vitest";
import { EngineError, type EngineValue } from "../../src/engine/engine-client.ts";
import { createCommandTable } from "../../src/commands/table.ts";
import { EngineCommands } from "../../src/engine/engine-commands.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { InternalConnections } from "../../src/engine/internal-connections.ts";
import { UpstreamEngine } from "../../src/engine/upstream-engine.ts";
import { Ids } from "../../src/executions/ids.ts";
import { ExecutionRegistry } from "../../src/executions/execution-registry.ts";
import { ExecutionRunner } from "../../src/executions/execution-runner.ts";
import { Session, SessionRegistry } from "../../src/executions/session.ts";
import { EngineGate } from "../../src/engine/engine-gate.ts";
import { createEventReaders } from "../../src/registrations/event-readers.ts";
import { EventStarter } from "../../src/registrations/event-starter.ts";
import type { RegisterReader, Registration, RegistrationSpec } from "../../src/registrations/registration.ts";
import { type ReaderSide, RegistrationRegistry } from "../../src/registrations/registration-registry.ts";
import type { Clock, Timer } from "../../src/timer.ts";
import { callerOf, runThrough, wayOf } from "../support/path.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { Listener } from "../../src/gateway/listener.ts";
import { spec } from "../support/spec.ts";
import { FakeHost, type FlowFunction, type Record } from "../support/fake-host.ts";

/** Time that stands still until a test moves it. */
export class FakeClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly action: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, action: () => void): Timer {
    const timer = { at: this.#now + ms, action };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  forward(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { action } of due) action();
  }
}

type Spec = Partial<Omit<RegistrationSpec, "prefix">> & { readonly prefix?: string };

export type World = Awaited<ReturnType<typeof createWorld>>;

/** @param options `url` of an engine; the embedded one unless given */
export async function createWorld(options: { maxPerRegistration?: number; maxBacklog?: number; url?: string } = {}) {
  const engine = options.url === undefined ? new EmbeddedEngine() : new UpstreamEngine({ url: options.url });
  await engine.start();
  const connections = new InternalConnections(engine);
  await connections.start("");
  const engineCommands = new EngineCommands();
  const admin = connections.open();
  await engineCommands.load(admin);
  const gate = new EngineGate(() => {
    if (engine instanceof EmbeddedEngine) engine.settle();
  });
  const host = new FakeHost();
  const ids = new Ids();
  const sessions = new SessionRegistry();
  const registry = new ExecutionRegistry(ids, { maxExecutions: () => 1_000, maxResultBytes: () => 0 });
  const runner = new ExecutionRunner({
    ...{ host, registry, ids },
    settings: { traceback: () => true, profile: () => false, shares: false },
    timeoutMs: () => 0,
    syncTimeoutMs: () => 0,
    maxWaiting: 1000,
    maxResultBytes: 0,
  });
  const limits = { perRegistration: options.maxPerRegistration ?? 100 };
  const starter = new EventStarter({
    ...{ runner, gate },
    maxPerRegistration: () => limits.perRegistration,
    readsAtOnce: engine.embedded,
  });
  const clock = new FakeClock();
  const problems: string[] = [];
  const log = {
    warn: (text: unknown) => void problems.push(String(text)),
    error: (fault: unknown) => void problems.push(String(fault)),
  };
  const noted = (): void => {};
  const readers = createEventReaders({
    ...{ connections, gate, starter, engineCommands, clock, log },
    embedded: engine.embedded,
    ...(options.maxBacklog === undefined ? {} : { maxBacklog: options.maxBacklog }),
  });
  const registrations = new RegistrationRegistry({
    ...{ ids, host, sessions },
    readers: new Map<RegisterReader, ReaderSide>([
      ["KeysReader", readers.keys],
      ["StreamReader", readers.streams],
    ]),
  });

  const commands = createCommandTable([], log);
  const way = wayOf(commands, engine.embedded);
  way.path.use(readers.middleware);
  const listener = new Listener(
    { port: 0 },
    { ...{ engine, commands, gate, ...way }, log: { ...log, debug: noted, info: noted } },
  );
  await listener.listen();
  const clients: TestClient[] = [];

  /** Registers a function. */
  const register = ({ prefix = "*", ...fields }: Spec, action: FlowFunction = () => {}): Registration => {
    const declarations = registrations.declare(new Session(undefined), () => undefined);
    const registration = declarations.add(spec({ ...fields, prefix: Buffer.from(prefix) }));
    void declarations.commit();
    host.functions.set(registration.number, action);
    return registration;
  };

  /** `execute()` of a flow. */
  const execute = async (owner: object, ...words: (string | Buffer)[]): Promise<EngineValue> => {
    const args = words.map((word) => Buffer.from(word as string));
    const caller = callerOf({ kind: "python", owner, canWait: false });
    const send = async (request: Buffer): Promise<Buffer> => {
      await new Promise<void>((resolve) => gate.whenOpen(owner, resolve));
      return admin.rawCall(request, 1);
    };
    return decode(await runThrough(way.path, args, caller, send));
  };

  return {
    ...{ engine, gate, host, registry, runner, sessions, registrations, readers, starter, clock, limits, problems },
    ...{ register, execute, admin },
    /** Opens a client of the gateway. */
    client: (): TestClient => {
      const client = new TestClient(listener.port);
      clients.push(client);
      return client;
    },
    /** Resolves when nothing is in progress any more. */
    idle: async (): Promise<void> => {
      for (let quiet = 0; quiet < 5; ) {
        await new Promise((resolve) => setImmediate(resolve));
        const busy = registrations.list().some(({ pending }) => pending.size > 0) || runner.pending.length > 0;
        quiet = busy ? 0 : quiet + 1;
      }
    },
    close: async (): Promise<void> => {
      for (const client of clients) client.close();
      await listener.close(0);
      readers.close();
      await engine.stop();
    },
  };
}

/** A world of its own for each test of a file, in which nothing may go wrong unnoticed. */
export function useWorld(enter: (world: World, client: TestClient) => void): void {
  let world: World;
  beforeEach(async () => {
    world = await createWorld();
    enter(world, world.client());
  });
  afterEach(async () => {
    await world.close();
    expect(world.problems).toEqual([]);
  });
}

/** Adds messages to a stream, one by one; each has its id as its value, too. */
export async function addMessages(client: TestClient, key: string, ...ids: string[]): Promise<void> {
  for (const id of ids) await client.line(`XADD ${key} ${id} n ${id}`);
}

/** A client of the gateway; it connects with its first command. */
export class TestClient {
  readonly #port: number;
  #connection: Promise<Client> | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** Sends a command as one line of words. */
  line(text: string): Promise<Value> {
    return this.send(...text.split(" "));
  }

  /** Sends a command. Errors come as values. */
  async send(...words: (string | Buffer)[]): Promise<Value> {
    this.#connection ??= connectClient(this.#port);
    const connection = await this.#connection;
    return connection.call(...words).catch((error: Error) => error);
  }

  /** Sends commands as a transaction, and gives the replies of EXEC. */
  async multi(...lines: string[]): Promise<Value> {
    const replies = await Promise.all(["MULTI", ...lines, "EXEC"].map((text) => this.line(text)));
    return replies.at(-1) ?? null;
  }

  close(): void {
    void this.#connection?.then((connection) => connection.close());
  }
}

/** A reply as a value; errors too. */
const decode = (bytes: Buffer): EngineValue => decodeAt(bytes, { at: 0 });

function decodeAt(bytes: Buffer, position: { at: number }): EngineValue {
  const end = bytes.indexOf("\r\n", position.at);
  const type = String.fromCharCode(bytes[position.at] ?? 0);
  const line = bytes.toString("utf8", position.at + 1, end);
  position.at = end + 2;
  if (type === "+") return Buffer.from(line);
  if (type === "-") return new EngineError(line);
  if (type === ":") return Number(line);
  const size = Number(line);
  if (size < 0) return null;
  if (type === "*") return Array.from({ length: size }, () => decodeAt(bytes, position));
  position.at += size + 2;
  return bytes.subarray(position.at - size - 2, position.at - 2);
}

/** Texts instead of bytes, for comparisons. */
export function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString();
  if (value instanceof Error) return `-${value.message}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return value;
}

/** A record as one line: event, key, type, value. */
export function line(record: Record | undefined): string {
  const { event, key, type, value } = plain(record) as { [name: string]: unknown };
  return `${event} ${key} ${type} ${JSON.stringify(value)}`;
}

/** The counters as in docs/spec/events.md, section 13. */
export const counts = ({ statistics }: Registration): number[] => [
  statistics.triggered,
  statistics.success,
  statistics.failures,
  statistics.aborted,
];

/** A function that notes its records as lines. */
export function noting(): { readonly seen: string[]; readonly note: FlowFunction } {
  const seen: string[] = [];
  return { seen, note: ({ records }) => void seen.push(line(records[0])) };
}

/** Sends commands one after the other. Gives the last reply. */
export async function sendLines(client: TestClient, ...lines: string[]): Promise<unknown> {
  let reply: unknown;
  for (const text of lines) reply = plain(await client.line(text));
  return reply;
}

/** A function that notes the ids of each batch that is not empty. */
export function notingBatches(): { readonly batches: string[]; readonly note: FlowFunction } {
  const batches: string[] = [];
  return {
    batches,
    note: ({ records }) => {
      if (records.length > 0) batches.push(records.map((record) => record.get("id")).join(" "));
    },
  };
}

/** A function that fails for records, so many times or always. */
export function failing(times = Number.POSITIVE_INFINITY): FlowFunction {
  let left = times;
  return ({ records }) => {
    if (records.length > 0 && left-- > 0) throw new Error("failed");
  };
}
