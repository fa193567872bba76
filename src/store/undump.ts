/** A snapshot's data into the engine. */
import { EngineClosed, type CommandArgument, type EngineClient, EngineError } from "../engine/client.ts";
import { type Chunk, DamagedSnapshot, type SnapshotReader } from "./snapshot-format.ts";

export interface LoadOutcome {
  /** What the snapshot says of itself. */
  readonly info: string | undefined;
  /** Keys that had expired meanwhile. */
  readonly expired: number;
  /** What the engine refused, and why the first of it. */
  readonly refused: number;
  readonly reason: string | undefined;
  /** Why the rest of the snapshot could not be read. */
  readonly damage: string | undefined;
}

/** Limits and checks for what clients do, not for what was there before. */
const LIFTED = { maxmemory: "0", "proto-max-bulk-len": "2147483647", "sanitize-dump-payload": "no" } as const;

/**
 * Brings the chunks of a snapshot into the engine, in pipelines.
 * @param now milliseconds since 1970; keys that have expired by then are left out
 * @param salvage take what can be read of a damaged snapshot, instead of throwing DamagedSnapshot
 * @throws DamagedSnapshot, EngineClosed, what the file system throws
 */
export async function loadData(
  client: EngineClient,
  reader: SnapshotReader,
  now: number,
  salvage: boolean,
): Promise<LoadOutcome> {
  const usual = new Map<string, string>();
  for (const [name, value] of Object.entries(LIFTED)) {
    const [, before] = (await client.call("CONFIG", "GET", name)) as Buffer[];
    usual.set(name, String(before));
    await client.call("CONFIG", "SET", name, value);
  }
  try {
    return await new Load(client, now).run(reader, salvage);
  } finally {
    for (const [name, value] of usual) {
      await client.call("CONFIG", "SET", name, value).catch((error: unknown) => {
        if (!(error instanceof EngineClosed)) throw error;
      });
    }
  }
}

class Load {
  readonly #client: EngineClient;
  readonly #now: number;
  #info: string | undefined;
  #expired = 0;
  #refused = 0;
  #reason: string | undefined;

  constructor(client: EngineClient, now: number) {
    this.#client = client;
    this.#now = now;
  }

  async run(reader: SnapshotReader, salvage: boolean): Promise<LoadOutcome> {
    let damage: string | undefined;
    // The next chunk is read while the engine works on this one.
    let working: Promise<void> = Promise.resolve();
    try {
      for (let chunk = await reader.next(); chunk; chunk = await reader.next()) {
        await working;
        working = this.#apply(chunk);
        working.catch(() => {});
      }
    } catch (error) {
      if (!salvage || !(error instanceof DamagedSnapshot)) throw error;
      damage = error.message;
    }
    await working;
    return { info: this.#info, expired: this.#expired, refused: this.#refused, reason: this.#reason, damage };
  }

  async #apply(chunk: Chunk): Promise<void> {
    for (const reply of await this.#client.pipeline(this.#commands(chunk))) {
      if (!(reply instanceof EngineError)) continue;
      this.#refused++;
      this.#reason ??= reply.message;
    }
  }

  #commands(chunk: Chunk): CommandArgument[][] {
    switch (chunk.kind) {
      case "info":
        this.#info = chunk.text;
        return [];
      case "library":
        return [["FUNCTION", "LOAD", "REPLACE", chunk.code]];
      case "removed":
        return [
          ["SELECT", String(chunk.database)],
          ["DEL", ...chunk.keys],
        ];
      case "entries": {
        const commands: CommandArgument[][] = [["SELECT", String(chunk.database)]];
        for (const { key, expiresAt, value } of chunk.entries) {
          if (expiresAt >= 0 && expiresAt <= this.#now) {
            // It may stand for an earlier entry of the same key.
            commands.push(["DEL", key]);
            this.#expired++;
          } else {
            const expiry = expiresAt < 0 ? "0" : String(expiresAt);
            commands.push(["RESTORE", key, expiry, value, "REPLACE", "ABSTTL"]);
          }
        }
        return commands;
      }
    }
  }
}
