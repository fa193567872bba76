/** A server that is killed at any moment while clients register and unregister: what it has answered is there afterwards. */
import { describe, expect, it } from "vitest";
import { fields, registrations } from "../support/use-server.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { endServersAfterEach } from "./support.ts";
import { KilledClient, MAKER } from "./kill-model.ts";
import { until } from "../support/waiting.ts";
import { newFolder } from "../support/folders.ts";

endServersAfterEach();

/** How often; `npm run figures` does it more often. */
const KILLS = Number(process.env.REGEARS_KILLS ?? 3);
const CLIENTS = 4;
/** Changes that a server answers at most before it is killed, and milliseconds that it may go on after the last of them. */
const MOST_CHANGES = 40;
const LONGEST_REST_MS = 30;
const seed = Number(process.env.REGEARS_FUZZ_SEED ?? Date.now() % 2 ** 31);

/** Numbers from 0 to 1 that follow from the seed (Park and Miller). */
function randomFrom(start: number): () => number {
  let state = (start % 2147483646) + 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

async function descriptions(client: Client): Promise<Map<string, string>> {
  const all = ((await client.call("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);
  return new Map(all.map(({ desc, id }) => [String(desc), String(id)]));
}

const limit = { timeout: 60_000 + KILLS * 30_000 };

describe("a server that is killed", () => {
  it(`${KILLS} times (seed ${seed}) loses nothing that it has answered, and has nothing half`, limit, async () => {
    const directory = newFolder();
    const start = (): Promise<RunningRegears> => startRegears(["--dir", directory, "--save", ""]);
    const random = randomFrom(seed);
    const clients = Array.from({ length: CLIENTS }, (_, number) => new KilledClient(number, random));
    let server = await start();
    try {
      const first = await connectClient(server.port);
      expect(await first.call("RG.PYEXECUTE", MAKER)).toBe("OK");
      first.close();
      for (let kill = 0; kill < KILLS; kill++) {
        const working = clients.map((client) => client.work(server.port));
        const enough = answeredBy(clients) + Math.floor(random() * MOST_CHANGES);
        await until(() => answeredBy(clients) >= enough, "enough changes are answered");
        // at another moment of their work each time
        await new Promise((resolve) => setTimeout(resolve, random() * LONGEST_REST_MS));
        await Promise.all([server.stop("SIGKILL"), ...working]);
        server = await start();
        const client = await connectClient(server.port);
        const there = await descriptions(client);
        for (const one of clients) await one.check(client, there);
        client.close();
      }
      await allTick(server, clients);
      expect(await server.stop()).toBe(0);
    } finally {
      await server.stop("SIGKILL");
    }
    const answered = answeredBy(clients);
    expect(answered).toBeGreaterThan(KILLS);
    figure(
      "kills",
      `kill -9 at ${KILLS} random moments while ${CLIENTS} clients register, replace, unregister, add time events, write and save`,
      `${answered} changes answered, seed ${seed}: none lost or undone, none half there`,
    );
  });
});

const answeredBy = (clients: readonly KilledClient[]): number =>
  clients.reduce((sum, { acknowledged }) => sum + acknowledged, 0);

/** Every time event that was answered is still called. */
async function allTick(server: RunningRegears, clients: readonly KilledClient[]): Promise<void> {
  const client = await connectClient(server.port);
  for (const name of clients.flatMap(({ events }) => [...events])) {
    const ticks = async (): Promise<number> => Number(await client.call("GET", `ticks:${name}`));
    const before = await ticks();
    await until(async () => (await ticks()) > before, `the time event ${name} is called`);
  }
  expect((await registrations(client)).length).toBeGreaterThan(0);
  client.close();
}
