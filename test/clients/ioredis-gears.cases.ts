/** Programs that use gears with ioredis. */
import type { IoredisCase } from "./ioredis.cases.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

export const gearsCases: readonly IoredisCase[] = [
  {
    name: "RG.PYEXECUTE: results, errors of steps, an error of the script",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      await client.mset({ a: "1", b: "2", c: "x" });
      const numbers = "GB().map(lambda r: int(r['value']))";
      const [results] = (await client.call("RG.PYEXECUTE", `${numbers}.run('[ab]')`)) as string[][];
      const [none, errors] = (await client.call("RG.PYEXECUTE", `${numbers}.run('c')`)) as string[][];
      const [raw] = (await client.callBuffer("RG.PYEXECUTE", "GB('KeysOnlyReader').count().run()")) as Buffer[][];
      return [
        results?.sort(),
        none,
        errors?.map((error) => error.includes("invalid literal for int()")),
        raw?.map(String),
        await client.call("RG.PYEXECUTE", "x = 1"),
        (await errorOf(client.call("RG.PYEXECUTE", "1 / 0") as Promise<unknown>)).includes("ZeroDivisionError"),
      ];
    },
    gives: [["1", "2"], [], [true], ["3"], "OK", true],
  },
  {
    name: "RG.PYEXECUTE UNBLOCKING, its results, and the executions there are",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      await client.set("k", "v");
      const id = (await client.call("RG.PYEXECUTE", "GB().count().run()", "UNBLOCKING")) as string;
      const results = await client.call("RG.GETRESULTSBLOCKING", id);
      const listed = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
      return [
        /^0{40}-\d+$/.test(id),
        results,
        listed.some((one) => one[1] === id),
        await client.call("RG.DROPEXECUTION", id),
      ];
    },
    gives: [true, [["1"], []], true, "OK"],
  },
  {
    name: "triggers, key events and registrations, in a pipeline too",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      await client.call(
        "RG.PYEXECUTE",
        "GB('CommandReader').map(lambda r: execute('INCRBY', 'total', r[1])).register(trigger='add')\n" +
          "GB().foreach(lambda r: execute('INCR', 'events')).register('k:*', mode='sync')",
      );
      const replies = await client
        .pipeline()
        .call("RG.TRIGGER", "add", "2")
        .set("k:1", "x")
        .get("events")
        .call("RG.TRIGGER", "add", "3")
        .exec();
      const registrations = (await client.call("RG.DUMPREGISTRATIONS")) as string[][];
      for (const [, id = ""] of registrations) await client.call("RG.UNREGISTER", id);
      const left = await until(async () => ((await client.call("RG.DUMPREGISTRATIONS")) as unknown[]).length === 0);
      return [replies?.map(([error, value]) => error ?? value), registrations.map((one) => one[3]).sort(), left];
    },
    gives: [[["2"], "OK", "1", ["5"]], ["CommandReader", "KeysReader"], true],
  },
  {
    name: "a hooked command is answered by its script",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      await client.call(
        "RG.PYEXECUTE",
        "GB('CommandReader').map(lambda r: call_next(r[1], r[2].upper())).register(hook='set', keyprefix='up:', mode='sync')",
      );
      const reply = await client.set("up:1", "value");
      await client.call("RG.UNREGISTERALL");
      return [reply, await client.get("up:1")];
    },
    gives: ["OK", "VALUE"],
  },
];
