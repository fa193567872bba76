/** Many keys: scripts that read them all, and clients that are served meanwhile. REGEARS_MANY_KEYS changes how many. */
import { describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { hasProc, pidOf, residentMb, withoutProc } from "../support/processes.ts";

endServersAfterEach();

const COUNT = Number(process.env.REGEARS_MANY_KEYS ?? 200_000);
const PER_MSET = 500;
/** On a machine that is not shared with other tests it is below 50. */
const PING_LIMIT_MS = 300;

async function fill(client: Client): Promise<void> {
  const value = "v".repeat(20);
  for (let from = 0; from < COUNT; from += PER_MSET * 20) {
    const batch: Promise<unknown>[] = [];
    for (let at = from; at < Math.min(from + PER_MSET * 20, COUNT); at += PER_MSET) {
      const args = ["MSET"];
      for (let i = at; i < Math.min(at + PER_MSET, COUNT); i++) args.push(`key:${i}`, value);
      batch.push(client.call(...args));
    }
    await Promise.all(batch);
  }
}

/** Runs a script; meanwhile another client asks for PONGs, and the process is weighed. */
async function measured(port: number, pid: number, script: string) {
  const [client, other] = await Promise.all([connectClient(port), connectClient(port)]);
  const before = residentMb(pid);
  let [most, slowest, pings, running] = [before, 0, 0, true];
  const watching = (async () => {
    while (running) {
      const start = performance.now();
      await other.call("PING");
      slowest = Math.max(slowest, performance.now() - start);
      if (pings++ % 10 === 0) most = Math.max(most, residentMb(pid));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  const start = performance.now();
  const reply = await client.call("RG.PYEXECUTE", script);
  const seconds = (performance.now() - start) / 1000;
  running = false;
  await watching;
  client.close();
  other.close();
  return { reply, seconds, slowest, pings, grown: Math.max(most, residentMb(pid)) - before };
}

describe.skipIf(!hasProc)(`${COUNT} keys${withoutProc}`, () => {
  it("are read in little memory, while others are served", { timeout: 300_000 }, async () => {
    const server = await startServer();
    const pid = pidOf(server);
    const client = await connectClient(server.port);
    await fill(client);
    expect(await client.call("DBSIZE")).toBe(COUNT);
    const runs = {
      count: ["GB().count().run()", String(COUNT)],
      values: [
        "GB().map(lambda r: len(r['value'])).aggregate(0, lambda a, r: a + r, lambda a, r: a + r).run()",
        String(COUNT * 20),
      ],
    } as const;
    for (const [name, [script, wanted]] of Object.entries(runs)) {
      const { reply, seconds, slowest, pings, grown } = await measured(server.port, pid, script);
      expect(reply).toEqual([[wanted], []]);
      expect(grown).toBeLessThan(300);
      expect(pings).toBeGreaterThan(10);
      figure(
        `keys-${name}`,
        `${COUNT} keys: \`${script}\``,
        `${seconds.toFixed(1)} s; memory grows by ${grown} MB; the slowest of ${pings} PINGs meanwhile took ${Math.ceil(slowest)} ms`,
      );
      expect(slowest).toBeLessThan(PING_LIMIT_MS);
    }
  });
});
