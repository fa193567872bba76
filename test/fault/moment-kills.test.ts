/**
 * A server with a log of changes that is killed while its clients register what works on the data: registrations, time
 * events and data are of one moment afterwards, also when that is not the last one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { fields } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";
import { newFolder } from "../support/folders.ts";
import { endServersAfterEach } from "./support.ts";

endServersAfterEach();

/** How often; `npm run figures` does it more often. */
const KILLS = Number(process.env.REGEARS_LOG_KILLS ?? 2);
/** Messages that are answered before a server is killed, at most, and milliseconds that it may go on after the last of them. */
const MOST_MESSAGES = 120;
const LONGEST_REST_MS = 30;

/** Reads a stream that is trimmed, one message at a time. */
const READER = `
GB('StreamReader').foreach(lambda r: execute('RPUSH', 'read', r['value']['n'])).register(prefix='stream', trimStream=True)
`;
/** A registration that writes its own key, when it is registered and at each key of its name. */
const writing = (name: string): string => `
def write(record):
    execute('SET', 'wrote:${name}', '1')
    return record
GB('KeysReader', desc='${name}').foreach(write).register(
    prefix='touch:*', mode='sync', onRegistered=lambda: execute('SET', 'wrote:${name}', '1'))
`;
const event = (name: string): string => `registerTE(1, lambda: execute('INCR', 'ticks:${name}'), 'event:${name}')`;

/** What is sent until the connection ends. */
class Worker {
  /** Numbers of messages that were added, and names of registrations and time events; the last ones may have no answer. */
  messages = 0;
  made = 0;
  /** Messages that were answered since the last start, how many were sent before it, and those of them that were read. */
  answered = 0;
  #before = 0;
  readonly #readBefore = new Set<number>();
  /** Names of registrations that were told to end. */
  readonly unregistered = new Set<string>();

  /** Works with a server until that is killed. */
  async work(port: number): Promise<void> {
    [this.#before, this.answered] = [this.messages, 0];
    const run = async (act: (client: Client) => Promise<unknown>): Promise<void> => {
      const client = await connectClient(port);
      try {
        for (;;) await act(client);
      } catch (error) {
        if (!/the connection was closed/.test(String(error))) throw error;
      } finally {
        client.close();
      }
    };
    const touch = (client: Client): Promise<unknown> => client.call("SET", `touch:${this.made}`, "1");
    await Promise.all([run((client) => this.#add(client)), run((client) => this.#register(client)), run(touch)]);
  }

  async #add(client: Client): Promise<void> {
    await client.call("XADD", "stream", "*", "n", String(++this.messages));
    this.answered++;
  }

  async #register(client: Client): Promise<void> {
    const name = String(++this.made);
    await client.call("RG.PYEXECUTE", writing(name));
    await client.call("RG.PYEXECUTE", event(name));
    const some = await registrations(client);
    const writers = some.filter(({ desc }) => desc !== null);
    if (writers.length < 5) return;
    const [{ desc, id } = {}] = writers;
    this.unregistered.add(String(desc));
    await client.call("RG.UNREGISTER", String(id));
  }

  /**
   * @param losesNone all that was answered must be there
   * @returns how many messages were read twice
   */
  async check(client: Client, losesNone: boolean): Promise<number> {
    await until(async () => (await client.call("XLEN", "stream")) === 0, "the stream is read");
    const all = ((await client.call("LRANGE", "read", "0", "-1")) as string[]).map(Number);
    const read = new Set(all);
    const added = [...read].filter((number) => number > this.#before).length;
    // those of the last life are there up to some moment, and none of them more
    for (let number = 1; number <= added; number++) this.#readBefore.add(this.#before + number);
    expect(read).toEqual(this.#readBefore);
    if (losesNone) expect(added).toBeGreaterThanOrEqual(this.answered);
    const there = new Set((await registrations(client)).map(({ desc }) => String(desc)));
    const wrote = ((await client.call("KEYS", "wrote:*")) as string[]).map((key) => key.slice("wrote:".length));
    for (const name of wrote)
      if (!there.has(name) && !this.unregistered.has(name))
        throw new Error(`registration ${name} has written its key, and is lost`);
    return all.length - read.size;
  }
}

const registrations = async (client: Client): Promise<Record<string, Value>[]> =>
  ((await client.call("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);

/** Each key of a time event has one that is called. @throws Error that says of those which are not what there is to know */
async function allTick(server: RunningRegears, client: Client, folder: string): Promise<number> {
  const names = ((await client.call("KEYS", "event:*")) as string[]).map((key) => key.slice("event:".length));
  const ticks = async (name: string): Promise<number> => Number(await client.call("GET", `ticks:${name}`));
  const before = new Map(await Promise.all(names.map(async (name) => [name, await ticks(name)] as const)));
  const still = async (): Promise<string[]> => {
    const now = await Promise.all(names.map(ticks));
    return names.filter((name, at) => (now[at] ?? 0) <= (before.get(name) ?? 0));
  };
  await until(async () => (await still()).length === 0, "all time events are called").catch(async (error: Error) => {
    const silent = await still();
    const keys = await Promise.all(
      silent.map(async (name) => `${name}: ${await client.call("GET", `event:${name}`)} (${before.get(name)} calls)`),
    );
    throw new Error(
      [
        `${error.message}; of ${names.length} these were not: ${keys.join("; ")}`,
        `in the log of changes: ${keptEvents(folder).join(" ")}`,
        String(await client.call("RG.INFO")),
        ...(await Promise.all(
          ["RG.DUMPEXECUTIONS", "RG.DUMPREGISTRATIONS"].map(async (name) => JSON.stringify(await client.call(name))),
        )),
        server.output(),
      ].join("\n"),
    );
  });
  return names.length;
}

/** The libraries of time events that the log of changes has, with those that were deleted. */
function keptEvents(folder: string): string[] {
  const files = readdirSync(join(folder, "appendonlydir")).map((file) =>
    readFileSync(join(folder, "appendonlydir", file), "latin1"),
  );
  return files.flatMap((text) => text.match(/(?:DELETE\r\n\$\d+\r\n|name=)__regears_timer_\d+/g) ?? []);
}

const limit = { timeout: 60_000 + KILLS * 60_000 };

describe("a server whose clients register, and which is killed", () => {
  it.each(["always", "everysec"])(`${KILLS} times has all of one moment, with appendfsync %s`, limit, async (mode) => {
    const folder = newFolder();
    const args = ["--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", mode];
    const start = (): Promise<RunningRegears> => startRegears(args);
    const worker = new Worker();
    let server = await start();
    let [events, twice] = [0, 0];
    try {
      const first = await connectClient(server.port);
      expect(await first.call("RG.PYEXECUTE", READER)).toBe("OK");
      first.close();
      for (let kill = 0; kill < KILLS; kill++) {
        const working = worker.work(server.port);
        const enough = Math.random() * MOST_MESSAGES;
        await Promise.race([until(() => worker.answered >= enough, "enough is answered"), working]);
        // at another moment of its work each time
        await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_REST_MS));
        await Promise.all([server.stop("SIGKILL"), working]);
        server = await start();
        const client = await connectClient(server.port);
        twice = await worker.check(client, mode === "always");
        // one message at most was being read when the server was killed
        expect(twice).toBeLessThanOrEqual(kill + 1);
        client.close();
      }
      const client = await connectClient(server.port);
      events = await allTick(server, client, folder);
      client.close();
    } finally {
      await server.stop("SIGKILL");
    }
    expect(worker.messages).toBeGreaterThan(KILLS);
    figure(
      `persistence/7-moment-${mode}`,
      `kill -9 at {kills} random moments with \`appendfsync ${mode}\` while clients register what writes keys, add time events and messages of a stream that is trimmed`,
      "{messages} messages, {made} registrations, {events} time events: no key without its registration or time event, none that was acknowledged read again ({twice} that had not been acknowledged)",
      { kills: KILLS, messages: worker.messages, made: worker.made, events, twice },
    );
  });
});
