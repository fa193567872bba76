/**
 * How many messages of a stream examples/databases/write_behind.py brings to MySQL and PostgreSQL in a second, in batches of 100 and
 * 1 000: `npx tsx scripts/write-behind.ts`. It says something on a machine that does nothing else only.
 */
import { readFileSync } from "node:fs";
import { KINDS, startBeside } from "../test/connections/databases.ts";
import { clientLibraries } from "../test/connections/support.ts";
import type { Client } from "../test/support/client.ts";
import { removeFolders } from "../test/support/folders.ts";

const MESSAGES = 10_000;
const EXAMPLE = readFileSync(new URL("../examples/databases/write_behind.py", import.meta.url), "utf8");

/** Seconds from the registration until the database has all messages of a stream that was filled before. */
async function seconds(client: Client, driver: string, batch: number): Promise<number> {
  await client.call("RG.UNREGISTERALL");
  await client.call("FLUSHALL");
  const adding = [];
  for (let at = 1; at <= MESSAGES; at++) {
    adding.push(client.call("XADD", "payments", `${batch}-${at}`, "person", "1", "amount", "0.50"));
  }
  await Promise.all(adding);
  const begun = performance.now();
  const script = EXAMPLE.replace("batch=1000", `batch=${batch}`);
  await client.call("RG.PYEXECUTE", script, "ID", `b${batch}`, "REQUIREMENTS", driver);
  while ((await client.call("XLEN", "payments")) !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
  return (performance.now() - begun) / 1000;
}

process.on("exit", removeFolders);
const { wheels, missing } = clientLibraries();
if (missing !== "") throw new Error(missing);
for (const { scheme, driver, program, start } of KINDS) {
  if (!program) continue;
  const database = await start();
  const { server, client } = await startBeside(scheme, database, wheels);
  try {
    // the first one installs and imports the driver
    await seconds(client, driver, 999);
    for (const batch of [100, 1000]) {
      const rate = Math.round(MESSAGES / (await seconds(client, driver, batch)));
      console.log(`${driver}, batches of ${batch}: ${rate} messages a second`);
    }
  } finally {
    client.close();
    await server.stop();
    await database.stop();
  }
}
