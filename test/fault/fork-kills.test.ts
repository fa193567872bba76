/** A server that is killed at any moment of a save in the background and of a rewriting of its append-only file. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { newFolder } from "../support/folders.ts";
import { until } from "../support/waiting.ts";
import { endServersAfterEach } from "./support.ts";

endServersAfterEach();

/** How often; `npm run figures` does it more often. */
const KILLS = Number(process.env.REGEARS_KILLS ?? 3);
const KEYS = 20_000;
const WRITERS = 4;
/** Writes that are answered before a server is killed, at most, and milliseconds that it may go on: about as long as a rewriting takes. */
const MOST_ANSWERS = 150;
const LONGEST_REST_MS = 400;
const OPTIONS = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
const limit = { timeout: 60_000 + KILLS * 30_000 };

/** Calls without an end; what is answered is counted. */
async function repeat(dead: () => boolean, act: () => Promise<unknown>): Promise<void> {
  while (!dead()) {
    try {
      await act();
    } catch (error) {
      // a save is going on already; or the server is gone
      if (error instanceof Error && /already|progress/i.test(error.message)) await new Promise(setImmediate);
      else return;
    }
  }
}

/** Works with a server until that is killed. @returns when all has been answered that will be */
async function workWith(server: RunningRegears, acknowledged: number[]): Promise<void> {
  let dead = false;
  const clients: Client[] = [];
  const open = async (): Promise<Client> => {
    const client = await connectClient(server.port);
    clients.push(client);
    return client;
  };
  const writers = await Promise.all(acknowledged.map(open));
  const saver = await open();
  const working = writers.map((client, number) =>
    repeat(
      () => dead,
      async () => {
        acknowledged[number] = Number(await client.call("INCR", `count:${number}`));
      },
    ),
  );
  working.push(
    repeat(
      () => dead,
      async () => {
        await saver.call(Math.random() < 0.5 ? "BGSAVE" : "BGREWRITEAOF");
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 50));
      },
    ),
  );
  const answers = (): number => acknowledged.reduce((sum, count) => sum + count, 0);
  const enough = answers() + Math.random() * MOST_ANSWERS;
  await until(() => answers() >= enough, "enough is answered");
  // at another moment of a rewriting each time
  await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_REST_MS));
  await server.stop("SIGKILL");
  dead = true;
  for (const client of clients) client.close();
  await Promise.all(working);
}

describe("a server that is killed while it saves and rewrites", () => {
  it(`${KILLS} times has all that it has answered`, limit, async () => {
    const directory = newFolder();
    const start = (): Promise<RunningRegears> => startRegears(["--dir", directory, ...OPTIONS]);
    const acknowledged = Array.from({ length: WRITERS }, () => 0);
    let server = await start();
    let rewritten = 0;
    try {
      const first = await connectClient(server.port);
      await first.call("EVAL", `for i=1,${KEYS} do redis.call('SET', 'key:'..i, 'value:'..i) end`, "0");
      first.close();
      for (let kill = 0; kill < KILLS; kill++) {
        await workWith(server, acknowledged);
        rewritten += readdirSync(join(directory, "appendonlydir")).filter((name) => name.includes(".incr")).length;
        server = await start();
        const client = await connectClient(server.port);
        const there = acknowledged.map((_, number) => client.call("GET", `count:${number}`));
        for (const [number, value] of (await Promise.all(there)).map(Number).entries()) {
          expect(value, `of writer ${number} after kill ${kill}`).toBeGreaterThanOrEqual(acknowledged[number] ?? 0);
          // what was written and not answered may be there, too
          expect(value).toBeLessThanOrEqual((acknowledged[number] ?? 0) + 1);
          acknowledged[number] = value;
        }
        expect(await client.call("GET", `key:${KEYS}`)).toBe(`value:${KEYS}`);
        client.close();
      }
    } finally {
      await server.stop("SIGKILL");
    }
    const answered = acknowledged.reduce((sum, count) => sum + count, 0);
    expect(answered).toBeGreaterThan(KILLS);
    expect(rewritten).toBeGreaterThanOrEqual(KILLS);
    figure(
      "persistence/5-kills-saving",
      `kill -9 at {kills} random moments of \`BGSAVE\` and \`BGREWRITEAOF\` with \`appendfsync always\` while ${WRITERS} clients write`,
      "{answered} writes answered: always loaded, none lost",
      { kills: KILLS, answered },
    );
  });
});
