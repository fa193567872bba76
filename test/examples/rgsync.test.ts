/** rgsync itself, whose sources somebody else's folder has (REGEARS_RGSYNC): write-behind and write-through to MySQL as its examples do it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DatabaseServer, MARIADB, skipped, startBeside, startMariadb } from "../connections/databases.ts";
import { clientLibraries } from "../connections/support.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import type { RunningRegears } from "../support/regears.ts";
import type { WheelSpec } from "../support/wheels.ts";

const folder = process.env.REGEARS_RGSYNC ?? "";
const why = folder === "" ? " (skipped: REGEARS_RGSYNC names no folder with its sources)" : "";
const { wheels, missing } = clientLibraries();

const rgsync = (): WheelSpec => ({
  ...{ name: "rgsync", version: "1.2.0", requires: ["SQLAlchemy<2", "PyMySQL"] },
  files: readdirSync(join(folder, "rgsync"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".py"))
    .map((name) => ({ path: `rgsync/${name}`, content: readFileSync(join(folder, "rgsync", name)) })),
});

describe.skipIf(why !== "" || missing !== "" || !MARIADB)(
  `rgsync${why}${missing}${skipped("mariadb-server", MARIADB)}`,
  () => {
    let database: DatabaseServer;
    let server: RunningRegears;
    let client: Client;
    beforeAll(async () => {
      database = await startMariadb();
      database.sql(
        "CREATE TABLE persons (person_id VARCHAR(9) PRIMARY KEY, first VARCHAR(50), last VARCHAR(50), age INT)",
      );
      ({ server, client } = await startBeside("mysql", database, [...wheels, rgsync()]));
    });
    afterAll(async () => {
      client?.close();
      await server?.stop();
      await database?.stop();
    });

    const rows = (): string[] => database.sql("SELECT * FROM persons ORDER BY person_id").split("\n");
    const acknowledged = async (key: string): Promise<Value> =>
      (await client.call("XREAD", "BLOCK", "10000", "STREAMS", key, "0-0")) as Value;
    const set = (key: string, first: string, ...more: string[]): Promise<Value> =>
      client.call("HSET", key, "first_name", first, "last_name", "L", "age", "36", ...more);

    it("registers its recipes, and itself anew in the place of its earlier version", async () => {
      for (let round = 0; round < 2; round++) {
        const script = `
from rgsync import RGWriteBehind, RGWriteThrough
from rgsync.Connectors import MySqlConnector, MySqlConnection
connection = MySqlConnection('test', 'secret', '127.0.0.1:${database.port}/test')
persons = MySqlConnector(connection, 'persons', 'person_id')
mappings = {'first_name': 'first', 'last_name': 'last', 'age': 'age'}
RGWriteBehind(GB, keysPrefix='person', mappings=mappings, connector=persons, name='PersonsWriteBehind', version='99.99.99')
RGWriteThrough(GB, keysPrefix='__', mappings=mappings, connector=persons, name='PersonsWriteThrough', version='99.99.99')`;
        expect(await client.call("RG.PYEXECUTE", script, "REQUIREMENTS", "rgsync")).toBe("OK");
        expect((await client.call("RG.DUMPREGISTRATIONS")) as Value[]).toHaveLength(3);
      }
    });

    it("writes behind, deletes, and acknowledges when it is asked to", async () => {
      await set("person:1", "Ada");
      await set("person:2", "Alan");
      await expect.poll(rows).toEqual(["1\tAda\tL\t36", "2\tAlan\tL\t36"]);
      await client.call("DEL", "person:2");
      await expect.poll(rows).toEqual(["1\tAda\tL\t36"]);
      await set("person:3", "Grace", "#", "=id");
      expect(JSON.stringify(await acknowledged("{person:3}id"))).toContain('"status","done"');
      expect(rows()).toContain("3\tGrace\tL\t36");
      expect(await client.call("HEXISTS", "person:3", "#")).toBe(0);
      // not to be replicated
      await set("person:4", "Kept", "#", "+");
      await client.call("HSET", "person:3", "#", "-");
      await expect.poll(() => client.call("EXISTS", "person:3")).toBe(0);
      await set("person:5", "After");
      await expect.poll(rows).toEqual(["1\tAda\tL\t36", "3\tGrace\tL\t36", "5\tAfter\tL\t36"]);
    });

    it("writes through, and tells of what the database refuses", async () => {
      await set("__{person:6}", "Edsger", "#", "=six");
      expect(rows()).toContain("6\tEdsger\tL\t36");
      expect(await client.call("HGET", "person:6", "first_name")).toBe("Edsger");
      await set("__{person:much-too-long}", "Nobody", "#", "=long");
      expect(JSON.stringify(await acknowledged("{person:much-too-long}long"))).toContain('"status","failed"');
      expect(await client.call("EXISTS", "person:much-too-long")).toBe(0);
    });

    it("goes on when its connection was closed", async () => {
      const threads = database.sql("SELECT id FROM information_schema.processlist WHERE user='test'").split("\n");
      for (const thread of threads) database.sql(`KILL ${thread}`);
      await set("person:1", "Augusta");
      await expect.poll(rows, { timeout: 20_000 }).toContain("1\tAugusta\tL\t36");
    });

    it("takes many changes at once", async () => {
      const own = await connectClient(server.port);
      await Promise.all(
        Array.from({ length: 1000 }, (_, n) =>
          own.call("HSET", `person:n${n}`, "first_name", `F${n}`, "last_name", "L", "age", String(n)),
        ),
      );
      own.close();
      await expect
        .poll(() => database.sql("SELECT count(*) FROM persons WHERE person_id LIKE 'n%'"), { timeout: 30_000 })
        .toBe("1000");
    });
  },
);
