/** The examples with databases, against real servers. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DatabaseServer, KINDS, skipped, startBeside } from "../connections/databases.ts";
import { clientLibraries } from "../connections/support.ts";
import type { Client, Value } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import type { RunningRegears } from "../support/regears.ts";

const { wheels, missing } = clientLibraries();

describe.each(KINDS)("$name", ({ name, scheme, driver, program, start }) => {
  describe.skipIf(missing !== "" || !program)(`with the examples${missing}${skipped(name, program)}`, () => {
    let database: DatabaseServer;
    let server: RunningRegears;
    let client: Client;
    beforeAll(async () => {
      database = await start();
      ({ server, client } = await startBeside(scheme, database, wheels));
    });
    afterAll(async () => {
      client?.close();
      await server?.stop();
      await database?.stop();
    });

    const run = (example: string): Promise<Value> => {
      const script = readFileSync(new URL(`../../examples/databases/${example}`, import.meta.url), "utf8");
      return client.call("RG.PYEXECUTE", script, "ID", example.replace(".py", ""), "UPGRADE", "REQUIREMENTS", driver);
    };
    const rows = (statement: string): string[] =>
      database
        .sql(statement)
        .split("\n")
        .filter((line) => line !== "");

    it("gets changes of hashes at least once, and messages of a stream exactly once", async () => {
      expect(await run("write_behind.py")).toBe("OK");
      const people = "SELECT id, name, age FROM person ORDER BY id";
      await client.call("HSET", "person:1", "name", "Ada", "age", "36");
      await client.call("HSET", "person:2", "name", "Älan", "age", "41");
      await client.call("HINCRBY", "person:1", "age", "1");
      await client.call("HSET", "person:3", "name", "Grace", "age", "50");
      await client.call("DEL", "person:3");
      await expect.poll(() => rows(people)).toEqual(["1\tAda\t37", "2\tÄlan\t41"]);
      for (let at = 1; at <= 250; at++)
        await client.call("XADD", "payments", `${at}-1`, "person", "1", "amount", "0.50");
      const total = "SELECT COUNT(*), SUM(amount) FROM payment";
      await expect.poll(() => rows(total)).toEqual(["250\t125.00"]);
      await expect.poll(() => client.call("XLEN", "payments")).toBe(0);
      // as after a crash between the commit and the acknowledgement
      for (const id of ["251-1", "252-1"]) {
        database.sql(`INSERT INTO payment VALUES ('${id}', '1', 0.5)`);
        await client.call("XADD", "payments", id, "person", "1", "amount", "0.50");
      }
      await client.call("XADD", "payments", "253-1", "person", "1", "amount", "0.50");
      await expect.poll(() => client.call("XLEN", "payments")).toBe(0);
      expect(rows(total)).toEqual(["253\t126.50"]);
    });

    it("is tried again while it refuses", async () => {
      expect(await run("write_behind.py")).toBe("OK");
      database.sql("ALTER TABLE person RENAME TO away");
      await client.call("HSET", "person:4", "name", "Edsger", "age", "72");
      await expect.poll(() => server.output()).toMatch(/an execution of a StreamReader failed/);
      expect(await client.call("XLEN", "write_behind:people")).toBe(1);
      database.sql("ALTER TABLE away RENAME TO person");
      await expect.poll(() => client.call("XLEN", "write_behind:people")).toBe(0);
      expect(rows("SELECT name FROM person WHERE id = '4'")).toEqual(["Edsger"]);
    });

    it("is written and read through", async () => {
      expect(await run("write_through.py")).toBe("OK");
      expect(await client.call("HSET", "account:1", "owner", "Ada", "limit", "100")).toBe(2);
      const all = "SELECT field, value FROM account WHERE id = 'account:1' ORDER BY field";
      expect(rows(all)).toEqual(["limit\t100", "owner\tAda"]);
      await client.call("DEL", "account:1");
      const found = (await client.call("HGETALL", "account:1")) as string[];
      expect([...found].sort()).toEqual(["100", "Ada", "limit", "owner"]);
      expect(await client.call("TTL", "account:1")).toBeGreaterThan(0);
      expect(await client.call("HGETALL", "account:2")).toEqual([]);
      database.sql("ALTER TABLE account RENAME TO gone");
      expect(await errorOf(client.call("HSET", "account:1", "owner", "Bob"))).toContain("account");
      expect(await client.call("HGET", "account:1", "owner")).toBe("Ada");
    });
  });
});
