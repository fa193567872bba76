/** A server with a log of changes that is killed at any moment under load: what it promised to keep is there afterwards. */
import { describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { endServersAfterEach } from "./support.ts";
import { newFolder } from "../support/folders.ts";

endServersAfterEach();

/** How often; `npm run figures` does it more often. */
const KILLS = Number(process.env.REGEARS_LOG_KILLS ?? 2);
/** Milliseconds after which a server is killed at the latest. */
const LONGEST_LIFE_MS = 600;
/** Clients of three kinds: one command at a time, pipelines, and scripts in Python. */
const WRITERS = ["plain 1", "plain 2", "piped 1", "piped 2", "python 1", "python 2"];
const PIPELINE = 20;
const WRITE = `GB('CommandReader').map(lambda r: [execute('SET', r[1], r[2]), execute('GET', r[1])][1]).register(trigger='write', mode='sync')`;
/** What is lost with `everysec` is younger than this when the server is killed, in milliseconds. */
const LAST_SECOND_MS = 1000;

interface Answer {
  readonly value: number;
  readonly at: number;
}

/** Writes ever larger numbers to its key until the connection ends. */
class Writer {
  readonly key: string;
  #value = 0;
  readonly answers: Answer[] = [];

  constructor(key: string) {
    this.key = key;
  }

  async work(port: number): Promise<void> {
    const client = await connectClient(port);
    try {
      for (;;) await this.#write(client);
    } catch (error) {
      if (!/the connection was closed/.test(String(error))) throw error;
    } finally {
      client.close();
    }
  }

  async #write(client: Client): Promise<void> {
    const count = this.key.startsWith("piped") ? PIPELINE : 1;
    const replies = Array.from({ length: count }, async () => {
      const value = ++this.#value;
      if (this.key.startsWith("python")) await client.call("RG.TRIGGER", "write", this.key, String(value));
      else await client.call("SET", this.key, String(value));
      this.answers.push({ value, at: performance.now() });
    });
    await Promise.all(replies);
  }

  /** @param before of answers that were given later than this time the last may be lost */
  async check(client: Client, before: number): Promise<number> {
    const kept = Number(await client.call("GET", this.key));
    const promised = this.answers.findLast(({ at }) => at <= before)?.value ?? 0;
    const lost = (this.answers.at(-1)?.value ?? 0) - kept;
    if (kept < promised) throw new Error(`${this.key} is ${kept}, and ${promised} was answered in time`);
    if (kept > this.#value) throw new Error(`${this.key} is ${kept}, and ${this.#value} was the last that was sent`);
    this.answers.length = 0;
    this.#value = Math.max(this.#value, kept);
    return Math.max(0, lost);
  }
}

const limit = { timeout: 60_000 + KILLS * 60_000 };

describe("a server with a log of changes that is killed", () => {
  it.each(["always", "everysec"])(
    `${KILLS} times under load keeps what appendfsync %s promises`,
    limit,
    async (mode) => {
      const directory = newFolder();
      const args = ["--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", mode];
      const start = (): Promise<RunningRegears> => startRegears(args);
      const writers = WRITERS.map((key) => new Writer(key));
      let server = await start();
      let [answered, lost] = [0, 0];
      try {
        const first = await connectClient(server.port);
        expect(await first.call("RG.PYEXECUTE", WRITE)).toBe("OK");
        first.close();
        for (let kill = 0; kill < KILLS; kill++) {
          const working = writers.map((writer) => writer.work(server.port));
          await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_LIFE_MS));
          const killedAt = performance.now();
          await Promise.all([server.stop("SIGKILL"), ...working]);
          answered += writers.reduce((sum, { answers }) => sum + answers.length, 0);
          server = await start();
          const client = await connectClient(server.port);
          const before = mode === "always" ? Number.POSITIVE_INFINITY : killedAt - LAST_SECOND_MS;
          for (const writer of writers) lost += await writer.check(client, before);
          client.close();
        }
        expect(await server.stop()).toBe(0);
      } finally {
        await server.stop("SIGKILL");
      }
      expect(answered).toBeGreaterThan(KILLS);
      if (mode === "always") expect(lost).toBe(0);
      figure(
        `persistence/5-kills-${mode}`,
        `kill -9 at {kills} random moments with \`appendfsync ${mode}\` while ${WRITERS.length} clients write, two of them in Python`,
        `{answered} writes answered, {lost} of them lost${mode === "always" ? "" : ", none older than a second"}`,
        { kills: KILLS, answered, lost },
      );
    },
  );
});
