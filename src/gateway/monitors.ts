/** What MONITOR shows of the commands that the engine does not see: ours. */

/** A client that may be monitoring. */
export interface Watcher {
  readonly monitoring: boolean;
  show(line: Buffer): void;
}

/** Where a command comes from. */
interface Origin {
  readonly database: number;
  /** The client's address as Redis writes it. */
  readonly peer: string;
}

export class Monitors {
  readonly #watchers = new Set<Watcher>();

  /** May anybody be monitoring? */
  get areWatched(): boolean {
    return this.#watchers.size > 0;
  }

  /** The engine has accepted a client's MONITOR. */
  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
  }

  delete(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Shows a command that is about to be carried out. @param words name and arguments as typed; asked for if anybody watches */
  show(origin: Origin, words: () => readonly Buffer[]): void {
    if (this.#watchers.size === 0) return;
    const line = monitorLine(Date.now(), origin, words());
    for (const watcher of this.#watchers) {
      // RESET ends it
      if (watcher.monitoring) watcher.show(line);
      else this.#watchers.delete(watcher);
    }
  }
}

/** A client that gets lines in between the replies it is owed. */
export function watcherOf(state: Pick<Watcher, "monitoring">, replies: { showLine(line: Buffer): void }): Watcher {
  return {
    show: (line) => replies.showLine(line),
    get monitoring() {
      return state.monitoring;
    },
  };
}

/** What this server sends on a client's connection in place of its command (`command-rights.ts`, `scripts.lua`). */
const OWN = /^\+[\d.]+ \[[^\]]*\] (?:"(?:evaL|confiG|dbsizE|pinG|echO)"|"FCALL" "__regears_)/;

/** Is this line of the engine about something that no client has sent? The client's command has a line from {@link Monitors}. */
export const isOwnLine = (line: Buffer): boolean => OWN.test(line.toString("latin1", 0, 160));

/** Puts the client's address into a line of an engine that knows none. Lines about commands of Lua scripts say `lua` there already. */
export function withOrigin(line: Buffer, origin: string): Buffer {
  const end = line.indexOf(" ]");
  const open = line.indexOf("[");
  if (end < 0 || open < 0 || line.indexOf(" ", open) !== end) return line;
  return Buffer.concat([line.subarray(0, end + 1), Buffer.from(origin), line.subarray(end + 1)]);
}

/** A line as Redis writes it. @param now milliseconds since 1970 */
function monitorLine(now: number, { database, peer }: Origin, words: readonly Buffer[]): Buffer {
  const time = `${Math.floor(now / 1000)}.${String(Math.floor((now % 1000) * 1000)).padStart(6, "0")}`;
  return Buffer.from(`+${time} [${database} ${peer}] ${words.map(quoted).join(" ")}\r\n`, "latin1");
}

const ESCAPED: Readonly<Record<string, string>> = {
  ...{ "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u0007": "\\a", "\b": "\\b" },
};

/** Redis' own way to make bytes readable (sdscatrepr). */
const quoted = (word: Buffer): string =>
  `"${word
    .toString("latin1")
    .replace(/[^ !#-[\]-~]/g, (byte) => ESCAPED[byte] ?? `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`;
