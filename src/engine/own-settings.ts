/**
 * Parameters of CONFIG that are the server's. The engine in this process takes all its connections for clients from
 * elsewhere, the server's own ones too; so what it has instead is fixed, and CONFIG shows and changes ours in its place.
 */
import { replaceConfigValue } from "./config-reply.ts";

/** Where the server listens is an option of the start; the engine in this process would hear nobody any more, or end. */
const LISTENING: ReadonlySet<string> = new Set(["bind", "port", "tls-port", "tls-cluster", "tls-replication"]);
/** Refused for its name, unless the right to CONFIG SET is missing. */
const NO_SETTING = ["CONFIG", "SET", "regears-listening", "no"].map((word) => Buffer.from(word));
/**
 * What the engine lets through: the server's own connections must never be refused. Valkey's default allows about 6 000,
 * because descriptors count from 4096 in the embedded one.
 */
export const ENGINE_CLIENTS = 60_000;
const MOST_CLIENTS = 4_294_967_295;

/** What becomes of a CONFIG command. */
export interface TranslatedConfig {
  /** What the engine is to carry out. */
  readonly args: readonly Buffer[];
  /** Takes note of the engine's reply, and gives the one to be seen. */
  readonly settle: (reply: Buffer) => Buffer;
}

/** A parameter of ours. */
interface OwnParameter {
  /** What the engine has instead. */
  readonly inEngine: string;
  read(): string;
  /** @returns what takes the value over; undefined: the engine will refuse it */
  change(value: string): (() => void) | undefined;
}

export class OwnSettings {
  /** Without a password only clients of this machine are served. */
  protectedMode: boolean;
  /** Most clients at a time. */
  maxClients: number;
  readonly embedded: boolean;
  readonly #parameters: ReadonlyMap<string, OwnParameter>;

  /** @param embedded an engine by URL has settings of its own, about its own clients */
  constructor(
    values: { readonly protectedMode: boolean; readonly maxClients: number; readonly aclfile?: string },
    embedded: boolean,
  ) {
    this.protectedMode = values.protectedMode;
    this.maxClients = values.maxClients;
    this.embedded = embedded;
    this.#parameters = new Map([
      ["protected-mode", this.#protectedModeParameter()],
      ["maxclients", this.#maxClientsParameter()],
      // the engine has no files, and lets nobody change this one
      ["aclfile", { inEngine: "", read: () => values.aclfile ?? "", change: () => undefined }],
    ]);
  }

  /** @returns undefined when the engine may have the command as it is. @param args with the name */
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
    return shown;
  }

  #translateSet(args: readonly Buffer[], words: readonly string[]): TranslatedConfig | undefined {
    const translated = [...args];
    const changes: (() => void)[] = [];
    // names and values take turns
    for (let at = 2; at + 1 < words.length; at += 2) {
      const name = words[at] as string;
      if (LISTENING.has(name)) return { args: NO_SETTING, settle: (reply) => immutable(reply, name) };
      const parameter = this.#parameters.get(name);
      const change = parameter?.change(words[at + 1] as string);
      if (!parameter || !change) continue;
      translated[at + 1] = Buffer.from(parameter.inEngine);
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
      inEngine: "no",
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
      inEngine: String(ENGINE_CLIENTS),
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
}

const OK = "+".charCodeAt(0);

function immutable(reply: Buffer, name: string): Buffer {
  if (!reply.toString("latin1").startsWith("-ERR Unknown option")) return reply;
  return Buffer.from(
    `-ERR CONFIG SET failed (possibly related to argument '${name}') - can't set immutable config\r\n`,
  );
}
