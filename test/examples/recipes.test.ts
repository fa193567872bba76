/** A package that registers write-behind and write-through for its users, as rgsync does, on top of SQLAlchemy and PyMySQL. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DatabaseServer, MARIADB, skipped, startBeside, startMariadb } from "../connections/databases.ts";
import { clientLibraries } from "../connections/support.ts";
import type { Client } from "../support/client.ts";
import type { RunningRegears } from "../support/regears.ts";
import type { WheelSpec } from "../support/wheels.ts";

const { wheels, missing } = clientLibraries();
const folder = new URL("./fixtures/hashsync/", import.meta.url);
const hashsync: WheelSpec = {
  ...{ name: "hashsync", version: "1.0", requires: ["SQLAlchemy", "PyMySQL"] },
  files: readdirSync(folder)
    .filter((name) => name.endsWith(".py"))
    .map((name) => ({ path: `hashsync/${name}`, content: readFileSync(new URL(name, folder)) })),
};

describe.skipIf(missing !== "" || !MARIADB)(
  `a package of recipes${missing}${skipped("mariadb-server", MARIADB)}`,
  () => {
    let database: DatabaseServer;
    let server: RunningRegears;
    let client: Client;
    beforeAll(async () => {
      database = await startMariadb();
      database.sql("CREATE TABLE persons (person_id VARCHAR(100) PRIMARY KEY, first VARCHAR(100), last VARCHAR(100))");
      ({ server, client } = await startBeside("mysql", database, [...wheels, hashsync]));
    });
    afterAll(async () => {
      client?.close();
      await server?.stop();
      await database?.stop();
    });

    const install = (): Promise<unknown> =>
      client.call(
        ...["RG.PYEXECUTE"],
        `
from hashsync import WriteBehind, WriteThrough
from hashsync.connectors import MySqlConnection, MySqlConnector
connection = MySqlConnection('test', lambda: 'secret', '127.0.0.1:${database.port}/test')
persons = MySqlConnector(connection, 'persons', 'person_id')
mappings = {'first_name': 'first', 'last_name': 'last'}
WriteBehind(GB, prefix='person', mappings=mappings, connector=persons, name='PersonsWriteBehind')
WriteThrough(GB, prefix='__', mappings=mappings, connector=persons, name='PersonsWriteThrough')`,
        ...["REQUIREMENTS", "hashsync"],
      );
    const rows = (): string[] => database.sql("SELECT * FROM persons ORDER BY person_id").split("\n");

    it("brings hashes to the database behind and through, tries again, and replaces its earlier registrations", async () => {
      for (let round = 0; round < 2; round++) {
        expect(await install()).toBe("OK");
        expect((await client.call("RG.DUMPREGISTRATIONS")) as unknown[]).toHaveLength(3);
      }
      await client.call("HSET", "person:1", "first_name", "Ada", "last_name", "Lovelace");
      await client.call("HSET", "person:2", "first_name", "Alan", "last_name", "Turing");
      await expect.poll(rows).toEqual(["1\tAda\tLovelace", "2\tAlan\tTuring"]);
      await client.call("DEL", "person:2");
      await expect.poll(rows).toEqual(["1\tAda\tLovelace"]);

      await client.call("HSET", "__{person:3}", "first_name", "Grace", "last_name", "Hopper");
      // the command is answered when the database has it
      expect(rows()).toContain("3\tGrace\tHopper");
      expect(await client.call("HGET", "person:3", "last_name")).toBe("Hopper");
      expect(await client.call("EXISTS", "__{person:3}")).toBe(0);

      // the server closes connections that were idle for long
      const threads = database.sql("SELECT id FROM information_schema.processlist WHERE user='test'").split("\n");
      for (const thread of threads) database.sql(`KILL ${thread}`);
      await client.call("HSET", "person:1", "first_name", "Augusta", "last_name", "Lovelace");
      await expect.poll(rows, { timeout: 15_000 }).toContain("1\tAugusta\tLovelace");
      expect(await client.call("HGET", "person:1", "first_name")).toBe("Augusta");
    });
  },
);
