/** `--isolation session`: no two sessions ever meet in an interpreter. */
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

let server: RunningRegears;
let client: Client;
const start = async (...args: string[]): Promise<void> => {
  server = await startRegears(args);
  client = await connectClient(server.port);
};
afterEach(async () => {
  client.close();
  expect(await server.stop()).toBe(0);
});

const field = async (name: string): Promise<string | undefined> => {
  const text = (await client.call("RG.INFO")) as string;
  return new RegExp(`^${name}:(.*)\r$`, "m").exec(text)?.[1];
};
/** Leaves a mark in the interpreter where every script would find it. */
const SPOIL = "import builtins\nbuiltins.spoiled = getattr(builtins, 'spoiled', 0) + 1\n";
const LOOK = "GB('ShardsIDReader').map(lambda r: spoiled).run()";
const trigger = (name: string): string =>
  `${SPOIL}GB('CommandReader').map(lambda r: spoiled).register(trigger='${name}', mode='sync')`;

describe("shared interpreters", () => {
  it("are what sessions have otherwise: this is what isolation is measured against", async () => {
    await start("--execution-threads", "1");
    await client.call("RG.PYEXECUTE", SPOIL);
    expect(await client.call("RG.PYEXECUTE", SPOIL + LOOK)).toEqual([["2"], []]);
  });
});

describe("an interpreter for each session", () => {
  it("is fresh for every script, and gone when the script has ended", async () => {
    await start("--isolation", "session");
    for (let i = 0; i < 5; i++) expect(await client.call("RG.PYEXECUTE", SPOIL + LOOK)).toEqual([["1"], []]);
    await expect.poll(() => field("interpreters_idle"), { timeout: 10_000 }).toBe("1");
    expect(await field("interpreters_booting")).toBe("0");
    expect(await field("interpreter_restarts_total_fatal")).toBe("0");
    expect(server.output()).not.toContain("died");
  });

  it("keeps what a script has printed", async () => {
    await start("--isolation", "session");
    await client.call("RG.PYEXECUTE", "print('last words')");
    await expect.poll(() => server.output()).toContain("last words");
  });

  it("stays as long as the session has registrations", async () => {
    await start("--isolation", "session");
    await client.call("RG.PYEXECUTE", trigger("one"), "ID", "one");
    await client.call("RG.PYEXECUTE", trigger("two"), "ID", "two");
    for (const name of ["one", "two", "one"]) expect(await client.call("RG.TRIGGER", name)).toEqual(["1"]);
    await expect.poll(() => field("interpreters_idle"), { timeout: 10_000 }).toBe("3");
    await client.call("RG.UNREGISTERALL");
    await expect.poll(() => field("interpreters_idle"), { timeout: 10_000 }).toBe("1");
  });

  it("stays as long as a time event will call it", async () => {
    await start("--isolation", "session");
    await client.call("RG.PYEXECUTE", "registerTE(1, lambda: execute('INCR', 'ticks'), 'clock')");
    await expect.poll(() => client.call("GET", "ticks"), { timeout: 10_000 }).toBe("2");
    await client.call("DEL", "clock");
    await expect.poll(() => field("interpreters_idle"), { timeout: 10_000 }).toBe("1");
  });

  it("is refused when all belong to sessions, and scripts wait while some do not", async () => {
    await start("--isolation", "session", "--max-interpreters", "2");
    await client.call("RG.PYEXECUTE", trigger("one"), "ID", "one");
    const scripts = Array.from({ length: 4 }, () => client.call("RG.PYEXECUTE", SPOIL + LOOK));
    expect(await Promise.all(scripts)).toEqual(Array.from({ length: 4 }, () => [["1"], []]));
    await client.call("RG.PYEXECUTE", trigger("two"), "ID", "two");
    await expect(client.call("RG.PYEXECUTE", "x = 1")).rejects.toThrow(
      "ERR all 2 Python interpreters belong to sessions with registrations (max-interpreters)",
    );
    const id = (await client.call("RG.PYEXECUTE", "x = 1", "UNBLOCKING")) as string;
    await expect(client.call("RG.GETRESULTSBLOCKING", id)).rejects.toThrow("max-interpreters");
    expect(await client.call("RG.TRIGGER", "two")).toEqual(["1"]);
    const [first] = (await client.call("RG.DUMPREGISTRATIONS")) as [string, string][];
    await client.call("RG.UNREGISTER", first?.[1] ?? "");
    expect(await client.call("RG.PYEXECUTE", SPOIL + LOOK)).toEqual([["1"], []]);
  });

  it("is made again for the session alone when it dies", async () => {
    await start("--isolation", "session");
    const code = `${SPOIL}GB('CommandReader').map(lambda r: sum(range(int(r[1])))).register(trigger='sum')`;
    await client.call("RG.PYEXECUTE", code, "ID", "sums");
    const second = await connectClient(server.port);
    const lost = second.call("RG.TRIGGER", "sum", String(10 ** 13)).catch((error: Error) => error.message);
    await expect.poll(() => field("executions_running")).toBe("1");
    const running = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
    await client.call("RG.ABORTEXECUTION", running.at(-1)?.[1] ?? "");
    await lost;
    second.close();
    expect(await client.call("RG.TRIGGER", "sum", "4")).toEqual(["6"]);
    expect(await client.call("RG.PYEXECUTE", SPOIL + LOOK)).toEqual([["1"], []]);
  });

  it("is given to the sessions of an earlier run, whatever the limit", async () => {
    const dir = newFolder();
    await start("--isolation", "session", "--max-interpreters", "5", "--dir", dir);
    for (const name of ["a", "b", "c"]) await client.call("RG.PYEXECUTE", trigger(name), "ID", name);
    client.close();
    expect(await server.stop()).toBe(0);
    await start("--isolation", "session", "--max-interpreters", "2", "--dir", dir);
    for (const name of ["a", "b", "c"]) {
      await expect
        .poll(() => client.call("RG.TRIGGER", name).catch(String), { timeout: 15_000 })
        .toEqual(expect.anything());
    }
    expect(await field("registrations_CommandReader")).toBe("3");
    await expect.poll(() => field("interpreters_idle"), { timeout: 15_000 }).toBe("3");
  });
});
