/**
 * How many messages of a stream examples/databases/write_behind.py brings to MySQL and PostgreSQL in a second, in batches of 100 and
 * 1 000: `npx tsx scripts/write-behind.ts` on a machine that does nothing else (half a minute), and `npm run docs` after it, which
 * writes the figures into docs/connections.md.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { spread } from "../bench/statistics.ts";
import { KINDS, startBeside } from "../test/connections/databases.ts";
import { clientLibraries } from "../test/connections/support.ts";
import type { Client } from "../test/support/client.ts";
import { figure } from "../test/support/figures.ts";
import { removeFolders } from "../test/support/folders.ts";
import { until } from "../test/support/waiting.ts";
import { measuredOn } from "./measured-on.ts";

const MESSAGES = 10_000;
const ROUNDS = Number(process.env.ROUNDS ?? 3);
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
  await until(async () => (await client.call("XLEN", "payments")) === 0, "the stream is empty");
  return (performance.now() - begun) / 1000;
}

const shown = (rate: number): string => Math.round(rate).toLocaleString("en");

process.env.REGEARS_FIGURES ??= fileURLToPath(new URL("../bench/results/write-behind", import.meta.url));
process.on("exit", removeFolders);
const { wheels, missing } = clientLibraries();
if (missing !== "") throw new Error(missing);
const programs = KINDS.flatMap(({ program }) => program ?? []).map((program) => {
  const binary = existsSync(`${program}/postgres`) ? `${program}/postgres` : program;
  const said = execFileSync(binary, ["--version"], { encoding: "utf8" });
  return `${basename(binary)} ${/\d+\.\d+(\.\d+)?/.exec(said)?.[0]}`;
});
figure("1-machine", "Measured on", measuredOn(...programs));
for (const { name, scheme, driver, program, start } of KINDS) {
  if (!program) continue;
  const database = await start();
  const { server, client } = await startBeside(scheme, database, wheels);
  try {
    // the first one installs and imports the driver
    await seconds(client, driver, 999);
    for (const batch of [100, 1000]) {
      const rates = [];
      for (let round = 0; round < ROUNDS; round++) rates.push(MESSAGES / (await seconds(client, driver, batch)));
      const what = `${MESSAGES} messages of a stream to ${name} by ${driver}, in batches of ${batch}`;
      figure(
        `${driver}-${batch}`,
        what,
        `${shown(spread(rates).median)} a second (${shown(Math.min(...rates))}–${shown(Math.max(...rates))} in ${ROUNDS} rounds)`,
      );
    }
  } finally {
    client.close();
    await server.stop();
    await database.stop();
  }
}
