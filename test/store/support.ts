import { afterEach } from "vitest";
import { BootFailure } from "../../src/engine/boot-log.ts";
import type { FileCalls } from "../../src/engine/files/engine-folder.ts";
import type { EngineClient, EngineValue } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { InternalConnections } from "../../src/engine/internal-connections.ts";
import { EngineGate } from "../../src/engine/engine-gate.ts";
import { DataFolder } from "../../src/store/data-folder.ts";
import { DataSaves } from "../../src/store/data-saves.ts";

const cleanUps: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A log that remembers its lines, with their level in front. */
export class Lines {
  readonly lines: string[] = [];
  readonly info = (text: unknown): void => void this.lines.push(`info ${text}`);
  readonly warn = (text: unknown): void => void this.lines.push(`warn ${text}`);
  readonly error = (text: unknown): void => void this.lines.push(`error ${text}`);

  matching(pattern: RegExp): string[] {
    return this.lines.filter((line) => pattern.test(line));
  }
}

export interface DataServer {
  readonly engine: EmbeddedEngine;
  readonly client: EngineClient;
  readonly connections: InternalConnections;
  readonly gate: EngineGate;
  readonly saves: DataSaves;
  readonly folder: DataFolder;
  readonly log: Lines;
  stop(): Promise<void>;
}

interface DataServerOptions {
  readonly appendonly?: boolean;
  readonly repair?: boolean;
  readonly skipModuleData?: boolean;
  readonly calls?: FileCalls;
}

/** An embedded engine with the data of a directory. */
export async function startData(
  directory: string,
  { appendonly = false, repair = false, skipModuleData = false, calls }: DataServerOptions = {},
  config: Readonly<Record<string, string>> = {},
): Promise<DataServer> {
  const log = new Lines();
  const names = { directory, dbfilename: "dump.rdb", appenddirname: "appendonlydir", appendfilename: "appendonly.aof" };
  const folder = new DataFolder({ ...names, appendonly, repair, skipModuleData, log });
  await folder.prepare();
  const engine = new EmbeddedEngine({
    config: { save: "", appendonly: appendonly ? "yes" : "no", ...config },
    files: { directory, ...(calls && { calls }) },
    log: { debug: () => {}, warn: (text) => log.warn(text) },
  });
  await startMended(engine, folder);
  const connections = new InternalConnections(engine);
  await connections.start(config.requirepass ?? "");
  const gate = new EngineGate(
    () => engine.settle(),
    () => engine.release(),
  );
  const saves = new DataSaves({ engine, connections, gate, log });
  saves.start();
  const stop = (): Promise<void> => engine.stop();
  cleanUps.push(stop);
  return { engine, client: connections.open(), connections, gate, saves, folder, log, stop };
}

async function startMended(engine: EmbeddedEngine, folder: DataFolder): Promise<void> {
  for (;;) {
    try {
      return await engine.start();
    } catch (error) {
      if (!(error instanceof BootFailure) || !(await folder.mend(error.reason))) throw error;
    }
  }
}

/** Everything in the engine: what a snapshot has to bring back. */
export async function contents(client: EngineClient): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  const info = String(await client.call("INFO", "keyspace"));
  for (const [, database] of info.matchAll(/^db(\d+):/gm)) {
    await client.call("SELECT", String(database));
    for (const key of (await client.call("KEYS", "*")) as Buffer[]) {
      const type = String(await client.call("TYPE", key));
      const [value, expiry] = await client.pipeline([VALUE[type]?.(key) ?? ["DUMP", key], ["PEXPIRETIME", key]]);
      const fields = Array.isArray(value) ? value.map(shown).sort().join() : shown(value);
      all.set(`${database} ${key.toString("latin1")}`, `${type} ${fields} ${shown(expiry)}`);
    }
  }
  await client.call("SELECT", "0");
  return all;
}

/** Of those that DUMP does not show in a fixed order. */
const VALUE: Readonly<Record<string, (key: Buffer) => (string | Buffer)[]>> = {
  set: (key) => ["SMEMBERS", key],
  hash: (key) => ["EVAL", HASH, "1", key],
};

const HASH = `
local pairs = redis.call('HGETALL', KEYS[1])
for i = 1, #pairs, 2 do
  pairs[i] = #pairs[i] .. ':' .. pairs[i] .. pairs[i + 1] .. redis.call('HPEXPIRETIME', KEYS[1], 'FIELDS', 1, pairs[i])[1]
end
return pairs`;

const shown = (value: EngineValue | undefined): string =>
  Buffer.isBuffer(value) ? value.toString("base64") : String(value);
