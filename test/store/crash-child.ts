/** A server's data and a client that writes, in a process that is to be killed. Its argument is the directory. */
import { EmbeddedEngine } from "../../src/engine/embedded.ts";
import { InternalConnections } from "../../src/engine/internal.ts";
import { EngineGate } from "../../src/engine/gate.ts";
import { DataSnapshots } from "../../src/store/data.ts";

const KEYS = 3000;

async function run(directory: string): Promise<void> {
  const engine = new EmbeddedEngine();
  await engine.start();
  const connections = new InternalConnections(engine);
  await connections.start("");
  const tell = (text: unknown): void => void process.stderr.write(`${text}\n`);
  const log = { info: tell, warn: tell, error: tell };
  const snapshots = new DataSnapshots({ directory, connections, gate: new EngineGate(), version: "1", log });
  await snapshots.load();
  const client = connections.open();
  const [generation] = await client.pipeline([["GET", "generation"]]);
  const begin = Number(generation ?? 0);
  process.stdout.write(`loaded ${begin} ${await client.call("DBSIZE")}\n`);
  for (let next = begin + 1; ; next++) {
    // One transaction: a snapshot has all of a generation or nothing of it.
    const sets = Array.from({ length: KEYS }, (_, i) => ["SET", `key:${i}`, `${next} ${"x".repeat(200)}`]);
    await client.pipeline([["MULTI"], ["SET", "generation", String(next)], ...sets, ["EXEC"]]);
    process.stdout.write(`saving ${next}\n`);
    await snapshots.save(next % 2 === 0);
    process.stdout.write(`saved ${next}\n`);
  }
}

await run(process.argv[2] ?? "");
