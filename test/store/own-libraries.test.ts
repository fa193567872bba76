/** Registrations inside the engine's data: with them they are restored and carried elsewhere, and nobody sees how. */
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { isOwnCode } from "../../src/store/own-libraries.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { connectPlain } from "../support/plain-client.ts";
import { registrations } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function start(directory: string, ...more: string[]): Promise<{ client: Client; server: RunningRegears }> {
  const server = await startRegears(["--dir", directory, "--save", "", "--test-clock", ...more]);
  const client = await connectClient(server.port);
  stops.push(async () => {
    client.close();
    await server.stop("SIGKILL");
  });
  return { client, server };
}

const LOG = ["--appendonly", "yes", "--appendfsync", "no"];
const FILE = "regears-registrations.json";
const trigger = (name: string): string => `GB('CommandReader').map(lambda c: '${name}').register(trigger='${name}')`;
const register = async (client: Client, ...names: string[]): Promise<void> => {
  for (const name of names) expect(await client.call("RG.PYEXECUTE", trigger(name))).toBe("OK");
};
const answers = async (client: Client, name: string): Promise<void> =>
  expect(await client.call("RG.TRIGGER", name)).toEqual([name]);
const unknown = async (client: Client, name: string): Promise<void> =>
  expect(await errorOf(client.call("RG.TRIGGER", name))).toBe("ERR subcommand not found");
/** A time event of one second that counts its calls in `ticks:` and its key. */
const event = (key: string): string => `
execute('SET', 'made', str(registerTE(1, lambda: execute('INCR', 'ticks:${key}'), '${key}')))
`;
const ticks = async (client: Client, key: string): Promise<void> => {
  const count = async (): Promise<number> => Number(await client.call("GET", `ticks:${key}`));
  const before = await count();
  await until(async () => {
    await client.call("RG.TIME", "FASTFORWARD", "1000");
    return (await count()) > before;
  }, `${key} is called`);
};

describe("registrations in the data", () => {
  it("are in the log of changes, which needs no file beside it", async () => {
    const directory = newFolder();
    const first = await start(directory, ...LOG);
    await register(first.client, "a", "b", "c");
    const [gone] = await registrations(first.client);
    await first.client.call("RG.UNREGISTER", gone?.id ?? "");
    expect(await first.client.call("FLUSHALL")).toBe("OK");
    await first.server.stop("SIGKILL");
    expect(existsSync(join(directory, FILE))).toBe(false);

    const { client } = await start(directory, ...LOG);
    await unknown(client, "a");
    await answers(client, "b");
    await answers(client, "c");
  });

  it("are in a dump, which takes them to another server", async () => {
    const [directory, other] = [newFolder(), newFolder()];
    const first = await start(directory);
    await register(first.client, "a");
    await first.client.call("RG.PYEXECUTE", event("ticker"));
    expect(await first.client.call("SAVE")).toBe("OK");
    copyFileSync(join(directory, "dump.rdb"), join(other, "dump.rdb"));
    const { client } = await start(other, ...LOG);
    await answers(client, "a");
    await ticks(client, "ticker");
  });

  it("that are newer than the dump are made again, also when a log is begun with it", async () => {
    const directory = newFolder();
    const first = await start(directory);
    await register(first.client, "old", "gone");
    await first.client.call("RG.PYEXECUTE", event("ended"));
    expect(await first.client.call("SAVE")).toBe("OK");
    await register(first.client, "new");
    await first.client.call("RG.PYEXECUTE", event("newer"));
    await first.client.call("DEL", "ended");
    const [, gone] = await registrations(first.client);
    await first.client.call("RG.UNREGISTER", gone?.id ?? "");
    await ticks(first.client, "newer");
    // the end of a time event is noticed when it is due, and is kept with what comes after it
    await ticks(first.client, "newer");
    await register(first.client, "last");
    await first.server.stop("SIGKILL");

    const second = await start(directory, ...LOG);
    for (const name of ["old", "new", "last"]) await answers(second.client, name);
    await unknown(second.client, "gone");
    await ticks(second.client, "newer");
    // the key that the dump had would keep the time event from being made again
    await second.client.call("RG.PYEXECUTE", event("ended"));
    expect(await second.client.call("GET", "made")).toBe("True");
    await second.server.stop("SIGKILL");
    expect(existsSync(join(directory, FILE))).toBe(false);
    const third = await start(directory, ...LOG);
    for (const name of ["old", "new", "last"]) await answers(third.client, name);
  });

  it("stay when the log is switched off and on", async () => {
    const directory = newFolder();
    const first = await start(directory, ...LOG);
    await register(first.client, "a");
    expect(await first.client.call("CONFIG", "SET", "appendonly", "no")).toBe("OK");
    await first.server.stop("SIGKILL");
    const second = await start(directory);
    await answers(second.client, "a");
    await register(second.client, "b");
    expect(await second.client.call("CONFIG", "SET", "appendonly", "yes")).toBe("OK");
    await register(second.client, "c");
    await until(
      async () => /aof_rewrite_in_progress:0/.test(String(await second.client.call("INFO", "persistence"))),
      "the log is begun",
    );
    await register(second.client, "d");
    await second.server.stop("SIGKILL");
    const third = await start(directory, ...LOG);
    for (const name of ["a", "b", "c", "d"]) await answers(third.client, name);
  });

  it("of other data do not replace those of the dump that was put here", async () => {
    const [directory, other] = [newFolder(), newFolder()];
    const first = await start(directory);
    await register(first.client, "here");
    await first.server.stop("SIGKILL");
    const second = await start(other);
    await register(second.client, "brought");
    await second.client.call("SAVE");
    copyFileSync(join(other, "dump.rdb"), join(directory, "dump.rdb"));
    const third = await start(directory);
    await answers(third.client, "brought");
    await unknown(third.client, "here");
    expect(readdirSync(directory).filter((name) => name.includes("of-other-data"))).toHaveLength(1);
  });
});

describe("a time event", () => {
  it("whose key was not made yet is none, whatever else has that name", async () => {
    const directory = newFolder();
    const first = await start(directory, ...LOG);
    await first.client.call("RG.PYEXECUTE", event("mine"));
    // as if the server had been killed between the two
    await first.client.call("SET", "mine", "something else");
    await first.server.stop("SIGKILL");
    const { client } = await start(directory, ...LOG);
    await client.call("RG.PYEXECUTE", event("marker"));
    await client.call("DEL", "ticks:mine");
    await ticks(client, "marker");
    await ticks(client, "marker");
    expect(await client.call("EXISTS", "ticks:mine")).toBe(0);
    expect(await client.call("GET", "mine")).toBe("something else");
  });
});

const LIBRARY = "#!lua name=mine\nredis.register_function('f', function() return 7 end)";
/** What FUNCTION DUMP gives, as it is. */
async function payloadOf(port: number): Promise<Buffer> {
  const client = await connectPlain(port);
  client.send("FUNCTION", "DUMP");
  let header = "";
  while (!header.endsWith("\r\n")) header += await client.read(1);
  const payload = Buffer.from(await client.read(Number(header.slice(1))), "latin1");
  client.destroy();
  return payload;
}

const numbers = (info: Value): string[] =>
  [...String(info).matchAll(/^number_of_(?:functions|libraries):\d+/gm)].map(([line]) => line);

describe("the server's own libraries of functions", () => {
  it("are not seen by clients, and neither lost nor changed by them", async () => {
    const directory = newFolder();
    const { client, server } = await start(directory, ...LOG);
    await register(client, "a", "b");
    expect(await client.call("FUNCTION", "LIST")).toEqual([]);
    expect(await client.call("FUNCTION", "LIST", "LIBRARYNAME", "__regears*", "WITHCODE")).toEqual([]);
    expect(await client.call("FUNCTION", "RESTORE", await payloadOf(server.port))).toBe("OK");
    expect(await client.call("FUNCTION", "LOAD", LIBRARY)).toBe("mine");
    expect(await client.call("FCALL", "f", "0")).toBe(7);
    const list = (await client.call("FUNCTION", "LIST")) as Value[][];
    expect(list.map((library) => library[1])).toEqual(["mine"]);
    expect(numbers(await client.call("INFO", "everything"))).toEqual([
      "number_of_functions:1",
      "number_of_libraries:1",
    ]);
    const engines = ((await client.call("FUNCTION", "STATS")) as Value[]).at(-1);
    expect(engines).toEqual(["LUA", ["libraries_count", 1, "functions_count", 1]]);

    for (const name of ["__regears_head_0", "__regears_registration_0", "__regears_registration_1"]) {
      expect(await errorOf(client.call("FUNCTION", "DELETE", name))).toBe("ERR Library not found");
      expect(await errorOf(client.call("FCALL", name, "0"))).toBe("ERR Function not found");
      const code = LIBRARY.replace("mine", name);
      expect(await errorOf(client.call("FUNCTION", "LOAD", "REPLACE", code))).toContain("the server's own");
    }
    expect(await client.call("FUNCTION", "FLUSH")).toBe("OK");
    expect(await client.call("FUNCTION", "LIST")).toEqual([]);
    expect(await errorOf(client.call("FCALL", "f", "0"))).toBe("ERR Function not found");
    await client.call("MULTI");
    await client.call("FUNCTION", "LOAD", LIBRARY);
    await client.call("FUNCTION", "FLUSH", "ASYNC");
    expect(await client.call("EXEC")).toEqual(["mine", "OK"]);
    await client.call("RG.PYEXECUTE", "execute('FUNCTION', 'FLUSH')");
    expect(await errorOf(client.call("FUNCTION", "FLUSH", "NOW"))).toContain("FUNCTION FLUSH only supports");
    await server.stop("SIGKILL");
    const second = await start(directory, ...LOG);
    await answers(second.client, "a");
    await answers(second.client, "b");
  });

  it("stay when a payload replaces all others, and can not be brought by one", async () => {
    const directory = newFolder();
    const { client, server } = await start(directory, ...LOG);
    await client.call("FUNCTION", "LOAD", LIBRARY);
    const payload = await payloadOf(server.port);
    await client.call("FUNCTION", "LOAD", LIBRARY.replace("mine", "other").replace("'f'", "'g'"));
    await register(client, "a");
    expect(await client.call("FUNCTION", "RESTORE", payload, "FLUSH")).toBe("OK");
    const list = (await client.call("FUNCTION", "LIST")) as Value[][];
    expect(list.map((library) => library[1])).toEqual(["mine"]);
    expect(await errorOf(client.call("FUNCTION", "RESTORE", payload))).toContain("already exists");
    expect(await errorOf(client.call("FUNCTION", "RESTORE", payload.subarray(1), "FLUSH"))).toContain("ERR");
    expect(await client.call("FCALL", "f", "0")).toBe(7);
    await server.stop("SIGKILL");
    const second = await start(directory, ...LOG);
    await answers(second.client, "a");
    expect(await second.client.call("FCALL", "f", "0")).toBe(7);
  });

  it("are known by their names, however those are written", () => {
    const own = [
      "name=__regears_x",
      'name="__regears_x"',
      'name="\\x5f_regears_x"',
      'name=__re"gears_x"',
      "name='__regears_x'",
    ];
    for (const words of own) expect(isOwnCode(Buffer.from(`#!lua ${words}\n`)), words).toBe(true);
    expect(isOwnCode(Buffer.from("#!lua name=regears\n-- __regears_x"))).toBe(false);
  });
});
