/**
 * Parameters of CONFIG that are the server's. The embedded engine takes all its connections for clients, also the server's
 * own ones. So the engine's values of these parameters are fixed, and CONFIG shows and changes the server's values instead.
 */
import { replaceConfigValue } from "./config-reply.ts";

/** Where the server listens is an option of the start. Changed in the embedded engine, these would cut it off, or end it. */
const LISTENING: ReadonlySet<string> = new Set(["bind", "port", "tls-port", "tls-cluster", "tls-replication"]);
/**
 * The engine refuses this because of the name, unless the right to CONFIG SET is missing; which of the two, its reply tells.
 */
const NO_SETTING = ["CONFIG", "SET", "regears-listening", "no"].map((word) => Buffer.from(word));
/**
 * What the engine lets through: the server's own connections must never be refused. Valkey's default allows about 6 000,
 * because descriptors count from 4096 in the embedded one.
 */
export const ENGINE_CLIENTS = 60_000;
const MOST_CLIENTS = 4_294_967_295;
const LONGEST_TIMEOUT = 2_147_483_647;
/** Data must leave room for what clients make the engine hold: it can address 4 GiB, and ends when it needs more. */
const MOST_MEMORY = 3 * 1024 ** 3;

/** What becomes of a CONFIG command. */
interface TranslatedConfig {
  /** What the engine is to carry out. */
  readonly args: readonly Buffer[];
  /** Takes note of the engine's reply, and gives the reply for the client. */
  readonly settle: (reply: Buffer) => Buffer;
}

/** A parameter of the server's. */
interface OwnParameter {
  /** The value that the engine has while the server has this one. */
  inEngine(value: string): string;
  read(): string;
  /** For a value that the engine would take and the server does not: the range that it is out of. */
  outOfRange?(value: string): string | undefined;
  /** @returns a function that takes the value over; undefined when the engine will refuse the value */
  change(value: string): (() => void) | undefined;
}

/** Who may use DEBUG: nobody, everybody with the right to it, or only clients of this machine. */
export type DebugMode = "no" | "yes" | "local";

/** The most memory for data. */
interface MemoryLimit {
  /** 0: as many as there can be. */
  readonly bytes: number;
  /** Reads an amount such as `100mb`. @returns undefined when it is none */
  parse(text: string): number | undefined;
}

/** What the server starts with. */
export interface OwnValues {
  readonly protectedMode: boolean;
  readonly maxClients: number;
  /** Seconds; 0: never. */
  readonly timeout?: number;
  readonly maxMemory?: MemoryLimit;
  readonly debug?: DebugMode;
  /** Are replicas to be sent dumps without a file? It is shown, and no more: see `FIXED_SETTINGS`. */
  readonly disklessSync?: boolean;
  /** Parameters that stay as they are, with what CONFIG GET shows; the engine has others. */
  readonly fixed?: Readonly<Record<string, string>>;
}

export class OwnSettings {
  /** Without a password only clients of this machine are served. */
  protectedMode: boolean;
  /** Most clients at a time. */
  maxClients: number;
  /** Seconds after which a client that does nothing is disconnected; 0: never. */
  timeout: number;
  readonly debug: DebugMode;
  readonly embedded: boolean;
  #disklessSync: boolean;
  /** The `maxmemory` that was set, which may be 0 for no limit; the engine's own is never 0. */
  #maxMemory: number;
  readonly #fixed: readonly (readonly [string, string])[];
  readonly #parameters: ReadonlyMap<string, OwnParameter>;

  /** @param embedded an engine by URL has settings of its own, about its own clients */
  constructor(values: OwnValues, embedded: boolean) {
    this.protectedMode = values.protectedMode;
    this.maxClients = values.maxClients;
    this.timeout = values.timeout ?? 0;
    this.debug = values.debug ?? "no";
    this.embedded = embedded;
    this.#maxMemory = values.maxMemory?.bytes ?? 0;
    this.#disklessSync = values.disklessSync ?? true;
    this.#fixed = Object.entries({ ...values.fixed, "enable-debug-command": this.debug });
    this.#parameters = new Map([
      ["protected-mode", this.#protectedModeParameter()],
      ["maxclients", this.#maxClientsParameter()],
      ["timeout", this.#timeoutParameter()],
      ["repl-diskless-sync", this.#disklessParameter()],
      ...(values.maxMemory ? [["maxmemory", this.#maxMemoryParameter(values.maxMemory)] as const] : []),
    ]);
  }

  /** The parameters that are the server's, with their values. */
  get own(): (readonly [name: string, value: string])[] {
    return [...this.#parameters].map(([name, parameter]) => [name, parameter.read()] as const);
  }

  get maxMemory(): number {
    return this.#maxMemory;
  }

  /** What becomes of a command. @param args with the name. @returns undefined when the engine gets the command as it is */
  translate(args: readonly Buffer[]): TranslatedConfig | undefined {
    if (!this.embedded) return undefined;
    const words = args.map((arg) => arg.toString("latin1").toLowerCase());
    if (words[0] !== "config") return undefined;
    if (words[1] === "get") return { args, settle: (reply) => this.#shown(reply) };
    return words[1] === "set" ? this.#translateSet(args, words) : undefined;
  }

  #shown(reply: Buffer): Buffer {
    let shown = reply;
    for (const [name, parameter] of this.#parameters) shown = replaceConfigValue(shown, name, parameter.read());
    for (const [name, value] of this.#fixed) shown = replaceConfigValue(shown, name, value);
    return shown;
  }

  #translateSet(args: readonly Buffer[], words: readonly string[]): TranslatedConfig | undefined {
    const translated = [...args];
    const changes: (() => void)[] = [];
    // names and values take turns
    for (let at = 2; at + 1 < words.length; at += 2) {
      const name = words[at] as string;
      if (LISTENING.has(name)) return refused(name, "can't set immutable config");
      const parameter = this.#parameters.get(name);
      const range = parameter?.outOfRange?.(words[at + 1] as string);
      if (range !== undefined) return refused(name, `argument must be between ${range} inclusive`);
      const change = parameter?.change(words[at + 1] as string);
      if (!parameter || !change) continue;
      translated[at + 1] = Buffer.from(parameter.inEngine(words[at + 1] as string));
      changes.push(change);
    }
    if (changes.length === 0) return undefined;
    return {
      args: translated,
      settle: (reply) => {
        if (reply[0] === OK) for (const change of changes) change();
        return reply;
      },
    };
  }

  #protectedModeParameter(): OwnParameter {
    return {
      inEngine: () => "no",
      read: () => (this.protectedMode ? "yes" : "no"),
      change: (value) => {
        if (value !== "yes" && value !== "no") return undefined;
        return () => {
          this.protectedMode = value === "yes";
        };
      },
    };
  }

  #maxClientsParameter(): OwnParameter {
    return {
      inEngine: () => String(ENGINE_CLIENTS),
      read: () => String(this.maxClients),
      change: (value) => {
        const number = Number(value);
        if (!/^\d+$/.test(value) || number < 1 || number > MOST_CLIENTS) return undefined;
        return () => {
          this.maxClients = number;
        };
      },
    };
  }

  /** The engine would disconnect a client that only sends commands of the server's own, which the engine does not see. */
  #timeoutParameter(): OwnParameter {
    return {
      inEngine: () => "0",
      read: () => String(this.timeout),
      change: (value) => {
        if (!/^\d+$/.test(value) || Number(value) > LONGEST_TIMEOUT) return undefined;
        return () => {
          this.timeout = Number(value);
        };
      },
    };
  }

  #disklessParameter(): OwnParameter {
    return {
      inEngine: () => "no",
      read: () => (this.#disklessSync ? "yes" : "no"),
      change: (value) => {
        if (value !== "yes" && value !== "no") return undefined;
        return () => {
          this.#disklessSync = value === "yes";
        };
      },
    };
  }

  #maxMemoryParameter({ parse }: MemoryLimit): OwnParameter {
    return {
      inEngine: (value) => String(parse(value) || MOST_MEMORY),
      outOfRange: (value) => ((parse(value) ?? 0) > MOST_MEMORY ? `0 and ${MOST_MEMORY}` : undefined),
      read: () => String(this.#maxMemory),
      change: (value) => {
        const bytes = parse(value);
        if (bytes === undefined) return undefined;
        return () => {
          this.#maxMemory = bytes;
        };
      },
    };
  }
}

const OK = "+".charCodeAt(0);

/** Whoever may not use CONFIG SET gets the engine's NOPERM, and everybody else the reason why the parameter is fixed. */
function refused(name: string, reason: string): TranslatedConfig {
  const refusal = `-ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}\r\n`;
  const settle = (reply: Buffer): Buffer =>
    reply.toString("latin1").startsWith("-ERR Unknown option") ? Buffer.from(refusal) : reply;
  return { args: NO_SETTING, settle };
}
