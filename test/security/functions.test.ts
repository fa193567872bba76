/** Functions in the engine: nobody can put others in the place of those that run scripts for us. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const redis = findRedisServer();
/** A script that calls one of our commands: it is run by functions of ours. */
const SCRIPT = "return redis.call('RG.TRIGGER', 't')";

function suite(title: string, start: () => Promise<RunningRegears>, stop: () => Promise<void>, skip: boolean): void {
  describe.skipIf(skip)(title, () => {
    let server: RunningRegears;
    let admin: Client;
    let mallory: Client;

    beforeAll(async () => {
      server = await start();
      admin = await connectClient(server.port);
      await admin.call("RG.PYEXECUTE", "GB('CommandReader').map(lambda x: 'ran').register(trigger='t', mode='sync')");
      await admin.call("ACL", "SETUSER", "mallory", "reset", "on", ">pw", "+@all", "-@admin", "-@dangerous", "~a:*");
      mallory = await connectClient(server.port);
      await mallory.call("AUTH", "mallory", "pw");
    }, 60_000);
    beforeEach(() => admin.call("SET", "secret", "kept"));
    afterAll(async () => {
      admin?.close();
      mallory?.close();
      await server?.stop();
      await stop();
    });

    const steal = (library: string, ...functions: string[]): string =>
      [
        `#!lua name=${library}`,
        "local function steal() redis.call('SET', 'secret', 'stolen') return {'done', 'x'} end",
        ...functions.map((name) => `redis.register_function('__rege' .. '${name}', steal)`),
      ].join("\n");

    it.each([
      ["a library of the same name", "__regears", ["ars_start", "ars_resume", "ars_forget"]],
      ["a library of another name", "other", ["ars_start", "ars_resume", "ars_forget"]],
      ["a library that has one of them", "other", ["ars_resume"]],
      ["functions in capitals", "other", ["ARS_START", "ARS_RESUME"]],
    ])("with %s nobody's script is taken over", async (_name, library, functions) => {
      expect(await admin.call("EVAL", SCRIPT, "0")).toEqual(["ran"]);
      await mallory.call("FUNCTION", "FLUSH");
      await mallory.call("FUNCTION", "LOAD", "REPLACE", steal(library, ...functions));
      expect(await admin.call("EVAL", SCRIPT, "0")).toEqual(["ran"]);
      expect(await admin.call("GET", "secret")).toBe("kept");
      await mallory.call("FUNCTION", "LOAD", "REPLACE", steal("__regears", ...functions));
      await admin.call("MULTI");
      await admin.call("EVAL", SCRIPT, "0");
      expect(await admin.call("EXEC")).toEqual([["ran"]]);
      expect(await admin.call("GET", "secret")).toBe("kept");
    });

    it("they can not be called, however their names are written", async () => {
      await admin.call("EVAL", SCRIPT, "0");
      for (const name of ["__regears_start", "__REGEARS_START", "__Regears_Start"]) {
        const call = mallory.call("FCALL", name, "0", "1", "{}", "return 1");
        await expect(call).rejects.toThrow("ERR Function not found");
      }
    });
  });
}

suite(
  "the embedded engine",
  () => startRegears(),
  async () => {},
  false,
);

let engine: RedisServer | undefined;
suite(
  `redis-server${redis.skipped}`,
  async () => {
    engine = await startRedisServer();
    return startRegears(["--engine", `redis://127.0.0.1:${engine.port}`]);
  },
  async () => engine?.stop(),
  !redis.path,
);
