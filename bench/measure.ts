/** One row on all sides, in turns. */
import { pingsDuring } from "../test/support/ping-probe.ts";
import { Client } from "./client.ts";
import type { Measured } from "./results.ts";
import { type Bench, isTrial, type Row, type Trial, type Workload } from "./row.ts";
import { Server, type Side } from "./servers.ts";
import { spread } from "./statistics.ts";

export interface Settings {
  readonly rounds: number;
  /** All numbers of things are multiplied by it. */
  readonly scale: number;
}

/** A side with its server, which runs for all rows. */
export interface Running {
  readonly side: Side;
  readonly server: Server;
}

/** What a row comes to on one side, while it is measured. */
interface Lane extends Running {
  readonly values: number[];
  pings?: Measured["pings"];
  error?: string;
}

/** Trials take long, and differ little. */
const TRIAL_ROUNDS = 3;

type Count = Bench["n"];

/**
 * Measures a row: one round that does not count, then rounds in which the sides take turns, and another one begins each
 * time. Last comes a round beside which a client sends PINGs.
 */
export async function measure(row: Row, all: readonly Running[], settings: Settings): Promise<Map<Side, Measured>> {
  const lanes: Lane[] = all
    .filter(({ side }) => side.gears || row.plain === true)
    .map((running) => ({ ...running, values: [] }));
  const n: Count = (count) => Math.max(1, Math.round(count * settings.scale));
  if (isTrial(row)) await trial(row, lanes, Math.min(settings.rounds, TRIAL_ROUNDS), n);
  else await workload(row, lanes, settings.rounds, n);
  return new Map(lanes.map((lane) => [lane.side, outcome(lane)]));
}

async function workload(row: Workload, lanes: readonly Lane[], rounds: number, n: Count): Promise<void> {
  const round = (lane: Lane): Promise<number> =>
    withClient(lane, n, async (bench) => {
      const began = performance.now();
      const told = await row.run(bench);
      return row.tells ? Number(told) : performance.now() - began;
    });
  for (const lane of lanes)
    await attempt(lane, () =>
      withClient(lane, n, async (bench) => {
        await clean(bench.client);
        await row.prepare?.(bench);
      }),
    );
  for (const lane of lanes) await attempt(lane, () => round(lane));
  for (const lane of turns(lanes, rounds)) await attempt(lane, async () => void lane.values.push(await round(lane)));
  for (const lane of lanes)
    await attempt(lane, async () => {
      const { pings } = await pingsDuring(lane.server.port, () => round(lane));
      lane.pings = { p99: pings.p99Ms, slowest: pings.slowestMs, count: pings.count };
    });
  for (const lane of lanes) await withClient(lane, n, ({ client }) => clean(client));
}

async function trial(row: Trial, lanes: readonly Lane[], rounds: number, n: Count): Promise<void> {
  for (const lane of turns(lanes, rounds))
    await attempt(lane, async () => {
      let server: Server | undefined;
      try {
        lane.values.push(await row.measure(async () => (server = await Server.start(lane.side)), n));
      } finally {
        await server?.stop();
      }
    });
}

/** The sides, once in each round; each begins in its turn. */
function* turns(lanes: readonly Lane[], rounds: number): Generator<Lane> {
  for (let round = 0; round < rounds; round++)
    for (let at = 0; at < lanes.length; at++) {
      const lane = lanes[(round + at) % lanes.length];
      if (lane) yield lane;
    }
}

/** A side that fails takes no further part in the row. */
async function attempt(lane: Lane, act: () => Promise<unknown>): Promise<void> {
  if (lane.error !== undefined) return;
  try {
    await act();
  } catch (error) {
    lane.error = String(error instanceof Error ? error.message : error).slice(0, 200);
  }
}

async function withClient<T>({ server }: Running, n: Count, use: (bench: Bench) => Promise<T>): Promise<T> {
  const client = await Client.open(server.port);
  try {
    return await use({ server, client, n });
  } finally {
    client.close();
  }
}

/** Nothing is left of the row before. */
async function clean(client: Client): Promise<void> {
  const registrations = await client.send("RG.DUMPREGISTRATIONS");
  if (Array.isArray(registrations))
    await client.pipe(registrations.map((entry) => ["RG.UNREGISTER", Array.isArray(entry) ? String(entry[1]) : ""]));
  const executions = await client.send("RG.DUMPEXECUTIONS");
  for (const entry of Array.isArray(executions) ? executions : []) {
    const id = Array.isArray(entry) ? String(entry[1]) : "";
    await client.send("RG.ABORTEXECUTION", id);
    await client.send("RG.DROPEXECUTION", id);
  }
  await client.must("FLUSHALL");
}

function outcome({ side, values, pings, error }: Lane): Measured {
  const figures = values.length > 0 && error === undefined ? spread(values) : {};
  return {
    ...{ title: side.title, version: side.version, rounds: values.length, ...figures },
    ...(pings && { pings }),
    ...(error !== undefined && { error }),
  };
}
