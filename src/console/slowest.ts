/** What took longest of late, whether it is kept or not: executions of triggers and of most events are forgotten when they end. */
import type { Execution } from "../executions/execution.ts";
import { idOf } from "../executions/ids.ts";
import type { SlowOne } from "./page/wire.ts";

/** As long as the charts. */
const LATE_MS = 10 * 60 * 1000;
const MOST = 20;

export class Slowest {
  /** Longest first. */
  #all: SlowOne[] = [];

  /** Those of the last ten minutes, longest first. */
  get all(): readonly SlowOne[] {
    const from = Date.now() - LATE_MS;
    this.#all = this.#all.filter(({ endedAt }) => endedAt >= from);
    return this.#all;
  }

  /** Takes note of one that has ended. */
  note(execution: Execution): void {
    const { startedAt, endedAt } = execution;
    if (startedAt === 0) return;
    const elapsedMs = endedAt - startedAt;
    const last = this.#all.length < MOST ? undefined : this.#all.at(-1);
    // nearly always it ends here
    if (last && last.elapsedMs >= elapsedMs && last.endedAt >= endedAt - LATE_MS) return;
    const others = this.all.filter(({ elapsedMs: other }) => other >= elapsedMs);
    this.#all = [...others, described(execution, elapsedMs), ...this.#all.slice(others.length)].slice(0, MOST);
  }
}

const described = (one: Execution, elapsedMs: number): SlowOne => ({
  ...{ id: one.id, status: one.status, startedAt: one.startedAt, endedAt: one.endedAt, elapsedMs, kept: one.kept },
  session: one.session?.id ?? "",
  description: one.session?.description ?? "",
  registration: one.registration === undefined ? "" : idOf(one.registration),
  records: one.counts[0] ?? 0,
  results: one.resultCount,
  errors: one.errors.length,
});
