import { describe, expect, it, vi } from "vitest";
import { ConfigError } from "../../src/config.ts";
import { DEFAULT_SAVE, parseSavePoints, SaveSchedule } from "../../src/store/schedule.ts";
import { startData } from "./support.ts";
import { newFolder } from "../support/folders.ts";

/** A clock that is moved by hand; a turn is waited for as long as it works. */
class FakeClock {
  #now = 1_000_000_000;
  readonly #timers = new Set<{ ms: number; next: number; run: () => void }>();

  readonly now = (): number => this.#now;

  readonly every = (ms: number, run: () => void): (() => void) => {
    const timer = { ms, next: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  get running(): number {
    return this.#timers.size;
  }

  async advance(ms: number, settle: () => Promise<void>): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const [first] = [...this.#timers].sort((a, b) => a.next - b.next);
      if (!first || first.next > end) break;
      this.#now = first.next;
      first.next += first.ms;
      first.run();
      await settle();
    }
    this.#now = end;
  }
}

/** Snapshots of which only the figures are there. */
function setUp(points: string) {
  const clock = new FakeClock();
  let changes = 0;
  let fail = false;
  const saves: number[] = [];
  const status = { saving: false, lastSave: clock.now(), lastFailed: false, lastAttempt: 0, lastTookMs: undefined };
  const snapshots = {
    status,
    changes: () => Promise.resolve(changes),
    save: (exclusive: boolean) => {
      expect(exclusive).toBe(false);
      status.lastAttempt = clock.now();
      status.lastFailed = fail;
      if (fail) return Promise.reject(new Error("no space left"));
      saves.push((clock.now() - 1_000_000_000) / 1000);
      status.lastSave = clock.now();
      changes = 0;
      return Promise.resolve();
    },
  };
  const schedule = new SaveSchedule(parseSavePoints(points), snapshots, clock);
  schedule.start();
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) await Promise.resolve();
  };
  return {
    clock,
    schedule,
    saves,
    status,
    change: (count: number) => {
      changes += count;
    },
    failing: (value: boolean) => {
      fail = value;
    },
    advance: (seconds: number) => clock.advance(seconds * 1000, settle),
  };
}

describe("the schedule", () => {
  it("saves when so much was changed and so long ago was the last one", async () => {
    const { advance, change, saves } = setUp("3600 1 300 100 60 10000");
    change(1);
    await advance(3600);
    expect(saves).toEqual([]);
    await advance(2);
    expect(saves).toEqual([3601]);
    change(100);
    await advance(302);
    expect(saves).toEqual([3601, 3902]);
    change(9999);
    await advance(100);
    expect(saves).toHaveLength(2);
    change(1);
    await advance(1);
    expect(saves).toEqual([3601, 3902, 4005]);
  });

  it("leaves alone what was not changed", async () => {
    const { advance, saves } = setUp("1 0");
    await advance(100);
    expect(saves).toEqual([]);
  });

  it("tries again some seconds after a failure", async () => {
    const { advance, change, failing, saves, status } = setUp("10 1");
    failing(true);
    change(1);
    await advance(12);
    expect(status.lastAttempt - 1_000_000_000).toBe(11_000);
    await advance(3);
    expect(status.lastAttempt - 1_000_000_000).toBe(11_000);
    failing(false);
    await advance(2);
    expect(saves).toEqual([16]);
  });

  it("waits for a snapshot that is being made, and ends when it is told to", async () => {
    const { advance, change, clock, saves, schedule, status } = setUp("1 1");
    change(1);
    status.saving = true;
    await advance(10);
    expect(saves).toEqual([]);
    status.saving = false;
    schedule.stop();
    await advance(10);
    expect(saves).toEqual([]);
    expect(clock.running).toBe(0);
  });

  it("without points does nothing", () => {
    expect(setUp("").clock.running).toBe(0);
  });

  it("counts the engine's changes", async () => {
    const clock = new FakeClock();
    const { client, snapshots } = await startData(newFolder(), { now: clock.now });
    const schedule = new SaveSchedule(parseSavePoints("5 3"), snapshots, clock);
    schedule.start();
    const advance = (seconds: number) =>
      clock.advance(1000 * seconds, () => new Promise((resolve) => setTimeout(resolve, 30)));
    const begin = clock.now();
    await client.pipeline([
      ["SET", "a", "1"],
      ["SET", "a", "2"],
    ]);
    await advance(8);
    expect(snapshots.status.lastSave).toBe(begin);
    await client.call("SET", "a", "3");
    await advance(2);
    await vi.waitFor(() => expect(snapshots.status.lastSave).toBeGreaterThan(begin), { timeout: 20_000 });
    expect(await snapshots.changes()).toBe(0);
    schedule.stop();
  });
});

describe("save points", () => {
  it.each([
    ["", []],
    ['""', []],
    ["60 1000", [{ seconds: 60, changes: 1000 }]],
    [
      DEFAULT_SAVE,
      [
        { seconds: 3600, changes: 1 },
        { seconds: 300, changes: 100 },
        { seconds: 60, changes: 10000 },
      ],
    ],
  ])("%s", (text, points) => {
    expect(parseSavePoints(text)).toEqual(points);
  });

  it.each(["60", "60 x", "0 1", "-1 1", "1 2 3", "60,1000"])("%s is refused", (text) => {
    expect(() => parseSavePoints(text)).toThrow(ConfigError);
  });
});
