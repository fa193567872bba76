/**
 * All data of the embedded engine as a snapshot, while clients go on writing.
 *
 * First all keys are read in batches. Meanwhile the engine tells which keys are changed; those are read again, and again,
 * until they are few. Then the gate is held for a moment, and the last ones are read while nobody writes. So the snapshot
 * shows the data as it was at that moment, also where one command changed several keys. (Only what the engine does not
 * tell, the state of consumer groups, may be as it was some moments earlier; messages then come twice.)
 */
import type { EngineClient, EngineValue } from "../engine/client.ts";
import type { InternalConnections } from "../engine/internal.ts";
import { InternalError } from "../errors.ts";
import type { EngineGate } from "../engine/gate.ts";
import { ChangedKeys } from "./changes.ts";
import type { Entry, SnapshotWriter } from "./snapshot-format.ts";

/** Everything was replaced at once (FLUSHALL, SWAPDB): what was read so far is of no use. */
export class DataReplaced extends Error {
  override name = "DataReplaced";
}

interface DumpOptions {
  readonly connections: Pick<InternalConnections, "open">;
  readonly gate: EngineGate;
  /** Libraries of functions that are the server's own. */
  readonly ownLibraries: ReadonlySet<string>;
  /** Hold the gate from the beginning: clients wait, and it goes faster. */
  readonly exclusive: boolean;
  /** In whose name the gate is held. */
  readonly owner: object;
  /**
   * Called after each batch of a dump that is not exclusive.
   * @param tookMs milliseconds that the batch took; 0 when there is no time to lose
   * @throws to end the dump
   */
  readonly pause: (tookMs: number) => Promise<void>;
  /** Ends the dump while it waits for the gate: whoever holds that may be waiting for the dump's end. */
  readonly signal: AbortSignal;
}

/** Keys read in one go, in which the engine does nothing else; it ends early after so many bytes of values. */
const BATCH_KEYS = 250;
const BATCH_BYTES = 64 * 1024;
/** So many changed keys are read while clients wait. */
const FEW_CHANGES = 200;
/** Readings of the changed keys, if they get much fewer each time; then the rest is read while clients wait. */
const ROUNDS = 12;

const READ_BATCH = `
local out, size = {}, 0
for i, key in ipairs(KEYS) do
  local value = redis.call('DUMP', key)
  out[2 * i - 1] = value
  out[2 * i] = redis.call('PEXPIRETIME', key)
  if value then size = size + #value end
  if size > tonumber(ARGV[1]) then break end
end
return out`;

/**
 * Writes all data.
 * @returns the engine's count of changes at the moment that the snapshot shows
 * @throws DataReplaced when it has to be begun anew, and what `pause` or the file system throws
 */
export async function dumpData(out: SnapshotWriter, options: DumpOptions): Promise<number> {
  const { connections, gate, owner, exclusive, signal } = options;
  const client = connections.open();
  let changed: ChangedKeys | undefined;
  let holds = 0;
  const hold = async (): Promise<void> => {
    const held = gate.hold(owner, () => "a snapshot");
    if (await cutShort(held, signal)) {
      void held.then(() => gate.release(owner));
      throw signal.reason;
    }
    holds++;
  };
  try {
    changed = await ChangedKeys.listen(client, connections);
    if (exclusive) await hold();
    const dump = new Dump(client, changed, out, options);
    const swaps = await countOfSwaps(client);
    await dump.readAll();
    let before = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS && changed.size > FEW_CHANGES && changed.size < before / 2; round++) {
      before = changed.size;
      await dump.readChanged();
    }
    if (!exclusive) await hold();
    await changed.catchUp();
    for (let round = 0; round < ROUNDS && changed.size > 0; round++) {
      await dump.readChanged();
      await changed.catchUp();
    }
    dump.check();
    if (swaps !== (await countOfSwaps(client))) throw new DataReplaced();
    for (const code of await libraries(client, options.ownLibraries)) await out.write({ kind: "library", code });
    return await countOfChanges(client);
  } finally {
    while (holds-- > 0) gate.release(owner);
    changed?.close();
    client.close();
  }
}

/** Waits for a promise. @returns true when the signal came first */
async function cutShort(promise: Promise<void>, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return true;
  let stop = (): void => {};
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
    signal.addEventListener("abort", stop);
  });
  await Promise.race([promise, aborted]);
  signal.removeEventListener("abort", stop);
  return signal.aborted;
}

/** The engine's count of changes since it was started. */
export async function countOfChanges(client: EngineClient): Promise<number> {
  const info = String(await client.call("INFO", "persistence"));
  const count = /^rdb_changes_since_last_save:(\d+)/m.exec(info)?.[1];
  if (count === undefined) throw new InternalError("the engine does not count its changes");
  return Number(count);
}

/** Of SWAPDB the engine does not tell. */
async function countOfSwaps(client: EngineClient): Promise<string> {
  return /^cmdstat_swapdb:calls=(\d+)/m.exec(String(await client.call("INFO", "commandstats")))?.[1] ?? "0";
}

async function libraries(client: EngineClient, own: ReadonlySet<string>): Promise<Buffer[]> {
  const list = await client.call("FUNCTION", "LIST", "WITHCODE");
  const found: Buffer[] = [];
  for (const library of Array.isArray(list) ? list : []) {
    if (!Array.isArray(library)) continue;
    const field = (name: string): EngineValue | undefined =>
      library[library.findIndex((value) => String(value) === name) + 1];
    const code = field("library_code");
    if (Buffer.isBuffer(code) && !own.has(String(field("library_name")))) found.push(code);
  }
  return found;
}

class Dump {
  readonly #client: EngineClient;
  readonly #changed: ChangedKeys;
  readonly #out: SnapshotWriter;
  readonly #options: DumpOptions;
  /** Databases of which something was written. */
  readonly #seen = new Set<number>();
  #database = 0;

  constructor(client: EngineClient, changed: ChangedKeys, out: SnapshotWriter, options: DumpOptions) {
    this.#client = client;
    this.#changed = changed;
    this.#out = out;
    this.#options = options;
  }

  async readAll(): Promise<void> {
    for (const database of await this.#databases()) {
      let cursor = "0";
      do {
        await this.#select(database);
        const reply = await this.#client.call("SCAN", cursor, "COUNT", String(BATCH_KEYS));
        const [next, keys] = reply as [Buffer, Buffer[]];
        cursor = next.toString();
        await this.#read(database, keys, false);
        // What was changed while this goes on must not pile up.
        if (this.#changed.size > 100_000) await this.readChanged();
      } while (cursor !== "0");
    }
  }

  /** Reads the keys that were changed, in all databases: the engine does not tell in which. */
  async readChanged(): Promise<void> {
    const keys = this.#changed.take();
    for (const database of new Set([...this.#seen, ...(await this.#databases())])) {
      for (let at = 0; at < keys.length; at += BATCH_KEYS) {
        await this.#read(database, keys.slice(at, at + BATCH_KEYS), true);
      }
    }
  }

  /** @throws when what was read is not the whole truth */
  check(): void {
    if (this.#changed.flushed) throw new DataReplaced();
    if (this.#changed.broken) throw new InternalError("the engine closed a connection of the snapshot");
  }

  async #databases(): Promise<number[]> {
    const info = String(await this.#client.call("INFO", "keyspace"));
    return [...info.matchAll(/^db(\d+):/gm)].map(([, number]) => Number(number));
  }

  async #select(database: number): Promise<void> {
    if (this.#database === database) return;
    await this.#client.call("SELECT", String(database));
    this.#database = database;
  }

  /** @param all tell also of those that are not there */
  async #read(database: number, keys: readonly Buffer[], all: boolean): Promise<void> {
    for (let at = 0; at < keys.length; ) {
      this.check();
      const begin = performance.now();
      await this.#select(database);
      const batch = keys.slice(at, at + BATCH_KEYS);
      const reply = await this.#client.call("EVAL_RO", READ_BATCH, String(batch.length), ...batch, String(BATCH_BYTES));
      const values = reply as EngineValue[];
      at += values.length / 2;
      await this.#write(database, batch, values, all);
      // Who is slower than the clients that change keys never gets to the end.
      if (!this.#options.exclusive) await this.#options.pause(all ? 0 : performance.now() - begin);
    }
  }

  async #write(database: number, keys: readonly Buffer[], values: readonly EngineValue[], all: boolean): Promise<void> {
    const entries: Entry[] = [];
    const removed: Buffer[] = [];
    for (let index = 0; 2 * index < values.length; index++) {
      const key = keys[index] as Buffer;
      const value = values[2 * index];
      if (Buffer.isBuffer(value)) entries.push({ key, expiresAt: Number(values[2 * index + 1]), value });
      else if (all) removed.push(key);
    }
    if (entries.length > 0) {
      this.#seen.add(database);
      await this.#out.write({ kind: "entries", database, entries });
    }
    if (removed.length > 0) await this.#out.write({ kind: "removed", database, keys: removed });
  }
}
