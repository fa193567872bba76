/** SLOWLOG has the engine's slow commands and ours, on either engine. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { connectPlain } from "../support/plain-client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

type Shown = [id: number, seconds: number, microseconds: number, words: string[], address: string, name: string];

const redis = findRedisServer();
const BUSY = "local n = 0; for i = 1, 20000000 do n = n + i end; return 'done'";
const TRIGGERS = `
import time
def nap(call): time.sleep(float(call[1]))
GB('CommandReader').map(nap).register(trigger='nap', mode='async_local')
GB('CommandReader').map(nap).register(trigger='nap_sync', mode='sync')
`;

describe.each([
  { name: "embedded", skip: false },
  { name: `by URL${redis.skipped}`, skip: !redis.path },
])("SLOWLOG ($name)", ({ name, skip }) => {
  describe.skipIf(skip)("", () => {
    let engine: RedisServer | undefined;
    let server: RunningRegears;
    let client: Client;
    beforeAll(async () => {
      engine = name === "embedded" ? undefined : await startRedisServer();
      // a busy machine makes it slower than any limit
      const args = ["--script-time-limit", "0"];
      server = await startRegears(engine ? [...args, "--engine", `redis://127.0.0.1:${engine.port}`] : args);
      client = await connectClient(server.port);
      await client.call("CONFIG", "SET", "slowlog-log-slower-than", "40000");
      expect(await client.call("RG.PYEXECUTE", TRIGGERS)).toBe("OK");
      await client.call("SLOWLOG", "RESET");
    });
    afterAll(async () => {
      client?.close();
      await server?.stop();
      await engine?.stop();
    });

    const everything = async (...count: string[]): Promise<Shown[]> =>
      (await client.call("SLOWLOG", "GET", ...count)) as unknown as Shown[];
    /** Without what else may be slow on a busy machine. */
    const log = async (...count: string[]): Promise<Shown[]> =>
      (await everything(...count)).filter(([, , , [command = ""]]) => /^(?:rg\.|eval)/i.test(command));
    const commands = async (...count: string[]): Promise<string[]> =>
      (await log(...count)).map(([, , , words]) => words.slice(0, 2).join(" "));

    it("shows what ran long, as it was sent, for as long as it ran", async () => {
      await client.call("rg.PyExecute", "import time; time.sleep(0.08)");
      expect(await client.call("EVAL", BUSY, "0")).toBe("done");
      await client.call("RG.TRIGGER", "nap", "0.06");
      await client.call("RG.TRIGGER", "nap_sync", "0.07");
      await client.call("RG.TRIGGER", "nap", "0");
      await client.call("RG.PYEXECUTE", "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(0.09)).run()");
      const id = (await client.call("RG.PYEXECUTE", "import time; time.sleep(0.08)", "UNBLOCKING")) as string;
      await client.call("RG.GETRESULTSBLOCKING", id);
      // what did nothing is there only if the machine made it slow
      const all = (await log()).filter(([, , , words]) => words.slice(1).join(" ") !== "nap 0");
      // the engine knows seconds only: what is of one second may stand in another order
      const shown = all.map(([, , , words]) => words[1] ?? "");
      expect(shown.filter((word) => word !== BUSY)).toEqual([
        "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(0.09)).run()",
        ...["nap_sync", "nap", "import time; time.sleep(0.08)"],
      ]);
      expect(shown).toContain(BUSY);
      const own = all.filter(([, , , words]) => words[1] !== BUSY);
      expect(own.at(-1)?.[3][0]).toBe("rg.PyExecute");
      for (const [, seconds, microseconds, , address] of own) {
        expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(30);
        expect(microseconds).toBeGreaterThan(50_000);
        // and not nanoseconds
        expect(microseconds).toBeLessThan(50_000_000);
        expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
      }
      const ids = all.map(([number]) => number);
      expect(ids).toEqual([...new Set(ids)].sort((a, b) => b - a));
      expect(all).toHaveLength(5);
      const both = await everything("-1");
      for (const [, , microseconds] of both) expect(microseconds).toBeGreaterThan(40_000);
      expect(await client.call("SLOWLOG", "LEN")).toBe(both.length);
      expect(await everything("2")).toEqual(both.slice(0, 2));
      await expect(client.call("SLOWLOG", "GET", "-2")).rejects.toThrow("ERR count should be");
    });

    it("does not count the time that an execution waited", async () => {
      await client.call("SLOWLOG", "RESET");
      const others = await Promise.all(Array.from({ length: 6 }, () => connectClient(server.port)));
      const begun = performance.now();
      const tookMs = await Promise.all(
        others.map(async (other, at) => {
          await other.call("RG.TRIGGER", "nap", "0.2", `call ${at}`);
          return performance.now() - begun;
        }),
      );
      for (const other of others) other.close();
      const logged = await log();
      expect(logged).toHaveLength(6);
      // an interpreter is blocked by a nap, so that the last one has waited for others
      const lastMs = Math.max(...tookMs);
      const [last] = logged.filter(([, , , words]) => words[3] === `call ${tookMs.indexOf(lastMs)}`);
      expect(last?.[2]).toBeLessThan((lastMs - 190) * 1000);
    });

    it("cuts long commands, keeps no more than slowlog-max-len, and forgets at RESET", async () => {
      const last = (await everything("1"))[0]?.[0] ?? 0;
      await client.call("SLOWLOG", "RESET");
      expect([await log(), await client.call("SLOWLOG", "LEN")]).toEqual([[], 0]);
      await client.call("RG.TRIGGER", "nap", "0.06", "x".repeat(200), ...Array<string>(40).fill("y"));
      const [[id, , , words] = [0, 0, 0, []]] = await log();
      expect(id).toBeGreaterThan(last);
      expect(words).toHaveLength(32);
      expect(words[3]).toBe(`${"x".repeat(128)}... (72 more bytes)`);
      expect(words[31]).toBe("... (13 more arguments)");
      await client.call("CONFIG", "SET", "slowlog-max-len", "2");
      for (const trigger of ["nap", "nap", "nap_sync"]) await client.call("RG.TRIGGER", trigger, "0.06");
      expect(await commands()).toEqual(["RG.TRIGGER nap_sync", "RG.TRIGGER nap"]);
      expect(await client.call("SLOWLOG", "LEN")).toBe(2);
      await client.call("CONFIG", "SET", "slowlog-log-slower-than", "-1");
      await client.call("SLOWLOG", "RESET");
      await client.call("RG.TRIGGER", "nap", "0.06");
      expect(await log()).toEqual([]);
    });

    it("works in transactions and in RESP3", async () => {
      await client.call("CONFIG", "SET", "slowlog-log-slower-than", "40000");
      await client.call("RG.TRIGGER", "nap", "0.06");
      await client.call("MULTI");
      await client.call("SLOWLOG", "LEN");
      await client.call("RG.TRIGGER", "nap_sync", "0.06");
      await client.call("SLOWLOG", "GET", "1");
      const [before, , after] = (await client.call("EXEC")) as unknown as [Value, Value, Shown[]];
      expect(before).toBe(1);
      expect(after.map(([, , , words]) => words)).toEqual([["RG.TRIGGER", "nap_sync", "0.06"]]);
      const plain = await connectPlain(server.port);
      plain.send("HELLO", "3");
      plain.send("SLOWLOG", "GET", "1");
      await plain.until(() => /\*1\r\n\*6\r\n:\d+\r\n:\d+\r\n:\d+\r\n\*3\r\n/.test(plain.pending));
      plain.destroy();
    });
  });
});
