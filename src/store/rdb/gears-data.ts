/**
 * What RedisGears 1.2 has left in a dump: sessions, registrations and time events. Their functions are bytecode of Python
 * 3.7, which nothing else runs, and the scripts' texts are not there: names, readers and arguments are, by which somebody
 * can tell which scripts to send again. (Written as by RedisGears' execution_plan.c and its readers.)
 */
import type { ModuleValue, RdbRecord } from "./rdb-reader.ts";

export interface GearsSession {
  readonly id: string;
  readonly description: string | undefined;
}

export interface GearsRegistration {
  readonly id: string;
  readonly session: string;
  readonly description: string | undefined;
  readonly reader: string;
  readonly mode: string;
  /** Names as those of `register()`, with their values as they would stand in a script. */
  readonly args: readonly (readonly [name: string, value: string])[];
}

export interface GearsTimer {
  readonly key: string;
  readonly seconds: number;
  readonly session: string | undefined;
}

export interface GearsData {
  readonly sessions: readonly GearsSession[];
  readonly registrations: readonly GearsRegistration[];
  readonly timers: readonly GearsTimer[];
  /** Registrations of which something could not be read. */
  readonly unknown: number;
}

/** The types of data of RedisGears' own. */
export const GEARS_TYPES: ReadonlySet<string> = new Set(["GEARS_DT0", "GEAR_REQ0", "rg_timeev"]);
const REGISTRATIONS = "GEARS_DT0";
const TIMERS = "rg_timeev";

const READERS = ["StreamReader", "KeysReader", "CommandReader"] as const;
const MODES = ["unknown", "sync", "async", "async_local"];
const KEY_TYPES = ["empty", "string", "list", "hash", "set", "zset", "module", "stream"];
const POLICIES = ["unknown", "continue", "abort", "retry"];
const LONG_BYTES = 8;
const ID_BYTES = 40;
const HOOK = 1;

/** Puts together what the records of a dump have of RedisGears'. */
export class GearsCollector {
  readonly #sessions = new Map<string, GearsSession>();
  readonly #registrations: GearsRegistration[] = [];
  readonly #timers: GearsTimer[] = [];
  #unknown = 0;

  take({ module, values = [], key }: RdbRecord): void {
    if (module?.name === REGISTRATIONS) this.#takeRegistrations(values);
    else if (module?.name === TIMERS && key) this.#timers.push(timerOf(key, values));
  }

  get data(): GearsData {
    return {
      sessions: [...this.#sessions.values()],
      registrations: this.#registrations,
      timers: this.#timers,
      unknown: this.#unknown,
    };
  }

  /** A reader's name, then its registrations: their mode follows, but of commands it stands before. */
  #takeRegistrations(values: readonly ModuleValue[]): void {
    let reader: string | undefined;
    for (const [at, value] of values.entries()) {
      if (!Buffer.isBuffer(value)) continue;
      const text = value.toString("latin1");
      const named = READERS.find((name) => text === `${name}\0`);
      if (named) reader = named;
      else if (reader !== undefined && value.length > LONG_BYTES) {
        const mode = values[reader === "CommandReader" ? at - 1 : at + 1];
        this.#takeRegistration(value, reader, MODES[Number(mode)] ?? "unknown");
      }
    }
  }

  #takeRegistration(blob: Buffer, reader: string, mode: string): void {
    try {
      const session = sessionOf(new Blob(blob));
      const { plan, rest } = planOf(blob, reader);
      const { id, description } = namesOf(plan);
      if (!this.#sessions.has(session.id)) this.#sessions.set(session.id, session);
      const args = ARGUMENTS[reader]?.(new Blob(rest)) ?? [];
      this.#registrations.push({ id, session: session.id, description, reader, mode, args });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#unknown++;
    }
  }
}

/** A session's id and description, at the begin of a registration. */
function sessionOf(blob: Blob): GearsSession {
  blob.long();
  blob.text();
  blob.long();
  const id = blob.text();
  return { id, description: blob.long() === 0 ? undefined : blob.text() };
}

/** The plan is preceded by its length and begins with the reader's name; between it and the session are requirements. */
function planOf(blob: Buffer, reader: string): { readonly plan: Buffer; readonly rest: Buffer } {
  const name = Buffer.from(`${reader}\0`);
  for (let at = blob.indexOf(name); at >= 0; at = blob.indexOf(name, at + 1)) {
    const start = at - LONG_BYTES;
    if (start < LONG_BYTES || Number(blob.readBigInt64LE(start)) !== name.length) continue;
    const length = Number(blob.readBigInt64LE(start - LONG_BYTES));
    if (length < name.length || start + length > blob.length) continue;
    return { plan: blob.subarray(start, start + length), rest: blob.subarray(start + length) };
  }
  throw new RangeError("there is no plan");
}

/** Behind its steps, whose arguments only RedisGears knows to pass over, a plan has its id: 40 letters and a number. */
function namesOf(plan: Buffer): { readonly id: string; readonly description: string | undefined } {
  const found = [...plan.toString("latin1").matchAll(/1\0{7}(?=([0-9a-zA-Z]{40}).{9})/gs)].at(-1);
  if (!found) throw new RangeError("there is no id");
  const blob = new Blob(plan.subarray(found.index + LONG_BYTES + ID_BYTES));
  const id = `${found[1]}-${blob.long()}`;
  blob.skip(1);
  return { id, description: blob.long() === 0 ? undefined : blob.text() };
}

type Arguments = readonly (readonly [string, string])[];

const quoted = (text: string): string => `'${text.replace(/['\\]/g, "\\$&")}'`;
const list = (texts: readonly string[]): string => `[${texts.map(quoted).join(", ")}]`;
const flag = (value: number): string => (value === 0 ? "False" : "True");

const ARGUMENTS: Readonly<Record<string, (blob: Blob) => Arguments>> = {
  StreamReader: (blob) => [
    ["prefix", quoted(blob.text())],
    ["batch", String(blob.long())],
    ["duration", String(blob.long())],
    ["onFailedPolicy", quoted(POLICIES[blob.long()] ?? "unknown")],
    ["onFailedRetryInterval", String(blob.long())],
    ["trimStream", flag(blob.long())],
  ],
  KeysReader: (blob) => {
    const prefix = quoted(blob.text());
    const events = blob.texts();
    const commands = blob.texts();
    const types = blob.optional(() => KEY_TYPES[blob.long()] ?? "unknown");
    return [
      ["prefix", prefix],
      ...(events ? [["eventTypes", list(events)] as const] : []),
      ...(types ? [["keyTypes", list(types)] as const] : []),
      ...(commands ? [["commands", list(commands)] as const] : []),
      ["readValue", flag(blob.long())],
    ];
  },
  CommandReader: (blob) => {
    const kind = blob.long();
    const inOrder = blob.long();
    const name = quoted(blob.text());
    const order: Arguments = inOrder === 0 ? [] : [["inorder", "True"]];
    if (kind !== HOOK) return [["trigger", name], ...order];
    const prefix: Arguments = blob.long() === 0 ? [] : [["keyprefix", quoted(blob.text())]];
    return [["hook", name], ...prefix, ...order];
  },
};

function timerOf(key: Buffer, values: readonly ModuleValue[]): GearsTimer {
  const session = values.find((value): value is Buffer => Buffer.isBuffer(value));
  let id: string | undefined;
  try {
    id = session && new Blob(session).text();
  } catch {
    // what it belongs to is not known then
  }
  return { key: key.toString(), seconds: Number(values[0] ?? 0), session: id };
}

/** Numbers of 64 bits, and strings: their length with the zero at their end, and they themselves. */
class Blob {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** @throws RangeError at the end */
  long(): number {
    const value = Number(this.#bytes.readBigInt64LE(this.#at));
    this.#at += LONG_BYTES;
    return value;
  }

  text(): string {
    const length = this.long();
    if (length < 1 || length > this.#bytes.length - this.#at) throw new RangeError("a string is longer than all");
    this.skip(length);
    return this.#bytes.subarray(this.#at - length, this.#at - 1).toString();
  }

  /** A list that may not be there. */
  optional<T>(read: () => T): T[] | undefined {
    if (this.long() === 0) return undefined;
    const count = this.long();
    if (count > this.#bytes.length) throw new RangeError("a list is longer than all");
    return Array.from({ length: count }, read);
  }

  texts(): string[] | undefined {
    return this.optional(() => this.text());
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }
}
