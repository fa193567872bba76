/**
 * `npm run bench`: starts the servers, measures row by row in turns, prints the figures, keeps them. bench/README.md says how to
 * use it.
 */
import { parseArgs } from "node:util";
import { measure, type Running } from "./measure.ts";
import { heading, line } from "./report.ts";
import { load, machine, type RowResult, save } from "./results.ts";
import { rowsNamed } from "./rows.ts";
import { calibrate } from "./rows/calibrations.ts";
import { Server, sidesOf, type Side, told } from "./servers.ts";

const { values: given } = parseArgs({
  options: {
    base: { type: "string" },
    "engine-url": { type: "string" },
    "no-engine-url": { type: "boolean", default: false },
    native: { type: "string" },
    only: { type: "string", default: "" },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    out: { type: "string" },
    list: { type: "boolean", default: false },
  },
});

const rows = rowsNamed(given.only.split(",").filter((part) => part !== ""));
if (given.list) process.stdout.write(`${rows.map(({ name }) => name).join("\n")}\n`);
else await run();

async function run(): Promise<void> {
  const rounds = Number(given.rounds ?? (given.quick ? 1 : 7));
  const scale = given.quick ? 0.01 : 1;
  const hasRedis = told("redis-server", "--version") !== undefined;
  const servers: Server[] = [];
  const stop = (): Promise<unknown> => Promise.all(servers.map((server) => server.stop()));
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void stop().then(() => process.exit(1)));
  const started = async (side: Parameters<typeof Server.start>[0]): Promise<Server> => {
    const server = await Server.start(side);
    servers.push(server);
    return server;
  };
  try {
    const sides = sidesOf({
      ...{ base: given.base, native: given.native, redis: hasRedis },
      url: given["no-engine-url"] ? undefined : (given["engine-url"] ?? (await engineUrl(hasRedis, started))),
    });
    const running: Running[] = [];
    for (const side of sides) running.push({ side, server: await started(side) });
    const redisPort = running.find(({ side }) => side.name === "redis")?.server.port;
    process.stdout.write(heading(sides));
    for (const row of rows) {
      const before = { at: new Date().toISOString(), machine: machine(), load: load() };
      const calibration = given.quick ? {} : await calibrate(redisPort);
      const measured = await measure(row, running, { rounds, scale });
      const result: RowResult = {
        ...{ row: row.name, unit: row.unit, ...before, calibration },
        sides: Object.fromEntries([...measured].map(([side, figures]) => [side.name, figures])),
      };
      process.stdout.write(line(result));
      if (!given.quick || given.out !== undefined) save(result, given.out);
      if (Object.values(result.sides).some((side) => side.error !== undefined && side.title === "Regears"))
        process.exitCode = 1;
    }
  } finally {
    await stop();
  }
}

/** Of a redis-server for the side that has its engine there; undefined where there is none to be had. */
async function engineUrl(
  hasRedis: boolean,
  started: (side: Pick<Side, "command" | "title">) => Promise<Server>,
): Promise<string | undefined> {
  if (!hasRedis) return undefined;
  const [redis] = sidesOf({ base: undefined, url: undefined, native: undefined, redis: true }).slice(1);
  return redis && `redis://127.0.0.1:${(await started(redis)).port}`;
}
