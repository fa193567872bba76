/** When snapshots of the data are made: like Redis' `save`, so many seconds after the last one if so much was changed. */
import { ConfigError } from "../config.ts";
import type { DataSnapshots } from "./data.ts";

interface SavePoint {
  readonly seconds: number;
  readonly changes: number;
}

/** Redis' own default. */
export const DEFAULT_SAVE = "3600 1 300 100 60 10000";

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** @returns ends it */
  every(ms: number, run: () => void): () => void;
}

/**
 * Reads pairs of seconds and changes, such as `3600 1 300 100`; empty text and `""` are no points.
 * @throws ConfigError
 */
export function parseSavePoints(text: string): SavePoint[] {
  const words = text.trim().split(/\s+/);
  if (words.length === 1 && (words[0] === "" || words[0] === '""')) return [];
  const numbers = words.map(Number);
  if (numbers.length % 2 !== 0 || words.some((word) => !/^\d+$/.test(word))) throw invalid(text);
  const points: SavePoint[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    const [seconds, changes] = [numbers[at] ?? 0, numbers[at + 1] ?? 0];
    if (seconds < 1) throw invalid(text);
    points.push({ seconds, changes });
  }
  return points;
}

const invalid = (text: string): ConfigError =>
  new ConfigError(`save: '${text}' is not pairs of seconds and changes, such as '${DEFAULT_SAVE}'`);

const CHECK_EVERY_MS = 1000;
/** After a failure. */
const RETRY_AFTER_MS = 5000;

export class SaveSchedule {
  readonly #points: readonly SavePoint[];
  readonly #snapshots: Pick<DataSnapshots, "status" | "changes" | "save">;
  readonly #clock: Clock;
  #stop: (() => void) | undefined;
  #checking = false;

  constructor(
    points: readonly SavePoint[],
    snapshots: Pick<DataSnapshots, "status" | "changes" | "save">,
    clock: Clock = SYSTEM_CLOCK,
  ) {
    this.#points = points;
    this.#snapshots = snapshots;
    this.#clock = clock;
  }

  start(): void {
    if (this.#points.length > 0) this.#stop ??= this.#clock.every(CHECK_EVERY_MS, () => void this.#check());
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  async #check(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    try {
      if (await this.#isDue()) await this.#snapshots.save(false);
    } catch {
      // Logged where it happened; the next check tries again.
    } finally {
      this.#checking = false;
    }
  }

  async #isDue(): Promise<boolean> {
    const { saving, lastSave, lastFailed, lastAttempt } = this.#snapshots.status;
    const now = this.#clock.now();
    if (saving || (lastFailed && now - lastAttempt < RETRY_AFTER_MS)) return false;
    const elapsed = this.#points.filter(({ seconds }) => now - lastSave > seconds * 1000);
    if (elapsed.length === 0) return false;
    const changes = await this.#snapshots.changes();
    return changes > 0 && elapsed.some((point) => changes >= point.changes);
  }
}

const SYSTEM_CLOCK: Clock = {
  now: Date.now,
  every: (ms, run) => {
    const timer = setInterval(run, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
