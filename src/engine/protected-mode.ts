/**
 * `protected-mode`, which is the server's. The engine in this process takes all its connections for ones from elsewhere,
 * and would refuse even the server's own; so its setting stays off, and CONFIG shows and changes ours in its place.
 */
import { replaceConfigValue } from "./config-reply.ts";

const PARAMETER = "protected-mode";
/** Where the server listens is an option of the start; the engine in this process would hear nobody any more, or end. */
const LISTENING: ReadonlySet<string> = new Set(["port", "tls-port"]);
/** Refused for its name, unless the right to CONFIG SET is missing. */
const NO_SETTING = ["CONFIG", "SET", "regears-listening", "no"].map((word) => Buffer.from(word));

/** What becomes of a CONFIG command. */
export interface TranslatedConfig {
  /** What the engine is to carry out. */
  readonly args: readonly Buffer[];
  /** Takes note of the engine's reply, and gives the one to be seen. */
  readonly settle: (reply: Buffer) => Buffer;
}

export class ProtectedMode {
  /** Without a password only clients of this machine are served. */
  on: boolean;
  readonly #embedded: boolean;

  /** @param embedded an engine by URL has a setting of its own, about its own clients */
  constructor(on: boolean, embedded: boolean) {
    this.on = on;
    this.#embedded = embedded;
  }

  /** @returns undefined when the engine may have the command as it is. @param args with the name */
  translate(args: readonly Buffer[]): TranslatedConfig | undefined {
    if (!this.#embedded) return undefined;
    const words = args.map((arg) => arg.toString("latin1").toLowerCase());
    if (words[0] !== "config") return undefined;
    if (words[1] === "get") {
      return { args, settle: (reply) => replaceConfigValue(reply, PARAMETER, this.on ? "yes" : "no") };
    }
    if (words[1] !== "set") return undefined;
    const listening = words.find((word, index) => index % 2 === 0 && LISTENING.has(word));
    if (listening !== undefined) return { args: NO_SETTING, settle: (reply) => immutable(reply, listening) };
    // names and values take turns
    const at = words.findIndex((word, index) => index % 2 === 0 && index > 0 && word === PARAMETER) + 1;
    const wanted = words[at];
    if (at === 0 || (wanted !== "yes" && wanted !== "no")) return undefined;
    return {
      args: args.with(at, Buffer.from("no")),
      settle: (reply) => {
        if (reply[0] === OK) this.on = wanted === "yes";
        return reply;
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
