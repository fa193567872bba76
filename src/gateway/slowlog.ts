/**
 * SLOWLOG with commands of ours beside the engine's, which does not see how long they take. Its settings count for both.
 */
import { after, type Handling, type Middleware, type RequestView } from "../commands/path.ts";
import { encodeCommand } from "../engine/encode.ts";
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { wordOf } from "../engine/traits.ts";
import { isError, joinAggregate, scalarText, splitAggregate } from "../resp/frames.ts";
import { array, bulk, encodeWhole, integer, type Reply, raw, text } from "../resp/reply.ts";
import type { AccessEpoch } from "../engine/user-rights.ts";

interface SlowlogOptions {
  readonly connections: Pick<InternalConnections, "open">;
  /** Changes when settings can have changed. */
  readonly epoch: Pick<AccessEpoch, "value">;
  /** How long settings are trusted when others can change them, in milliseconds. */
  readonly lifetimeMs: number;
}

interface Entry {
  readonly seconds: number;
  readonly microseconds: number;
  readonly words: readonly Reply[];
  readonly address: string;
  /** The id of the engine's last entry before this one; undefined until a client first reads both logs. */
  after: number | undefined;
}

interface Settings {
  readonly epoch: number;
  readonly until: number;
  readonly slowerThan: number;
  readonly length: number;
}

/** What Redis keeps of a command. */
const MAX_WORDS = 32;
const MAX_BYTES = 128;
const SHOWN = 10;

export class Slowlog implements Middleware {
  readonly of = ["client"] as const;
  readonly active = false;
  readonly always = ["slowlog"];
  readonly #options: SlowlogOptions;
  /** Oldest first. */
  #entries: Entry[] = [];
  /** How many were there before them: ids go on. */
  #gone = 0;
  /** The highest id of the engine that was seen. */
  #engineId = -1;
  #settings: Settings | undefined;
  #noting: Promise<void> = Promise.resolve();

  constructor(options: SlowlogOptions) {
    this.#options = options;
  }

  /** A command has run so long. @param words as the client sent it */
  note(words: () => readonly Buffer[], ms: number, address: string): void {
    const microseconds = Math.round(ms * 1000);
    const isSlow = ({ slowerThan }: Settings): boolean => slowerThan >= 0 && microseconds >= slowerThan;
    const known = this.#current();
    if (known && !isSlow(known)) return;
    const seconds = Math.floor(Date.now() / 1000);
    const entry: Entry = { seconds, microseconds, words: shortened(words()), address, after: undefined };
    const add = async (): Promise<void> => {
      const settings = this.#current() ?? (await this.#learn());
      if (!isSlow(settings)) return;
      this.#entries.push(entry);
      this.#forget(this.#entries.length - settings.length);
    };
    // an engine that can not be reached has no log either
    this.#noting = this.#noting.then(add).catch(() => {});
  }

  handle(_name: string, request: RequestView): Handling | undefined {
    const word = (at: number): string => wordOf(request.view(at));
    const settle = (change: (reply: Buffer) => Reply): Handling =>
      after(async (reply) => {
        if (isError(reply)) return undefined;
        await this.#noting;
        return change(reply);
      });
    switch (request.count > 1 ? word(1) : "") {
      case "get": {
        const count = request.count > 2 ? Number(word(2)) : SHOWN;
        return settle((reply) => this.#merged(reply, count < 0 ? Number.POSITIVE_INFINITY : count));
      }
      case "len":
        return settle((reply) => integer(Math.min(Number(scalarText(reply)) + this.#entries.length, this.#length())));
      case "reset":
        return settle((reply) => {
          this.#forget(this.#entries.length);
          return raw(reply);
        });
      default:
        return undefined;
    }
  }

  #length = (): number => this.#settings?.length ?? Number.POSITIVE_INFINITY;

  #forget(count: number): void {
    if (count <= 0) return;
    this.#entries.splice(0, count);
    this.#gone += count;
  }

  /** The newest of both logs. An id of the engine grows by the number of ours that came before it. */
  #merged(reply: Buffer, count: number): Reply {
    const theirs = (splitAggregate(reply)?.children ?? []).map((frame) => {
      const fields = splitAggregate(frame)?.children ?? [];
      return { id: Number(scalarText(fields[0])), seconds: Number(scalarText(fields[1])), fields };
    });
    this.#place(theirs);
    const before = (id: number): number => this.#entries.filter(({ after = id }) => after < id).length;
    const all = [
      ...theirs.map(({ id, fields }) => shownAs(id + this.#gone + before(id), fields)),
      ...this.#entries.map((entry, at) => {
        const id = (entry.after ?? this.#engineId) + 1 + this.#gone + at;
        const { seconds, microseconds, words, address } = entry;
        const shown = [integer(id), integer(seconds), integer(microseconds), array(words), text(address), text("")];
        return { id, shown: array(shown) };
      }),
    ].sort((a, b) => b.id - a.id);
    return array(all.slice(0, Math.min(count, this.#length())).map(({ shown }) => shown));
  }

  /** Finds out where ours belong, as far as this part of the engine's log tells; newest first. */
  #place(theirs: readonly { readonly id: number; readonly seconds: number }[]): void {
    this.#engineId = Math.max(this.#engineId, theirs[0]?.id ?? -1);
    for (const entry of this.#entries) {
      entry.after ??=
        theirs.find(({ seconds }) => seconds <= entry.seconds)?.id ?? (theirs.at(-1)?.id ?? this.#engineId + 1) - 1;
    }
  }

  #current(): Settings | undefined {
    const known = this.#settings;
    return known?.epoch === this.#options.epoch.value && performance.now() < known.until ? known : undefined;
  }

  async #learn(): Promise<Settings> {
    const { connections, epoch, lifetimeMs } = this.#options;
    const asked = { epoch: epoch.value, until: performance.now() + lifetimeMs };
    return withConnection(connections, async (client) => {
      const ask = async (name: string): Promise<number> =>
        Number(
          scalarText(splitAggregate(await client.rawCall(encodeCommand(["CONFIG", "GET", name]), 1))?.children[1]),
        );
      const [slowerThan, length] = await Promise.all([ask("slowlog-log-slower-than"), ask("slowlog-max-len")]);
      this.#settings = { ...asked, slowerThan, length };
      return this.#settings;
    });
  }
}

function shownAs(id: number, fields: readonly Buffer[]): { readonly id: number; readonly shown: Reply } {
  const children = [encodeWhole(integer(id), 2), ...fields.slice(1)];
  return { id, shown: raw(joinAggregate({ type: "*", children })) };
}

/** A command as Redis writes it into its log. */
function shortened(words: readonly Buffer[]): Reply[] {
  const kept = words.length > MAX_WORDS ? words.slice(0, MAX_WORDS - 1) : words;
  const shown = kept.map((word) =>
    word.length > MAX_BYTES
      ? bulk(Buffer.concat([word.subarray(0, MAX_BYTES), Buffer.from(`... (${word.length - MAX_BYTES} more bytes)`)]))
      : bulk(Buffer.from(word)),
  );
  return kept === words ? shown : [...shown, text(`... (${words.length - kept.length} more arguments)`)];
}
