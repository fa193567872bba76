/** What a row of the benchmark is. */
import type { Client } from "./client.ts";
import type { Server } from "./servers.ts";

/** What is counted, and whether less or more of it is better. */
export type Unit = "ms" | "per second" | "MB" | "bytes per item";

export const isBetterWhenMore = (unit: Unit): boolean => unit === "per second";

/** What a row is given. */
export interface Bench {
  readonly server: Server;
  readonly client: Client;
  /** A number of things, fewer when it is to be quick. */
  n(count: number): number;
}

/** A workload on a server that runs all the time. */
export interface Workload {
  readonly name: string;
  readonly unit: Unit;
  /** Needs no RG.* commands: redis-server takes part. */
  readonly plain?: boolean;
  /** Once, before the rounds. */
  prepare?(bench: Bench): Promise<void>;
  /** One round. */
  run(bench: Bench): Promise<unknown>;
  /** What a round gives is the measurement; else the time that it takes is. */
  readonly tells?: true;
}

/** Something that is measured on servers of its own. */
export interface Trial {
  readonly name: string;
  readonly unit: Unit;
  readonly plain?: boolean;
  /** @param start starts a server of this side, which ends with the trial */
  measure(start: () => Promise<Server>, n: (count: number) => number): Promise<number>;
}

export type Row = Workload | Trial;

export const isTrial = (row: Row): row is Trial => "measure" in row;

/** Waits until something is so. @throws Error after a minute */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error("what was waited for did not happen within a minute");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Numbers from 0 on. */
export const range = (count: number): number[] => Array.from({ length: count }, (_, number) => number);

/** Sends commands for so many things, in pipelines. */
export async function inPipelines(
  client: Client,
  count: number,
  size: number,
  command: (number: number) => readonly (string | number)[],
): Promise<void> {
  for (let from = 0; from < count; from += size)
    await client.pipe(range(Math.min(size, count - from)).map((number) => command(from + number)));
}
