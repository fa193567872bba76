/** Many keys: scripts that read them all, and clients that are served meanwhile. REGEARS_MANY_KEYS changes how many. */
import { describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { pingsDuring } from "../support/ping-probe.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { hasProc, pidOf, residentMb, withoutProc } from "../support/processes.ts";

endServersAfterEach();

const COUNT = Number(process.env.REGEARS_MANY_KEYS ?? 200_000);
const PER_MSET = 500;
/** A server may hold its loop for so long, by itself. It is below 50 on a machine that is not shared with other tests. */
const HELD_LIMIT_MS = 300;
/** How often the process is weighed. */
const WEIGH_MS = 10;

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

/** Runs a script; meanwhile another process asks for PONGs, and the server's is weighed. */
async function measured(port: number, pid: number, script: string) {
  const client = await connectClient(port);
  const before = residentMb(pid);
  let most = before;
  const weighing = setInterval(() => (most = Math.max(most, residentMb(pid))), WEIGH_MS);
  try {
    const start = performance.now();
    const { result: reply, pings } = await pingsDuring(port, () => client.call("RG.PYEXECUTE", script), pid);
    const seconds = (performance.now() - start) / 1000;
    return { reply, seconds, pings, grown: Math.max(most, residentMb(pid)) - before };
  } finally {
    clearInterval(weighing);
    client.close();
  }
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
      const { reply, seconds, pings, grown } = await measured(server.port, pid, script);
      expect(reply).toEqual([[wanted], []]);
      expect(grown).toBeLessThan(300);
      expect(pings.count).toBeGreaterThan(10);
      figure(
        `keys-${name}`,
        `${COUNT} keys: \`${script}\``,
        `${seconds.toFixed(1)} s; memory grows by ${grown} MB; the slowest of ${pings.count} PINGs meanwhile took ${Math.ceil(pings.slowestMs)} ms`,
      );
      expect(pings.heldMs).toBeLessThan(HELD_LIMIT_MS);
    }
  });
});
